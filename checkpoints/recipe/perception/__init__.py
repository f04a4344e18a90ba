"""Training of what the model understands and answers: pictures, speech, films and chat (not its own speech).

``python -m recipe.perception`` runs three stages in order, each from where it stopped: ``seeing`` and ``hearing``
train the encoders alone with direct labels, ``answering`` trains everything together on questions and replies.
"""
