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
        >>> phonemizer = Phonemizer(letters_graph, phonemes)
        >>> phonemizer.push("Hello there, ")
        >>> ids = phonemizer.read()  # of "hello"; empty where more text must come first, and at the end
        >>> phonemizer.finish()
    """

    def __init__(self, letters: LettersGraph, phonemes: Phonemes) -> None:
        self._letters, self._phonemes = letters, phonemes
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
        """The ids of the next phonemes.

        Args:
            limit: as many at least, where the text so far has them. Words are whole, so there may be more.

        Returns:
            Empty where more text must come first, and when it is :attr:`finished`.
        """
        ids: list[int] = []
        while len(ids) < limit:
            spoken = self._normaliser.next()
            if spoken is None:
                if self._normaliser.finished and self._waiting:
                    self._waiting = stronger(self._waiting, ".")  # no text ends inside a sentence
                    ids += self._say("")
                break
            if spoken in MARKS:
                self._waiting = stronger(self._waiting, spoken) if self._waiting else ""
                continue
            if self._waiting:
                ids += self._say(spoken)
            self._waiting = spoken
        return ids

    def _say(self, following: str) -> list[int]:
        """The phonemes of the waiting word."""
        word = self._waiting
        letters, first = window(self._spoken, word, following)
        bare = word.rstrip(MARKS)
        logits = self._letters(letters[None])[0, first : first + len(bare)]
        symbols = collapse(logits.reshape(-1, logits.shape[-1]).argmax(axis=-1))
        names = [self._phonemes.symbols[symbol - 1] for symbol in symbols]
        ids = [self._phonemes.id(name, starts_word=i == 0) for i, name in enumerate(names)]
        if word != bare:
            ids.append(self._phonemes.id(word[len(bare)], starts_word=False))
        self._spoken, self._waiting = word, ""
        return ids
