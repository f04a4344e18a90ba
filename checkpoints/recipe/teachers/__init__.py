"""Neural voices to learn from and to be tested with, and judges of speech. None of them runs when the model does.

=============  =============================================================  ==================================
Kokoro-82M     teaches hearing, in 8 bits and blends of its styles            Apache-2.0, weights and styles
Hibari         teaches hearing and speaking: one voice of Kokoro's            Apache-2.0
Piper's joe    is held out: it measures hearing, and trains nothing           weights: fine-tuned from lessac,
                                                                              given for research; recordings CC0
Whisper base   judges speech by word errors, through faster-whisper           MIT
DNSMOS P.835   judges how speech sounds (``speechmos``)                       MIT
=============  =============================================================  ==================================

``pip install -r recipe/teachers/requirements.txt`` and ``python -m recipe.teachers prepare`` bring the files, whose
SHA-256 are in :mod:`recipe.teachers.files`.
"""
