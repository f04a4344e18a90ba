"""Text as it arrives -> the numbers of its sounds, a word behind.

Needs the letters graph as a function, so that training can use it with torch.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from .letters import collapse, window
from .normalise import MARKS, normalise_token
from .phonemes import Phonemes

LettersGraph = Callable[[NDArray[np.int64]], NDArray[np.float32]]
"""Letters (1, L) -> logits (1, L, SLOTS, symbols)."""


class Phonemizer:
    """Takes text piece by piece, gives sounds.

    A token is complete when white space follows; a word is spelled when the token after it is complete, because
    its neighbours' letters matter. How the text is cut into pieces makes no difference to the sounds.
    """

    def __init__(self, letters: LettersGraph, table: Phonemes) -> None:
        self.phonemes: list[int] = []
        self.finished = False
        self._letters, self._table = letters, table
        self._text = ""
        self._spelled = ""  # the last word already turned into sounds
        self._waiting = ""  # the word after it

    def feed(self, text: str) -> None:
        self._text += text
        *complete, self._text = self._split(self._text)
        for token in complete:
            self._take(token)

    def finish(self) -> None:
        """No more text comes."""
        if self.finished:
            return
        self._take(self._text)
        self._text = ""
        if self._waiting:
            if self._waiting[-1] not in MARKS:
                self._waiting += "."
            self._spell("")
        self.finished = True

    @staticmethod
    def _split(text: str) -> list[str]:
        """Tokens; the last one may still grow, and is empty after white space."""
        tokens = text.split()
        return tokens if tokens and not text[-1].isspace() else [*tokens, ""]

    def _take(self, token: str) -> None:
        for word in normalise_token(token).split():
            if word in MARKS:  # a mark by itself ends the word before
                if self._waiting and self._waiting[-1] not in MARKS:
                    self._waiting += word
                continue
            word = word.lstrip(MARKS)
            if self._waiting:
                self._spell(word)
            self._waiting = word

    def _spell(self, following: str) -> None:
        """Turn the waiting word into sounds."""
        word = self._waiting
        letters, first = window(self._spelled, word, following)
        bare = word.rstrip(MARKS)
        logits = self._letters(letters[None])[0, first : first + len(bare)]
        symbols = collapse(logits.reshape(-1, logits.shape[-1]).argmax(axis=-1))
        for i, symbol in enumerate(symbols):
            self.phonemes.append(self._table.id(self._table.symbols[symbol - 1], starts_word=i == 0))
        if word != bare:
            self.phonemes.append(self._table.id(word[len(bare)], starts_word=False))
        self._spelled, self._waiting = word, ""
