"""The text beside a recording: it says whether to write down what was said or to answer it.

With a recording and no text at all the model answers; the runtime's default text for a recording alone is "What did
you hear?", which transcribes.
"""

from __future__ import annotations

import numpy as np

from recipe.seeds import Split, is_training

from .phrasing import pick

TRANSCRIBE = (
    "What did you hear?", "What did you hear?", "Write down what you hear.", "What did I say?", "What do you hear?",
    "Repeat what you heard.", "What was said?", "Transcribe this.", "Write what you hear.", "Tell me what you heard.",
    "What was said just now?", "Write down my words.", "Write what was said.", "Say what you hear.",
    "What have you heard?",
    "Transcribe what you hear.", "Can you write down what you hear?", "Write it down.", "Which words did you hear?",
    "What do I say?", "Tell me what I said.", "Please write down what I said.", "What did I just say?",
    "Repeat my words.",
    "Transcribe the recording.", "What is said in the recording?", "Write down the words.", "What are the words?",
)  # fmt: skip
HELD_OUT_TRANSCRIBE = ("Tell me what you hear.", "What did you hear just now?", "Write down what was said.")
ANSWER = (
    "Answer the question.", "Answer the question.", "", "Answer.", "Please answer.", "Answer my question.",
    "Reply to what you hear.", "Reply to what I said.", "Answer what you hear.", "Please reply.", "Answer me.",
    "Can you answer?", "Answer what you heard.", "Answer what was said.", "Please answer what you hear.",
    "Give me an answer.", "What is your answer?", "Now answer.", "Answer this.", "Reply.", "Reply to me.", "Answer it.",
    "What is the answer?", "Give the answer to my question.", "Please answer me.", "Do you know the answer?",
    "Answer the spoken question.", "Reply to the question.", "Please reply to what I said.",
    "Can you answer my question?",
    "Answer to what I say.", "Hello, please answer.",
)  # fmt: skip
HELD_OUT_ANSWER = ("Please answer the question.", "Answer what I said.", "Please answer my question.")


def transcribe_prompt(rng: np.random.Generator, split: Split) -> str:
    return pick(rng, TRANSCRIBE if is_training(split) else (*HELD_OUT_TRANSCRIBE, TRANSCRIBE[0]))


def answer_prompt(rng: np.random.Generator, split: Split) -> str:
    return pick(rng, ANSWER if is_training(split) else (*HELD_OUT_ANSWER, ANSWER[0]))
