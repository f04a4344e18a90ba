"""Words as the letters-to-sounds model reads them, one word at a time with a little of its neighbours.

The neighbours matter for a few small words ("the" before a vowel, "of the" said as one); three letters of each are
enough.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from .normalise import MARKS

LETTERS = "abcdefghijklmnopqrstuvwxyz'"
PADDING = 0
NEIGHBOUR = 1  # the first of 27 numbers of letters in the words beside
OWN = NEIGHBOUR + len(LETTERS)  # the first of 27 numbers of letters of the word to be spelled
GAP, PAUSE, EDGE = (OWN + len(LETTERS) + i for i in range(3))
"""What parts two words: nothing, a mark; and the beginning or end of the text."""
SIZE = EDGE + 1
CONTEXT_LETTERS = 3
SLOTS = 3
"""Sounds a letter can have at most ("x" and "u" have two, a spelled-out one more)."""
BLANK = 0


def window(previous: str, word: str, following: str) -> tuple[NDArray[np.int64], int]:
    """Numbers of the letters (L,) that a word is read from, and how many come before its own.

    ``previous`` and ``following`` are tokens, marks included, and empty at the edges of the text; so is a mark on
    ``word``.
    """
    bare = word.rstrip(MARKS)
    before = [EDGE]
    if previous:
        gap = PAUSE if previous[-1] in MARKS else GAP
        tail = previous.rstrip(MARKS)[-CONTEXT_LETTERS:]
        before = [*(NEIGHBOUR + LETTERS.index(c) for c in tail), gap]
    after = [EDGE]
    if following:
        head = following.rstrip(MARKS)[:CONTEXT_LETTERS]
        gap = PAUSE if word != bare else GAP
        after = [gap, *(NEIGHBOUR + LETTERS.index(c) for c in head)]
    own = [OWN + LETTERS.index(c) for c in bare]
    return np.array(before + own + after, dtype=np.int64), len(before)


def windows(tokens: Sequence[str]) -> Iterator[tuple[NDArray[np.int64], int]]:
    """The window of each token of a normalised text."""
    for i, token in enumerate(tokens):
        previous = tokens[i - 1] if i else ""
        following = tokens[i + 1] if i + 1 < len(tokens) else ""
        yield window(previous, token, following)


def collapse(slots: NDArray[np.int64]) -> list[int]:
    """Best symbol of each slot (letters · SLOTS,) -> symbols: repeats are one, blanks are none (CTC)."""
    kept = slots[np.insert(slots[1:] != slots[:-1], 0, True)] if len(slots) else slots
    return [int(k) for k in kept if k != BLANK]
