"""What is said aloud: questions, sentences and loose words, within a closed vocabulary."""

from __future__ import annotations

import functools
from collections import Counter
from dataclasses import dataclass
from typing import Literal

import numpy as np

from recipe.seeds import Split, generator

from .dialogue import Turn, conversation, spoken_question
from .lexicon import DAYS, MONTHS, number_words
from .phrasing import as_heard, chance, pick
from .picture_talk import describe, picture_turn
from .scene import Scene, draw_scene

LineKind = Literal["chat", "picture", "sentence", "words", "word", "nothing", "foreign"]
NOTHING: LineKind = "nothing"
FOREIGN: LineKind = "foreign"
NOTHING_REPLIES: dict[LineKind, str] = {NOTHING: "I heard nothing.", FOREIGN: "I heard no words that I know."}
"""What is written down of a recording without English, and what answers it."""
VOCABULARY_SOURCE_LINES = 12_000
MAX_WORDS = 16
LOOSE_WORDS = 0.25


@dataclass(frozen=True)
class Line:
    """Something to read aloud. ``reply`` is empty where it is not a question; ``scene`` is what it asks about.

    A recording in which no English is spoken is a line, too: its ``text`` is empty, its reply says so.
    """

    kind: LineKind
    text: str
    reply: str = ""
    scene: Scene | None = None

    @property
    def transcript(self) -> str:
        return as_heard(self.text)

    @property
    def written(self) -> str:
        """What the model writes when it is asked what it heard."""
        return NOTHING_REPLIES.get(self.kind, self.transcript)


@functools.cache
def spoken_vocabulary() -> tuple[str, ...]:
    """Every word of the world that is said aloud, in alphabetical order; all numbers, days and months are."""
    counts: Counter[str] = Counter()
    for word in (*(number_words(n) for n in range(101)), *DAYS, *MONTHS):
        counts.update(dict.fromkeys(as_heard(word).split(), 3))
    for index in range(VOCABULARY_SOURCE_LINES):
        for split in ("train", "dev"):
            rng = generator(split, 0, "vocabulary", index)  # type: ignore[arg-type]
            line = _grammar_line(rng, split, 0, index)  # type: ignore[arg-type]
            counts.update(line.transcript.split())
    return tuple(sorted(word for word, count in counts.items() if count >= 3))


HOMOPHONES = {
    "to": "two", "too": "two", "for": "four", "their": "there", "our": "hour", "high": "hi", "sea": "see",
    "weak": "week", "hear": "here", "know": "no", "bye": "by", "be": "bee",
}  # fmt: skip
"""Words that sound like another; said alone, they are taken for it."""
LISTED_WORDS_SHARE = 0.35  # of the words said alone: numbers, days and months


@functools.cache
def listed_words() -> tuple[str, ...]:
    """Numbers, days and months: what a person says to a machine most of all."""
    numbers = (number_words(n) for n in (*range(20), *range(20, 100, 10)))
    return tuple(as_heard(word) for word in (*numbers, *DAYS, *MONTHS))


def single_word(rng: np.random.Generator) -> str:
    """A word to be said alone."""
    if chance(rng, LISTED_WORDS_SHARE):
        return pick(rng, listed_words())
    word = pick(rng, spoken_vocabulary())
    return HOMOPHONES.get(word, word)


def spoken_line(split: Split, seed: int, index: int, loose_words: float = LOOSE_WORDS) -> Line:
    """Line ``index``: most are from the grammar, a part are loose words (so that hearing does not guess)."""
    rng = generator(split, seed, "line", index)
    if chance(rng, loose_words):
        words = spoken_vocabulary()
        text = " ".join(pick(rng, words) for _ in range(int(rng.integers(2, 9))))
        return Line("words", text)
    return _grammar_line(rng, split, seed, index)


def _grammar_line(rng: np.random.Generator, split: Split, seed: int, index: int) -> Line:
    """A chat question, a question about a picture, or a sentence as the model itself would say it."""
    share = rng.random()
    if share < 0.5:
        turn = spoken_question(split, seed, index)
        return Line("chat", turn.question, turn.reply)
    scene = draw_scene(rng)
    if share < 0.8:
        turn = picture_turn(scene, rng, split, description=chance(rng, 0.15))
        return Line("picture", turn.question, turn.reply, scene)
    if chance(rng, 0.4):
        return Line("sentence", describe(scene))
    for turn in conversation(split, seed, index, spoken=True):
        if _within_vocabulary(turn):
            return Line("sentence", turn.reply)
    return Line("sentence", describe(scene))


def _within_vocabulary(turn: Turn) -> bool:
    return turn.kind not in ("name", "name recall", "repeat") and len(turn.reply.split()) <= MAX_WORDS
