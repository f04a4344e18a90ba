"""Text as it arrives -> the numbers of its phonemes, a word behind.

Needs the letters graph as a function, so that training can use it with torch.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from .letters import collapse, window
from .normalise import MARKS, Normaliser, stronger
from .phonemes import Phonemes

LettersGraph = Callable[[NDArray[np.int64]], NDArray[np.float32]]
"""Letters (1, L) -> logits (1, L, SLOTS, symbols)."""


class Phonemizer:
    """Takes text piece by piece, gives phonemes when they are asked for.

    A word is read when the one after it is known, because its neighbours' letters matter. How the text is cut into
    pieces makes no difference to the phonemes, and a text of any length costs nothing until it is read.

    Example:
        phonemizer.push("Hello there, ")
        while new := phonemizer.read(32): ...   # empty: more text must come first, or `finished`
        phonemizer.finish()
    """

    def __init__(self, letters: LettersGraph, inventory: Phonemes) -> None:
        self.phonemes: list[int] = []
        """All that were read so far."""
        self._letters, self._inventory = letters, inventory
        self._normaliser = Normaliser()
        self._spoken = ""  # the last word already turned into phonemes
        self._waiting = ""  # the word after it

    def push(self, text: str) -> None:
        """More of the text; nothing is read yet."""
        self._normaliser.push(text)

    def finish(self) -> None:
        """No more text comes; what is there can still be read."""
        self._normaliser.finish()

    @property
    def finished(self) -> bool:
        """Nothing more will come: the text has ended, and all of it was read."""
        return self._normaliser.finished and not self._waiting

    @property
    def notes(self) -> list[str]:
        """What the listener should know about the text that was read so far, such as words in other scripts."""
        return self._normaliser.notes

    def read(self, limit: int = 1) -> list[int]:
        """At least ``limit`` new phonemes, or as many as the text so far has; whole words.

        Returns:
            The new ones, which :attr:`phonemes` ends with. Empty where more text must come first, and at the end.
        """
        start = len(self.phonemes)
        while len(self.phonemes) - start < limit and self._take():
            pass
        return self.phonemes[start:]

    def _take(self) -> bool:
        """One word or mark more; False where there is none for now."""
        spoken = self._normaliser.next()
        if spoken is None:
            if not (self._normaliser.finished and self._waiting):
                return False
            self._waiting = stronger(self._waiting, ".")  # no text ends in the middle of a sentence
            self._say("")
        elif spoken in MARKS:
            self._waiting = stronger(self._waiting, spoken) if self._waiting else ""
        else:
            if self._waiting:
                self._say(spoken)
            self._waiting = spoken
        return True

    def _say(self, following: str) -> None:
        """Turn the waiting word into phonemes."""
        word = self._waiting
        letters, first = window(self._spoken, word, following)
        bare = word.rstrip(MARKS)
        logits = self._letters(letters[None])[0, first : first + len(bare)]
        symbols = collapse(logits.reshape(-1, logits.shape[-1]).argmax(axis=-1))
        for i, symbol in enumerate(symbols):
            self.phonemes.append(self._inventory.id(self._inventory.symbols[symbol - 1], starts_word=i == 0))
        if word != bare:
            self.phonemes.append(self._inventory.id(word[len(bare)], starts_word=False))
        self._spoken, self._waiting = word, ""
