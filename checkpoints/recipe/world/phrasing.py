"""How a thing is asked: phrasings, the frames around them, and which of them training never sees.

A question is written either as a whole sentence ("What is two plus three?") or as a clause ("what two plus
three is") that a frame completes ("Can you tell me …?"). Some sentences and some frames are held out: an
evaluation question uses at least one of them, so a right answer cannot come from a remembered sentence.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recipe.seeds import Split, is_training

from .lexicon import words

FRAMES = (
    "Tell me {}.", "Can you tell me {}?", "Please tell me {}.", "Do you know {}?", "I want to know {}.",
    "Could you tell me {}?", "Say {}.", "Please say {}.", "I ask you {}.", "Can you say {}?",
)  # fmt: skip
HELD_OUT_FRAMES = ("I would like to know {}.", "Could you please tell me {}?", "Now tell me {}.")

OPENINGS = ("Please, ", "So, ", "Hey, ", "Okay, ", "Now, ", "Hello, ", "And ", "Listen: ", "Tell me: ")
ENDINGS = (", please", " now", ", muomni")


@dataclass(frozen=True)
class Ask:
    """One thing to ask and the one right reply.

    ``sentences`` and ``clauses`` are trained; ``held_out`` sentences are not. ``asks`` names the kind of
    question, for reports by kind.
    """

    kind: str
    reply: str
    sentences: Sequence[str]
    clauses: Sequence[str] = ()
    held_out: Sequence[str] = ()


def pick(rng: np.random.Generator, options: Sequence[str]) -> str:
    return options[int(rng.integers(len(options)))]


def chance(rng: np.random.Generator, probability: float) -> bool:
    return bool(rng.random() < probability)


def article(noun: str) -> str:
    """ "circle" -> "a circle"."""
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


def in_frame(clause: str, frame: str) -> str:
    return frame.format(clause)


def phrase(ask: Ask, rng: np.random.Generator, split: Split) -> str:
    """A question for ``ask``; outside training always one of a form that training never sees."""
    if is_training(split):
        if ask.clauses and chance(rng, 0.4):
            return in_frame(pick(rng, ask.clauses), pick(rng, FRAMES))
        text = pick(rng, ask.sentences)
        if chance(rng, 0.12):
            text = pick(rng, OPENINGS) + decapitalised(text)
        if chance(rng, 0.06) and text[-1] in ".?!":
            text = text[:-1] + pick(rng, ENDINGS) + text[-1]
        return text
    if ask.held_out and (not ask.clauses or chance(rng, 0.6)):
        return pick(rng, ask.held_out)
    if ask.clauses:
        return in_frame(pick(rng, ask.clauses), pick(rng, HELD_OUT_FRAMES))
    return pick(rng, ask.sentences)


def decapitalised(text: str) -> str:
    """ "What is…" -> "what is…", but names, "I" and figures stay."""
    first = text.split(" ", 1)[0]
    return text[0].lower() + text[1:] if first in SENTENCE_STARTS else text


SENTENCE_STARTS = frozenset(
    words(
        "What Which Who Where When How Is Are Do Does Can Could Tell Please Say Name Add Take Describe Count Give In "
        "Of On With The There If Mix Answer Look Show Repeat From You Your Write Has Did Was Anything Find"
    )
)

CONTRACTIONS = (("What is", "What's"), ("what is", "what's"), ("Who is", "Who's"), ("do not", "don't"))
SPELLINGS = (("colour", "color"), ("Colour", "Color"), ("gray", "grey"))


def as_typed(text: str, rng: np.random.Generator) -> str:
    """The same question as hurried people type it: contractions, American spelling, no capitals, no full stop."""
    if chance(rng, 0.10):
        for full, short in CONTRACTIONS:
            text = text.replace(full, short)
    if chance(rng, 0.25):
        for british, american in SPELLINGS:
            text = text.replace(british, american)
    if chance(rng, 0.15):
        text = text.lower()
    if chance(rng, 0.10):
        text = text.rstrip(".?!")
    if chance(rng, 0.02):
        text = text.upper()
    return text


def as_heard(text: str) -> str:
    """The transcript of a sentence read aloud: small letters, words only ("twenty-one" is two words)."""
    return " ".join(re.findall(r"[a-z']+", text.lower().replace("-", " ")))
