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
    "Can you please tell me {}?", "Would you tell me {}?", "Would you please tell me {}?", "Will you tell me {}?",
    "Could you say {}?", "Could you please say {}?", "Could you now tell me {}?", "Now please tell me {}.",
    "Now say {}.", "Now I want to know {}.", "I would love to know {}.", "I would like to hear {}.",
    "I would like to ask {}.", "I would like you to tell me {}.", "I would like to learn {}.", "I need to know {}.",
    "I want you to tell me {}.", "I want to ask {}.", "I want to hear {}.", "I should like to know {}.",
    "I ask myself {}.", "I wonder {}.", "Do you happen to know {}?", "Do you remember {}?",
    "Are you able to tell me {}?", "Tell me please {}.", "Tell me now {}.", "Tell me again {}.", "So tell me {}.",
    "Then tell me {}.", "And tell me {}.", "First tell me {}.", "You can tell me {}.", "You could tell me {}.",
    "Try to tell me {}.", "Try to say {}.", "Let me know {}.", "Please let me know {}.", "Let me hear {}.",
    "My question is {}.", "The question is {}.", "What I want to know is {}.", "What I would like to hear is {}.",
    "Does muomni know {}?", "Hey, do you know {}?", "Maybe you know {}?", "May I ask you {}?", "May I know {}?",
    "It would be nice to know {}.", "Be so kind and tell me {}.", "Just tell me {}.", "Just say {}.",
)  # fmt: skip
HELD_OUT_FRAMES = ("I would like to know {}.", "Could you please tell me {}?", "Now tell me {}.")

OPENINGS = (
    "Please, ", "So, ", "Hey, ", "Okay, ", "Now, ", "Hello, ", "And ", "Listen: ", "Tell me: ", "Hi, ", "Then ",
    "Well, ",
    "Muomni, ", "Quick: ", "Look: ", "Next question: ", "One more: ", "A question: ", "Say, ", "Good, ", "And now, ",
)  # fmt: skip
ENDINGS = (", please", " now", ", muomni", " again", " then")

_NOUNS = "colour|shape|object|size|day|month|number|word|city|part|sound|animal|season|planet|side|direction"
REWORDINGS: tuple[tuple[str, str], ...] = (
    (rf"\bWhat (?={_NOUNS})", "Which "), (rf"\bWhich (?={_NOUNS})", "What "), (r"^How much is\b", "What is"),
    (r"\bpicture\b", "image"), (r"\bimage\b", "picture"), (r"\bpicture\b", "photo"), (r"\bimage\b", "drawing"),
    (r"\bin the (picture|image)\b", r"on the \1"), (r"\bvideo\b", "film"), (r"\bvideo\b", "clip"),
    (r"\bDo you see\b", "Can you see"), (r"\bCan you see\b", "Do you see"), (r"\bdo you see\b", "can you see"),
    (r"\bIs there\b", "Can you see"), (r"\bIs there\b", "Do you find"), (r"\bare there\b", "can you find"),
    (r"\bshape\b", "object"), (r"\bobject\b", "thing"), (r"\bshapes\b", "objects"), (r"\bobjects\b", "things"),
    (r"\bbig or small\b", "large or small"), (r"\bsmall or big\b", "small or large"), (r"^Name\b", "Give me"),
    (r"^How many (\w+) has (.+)\?", r"How many \1 does \2 have?"), (r"^Name\b", "Can you name"),
    (r"^How many (\w+) does (.+) have\?", r"How many \1 has \2?"), (r"^Add\b", "Please add"),
    (r"^How many (\w+) are in (.+)\?", r"How many \1 does \2 contain?"),
)  # fmt: skip
"""Ways to say the same otherwise: a pattern, and what stands in its place."""


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
        held_out = {_plain(text) for text in ask.held_out}
        while _plain(text := _varied(ask, rng)) in held_out:
            pass
        return text
    if ask.held_out and (not ask.clauses or chance(rng, 0.6)):
        return pick(rng, ask.held_out)
    if ask.clauses:
        return in_frame(pick(rng, ask.clauses), pick(rng, HELD_OUT_FRAMES))
    return pick(rng, ask.sentences)


def _plain(text: str) -> str:
    return re.sub(r"[.,:?!]", "", text.lower())


def _varied(ask: Ask, rng: np.random.Generator) -> str:
    """A trained sentence or clause, reworded, with an opening and an ending: each at times."""
    if ask.clauses and chance(rng, 0.4):
        return in_frame(pick(rng, ask.clauses), pick(rng, FRAMES))
    text = pick(rng, ask.sentences)
    for _ in range(int(rng.integers(1, 3)) if chance(rng, 0.3) else 0):
        text = pick(rng, [re.sub(*rule, text) for rule in REWORDINGS if re.search(rule[0], text)] or [text])
    if chance(rng, 0.12) and not text.startswith("Tell me "):  # "Now, tell me" is held out
        text = pick(rng, OPENINGS) + decapitalised(text)
    if chance(rng, 0.06) and text[-1] in ".?!":
        text = text[:-1] + pick(rng, ENDINGS) + text[-1]
    return text


def decapitalised(text: str) -> str:
    """ "What is…" -> "what is…", but names, "I" and figures stay."""
    first = text.split(" ", 1)[0]
    return text[0].lower() + text[1:] if first in SENTENCE_STARTS else text


SENTENCE_STARTS = frozenset(
    words(
        "What Which Who Where When How Is Are Do Does Can Could Tell Please Say Name Add Take Describe Count Give In "
        "Of On With The There If Mix Answer Look Show Repeat From You Your Write Has Did Was Anything Find "
        "Subtract Multiply May Will Would Let Try Just"
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
