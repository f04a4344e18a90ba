"""The sounds a model knows and their numbers.

Number 0 is padding, then the marks ``, . ? !``, then every sound twice: inside a word, and starting one. The
stress of a sound is part of its name. The list is counted from the teacher's speech once and then stays with the
model: it goes into the bundle, since the torch-free runtime needs it to turn spellings into numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .alignment import Aligned, Sound
from .normalise import MARKS

PADDING = 0
FIRST_SOUND = 1 + len(MARKS)


@dataclass(frozen=True)
class Inventory:
    symbols: tuple[str, ...]
    """Sounds without marks; the letters-to-sounds model numbers them from 1 (0 is its blank)."""

    @classmethod
    def count(cls, sentences: Iterable[Aligned]) -> Inventory:
        found = {sound.symbol for aligned in sentences for sound in aligned.sounds}
        return cls(tuple(sorted(found - set(MARKS))))

    @property
    def size(self) -> int:
        """How many numbers there are, padding included."""
        return FIRST_SOUND + 2 * len(self.symbols)

    def id(self, symbol: str, starts_word: bool) -> int:
        """Raises ValueError for a sound not in the inventory."""
        if symbol in MARKS:
            return 1 + MARKS.index(symbol)
        return FIRST_SOUND + 2 * self.symbols.index(symbol) + starts_word

    def ids(self, sounds: Sequence[Sound]) -> NDArray[np.int64] | None:
        """Numbers (S,) of a sentence's sounds; None when one is so rare that the inventory lacks it."""
        try:
            return np.array([self.id(s.symbol, s.starts_word) for s in sounds], dtype=np.int64)
        except ValueError:
            return None

    def symbol(self, number: int) -> str:
        if number == PADDING:
            return ""
        if number < FIRST_SOUND:
            return MARKS[number - 1]
        return self.symbols[(number - FIRST_SOUND) // 2]
