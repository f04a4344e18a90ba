"""The sounds a model knows and their numbers.

Number 0 is padding, then the marks ``, . ? !``, then every sound twice: inside a word, and starting one. The
stress of a sound is part of its name. The list stays with the model: spellings become these numbers.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from muomni.errors import BundleError

from .normalise import MARKS

PADDING = 0
FIRST_PHONEME = 1 + len(MARKS)
COMMA = 1 + MARKS.index(",")
SENTENCE_MARKS = frozenset(1 + MARKS.index(mark) for mark in ".?!")


@dataclass(frozen=True)
class Phonemes:
    """``symbols``: names of the sounds, without marks; the letters graph numbers them from 1 (0 is its blank)."""

    symbols: tuple[str, ...]

    @classmethod
    def read(cls, path: Path) -> Phonemes:
        """From a JSON file: a list of names.

        Raises:
            BundleError: the file holds anything else.
        """
        try:
            names = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise BundleError(f"{path}: not a list of sounds ({error})") from error
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise BundleError(f"{path}: expected a JSON list of names of sounds")
        return cls(tuple(names))

    @property
    def size(self) -> int:
        """How many numbers there are, padding included."""
        return FIRST_PHONEME + 2 * len(self.symbols)

    def id(self, symbol: str, starts_word: bool) -> int:
        """The number of a sound or mark.

        Raises:
            ValueError: a sound that is not in the inventory.
        """
        if symbol in MARKS:
            return 1 + MARKS.index(symbol)
        return FIRST_PHONEME + 2 * self.symbols.index(symbol) + starts_word
