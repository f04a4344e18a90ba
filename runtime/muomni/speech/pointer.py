"""The loop that speaks phonemes: a pointer moves through them, every frame is given the phoneme at the pointer.

Every sentence is an utterance of its own, which neither its past nor what it sees of the text leaves. The frames
come as soon as the phonemes pushed so far decide them; how they are cut into pieces makes no difference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from .phonemes import COMMA, PADDING, SENTENCE_MARKS

LONGEST_PHONEME_FRAMES = 60
"""The pointer moves on after this many frames whatever the model says: speech always ends."""
MEDIAN = 0.5
LONG_FRAMES = 400
"""About the longest sentences of training: from there on a comma, too, begins a new utterance …"""
LONGEST_FRAMES = 1000
"""… and from here on any phoneme. So a text of any length is spoken, with a past of bounded size."""

Frame = tuple[int, int]


class Query(NamedTuple):
    """What the Talker is given for the next frame.

    Attributes:
        codes: the frame before; None begins a new utterance, with no past.
        vector: (d,) of the phoneme at the pointer; the same array as long as the pointer stays.
        elapsed: frames that the phoneme has had.
    """

    codes: Frame | None
    vector: NDArray[np.float32]
    elapsed: int


Answer = tuple[NDArray[np.float32], NDArray[np.float32], float]
"""The Talker's: base (K,) and residual (K,) logits, advance."""
Chooser = Callable[[NDArray[np.float32]], int]
"""Logits (K,) -> the code."""


Step = Callable[[Query], Answer]
"""One utterance of the Talker, with its past inside."""


class Graphs(Protocol):
    """What the loop computes with. ``reach`` is how many phonemes to either side a phoneme's vector depends on;
    the row of the base code in ``residual_by_base`` (K, K) is added to the residual logits."""

    @property
    def reach(self) -> int: ...

    @property
    def residual_by_base(self) -> NDArray[np.float32]: ...

    def letters(self, letters: NDArray[np.int64]) -> NDArray[np.float32]:
        """Letters (1, L) -> logits (1, L, slots, symbols)."""
        ...

    def context(self, phonemes: NDArray[np.int64]) -> NDArray[np.float32]:
        """Phonemes (1, reach + S + reach) -> vectors (1, S, d)."""
        ...

    def start(self) -> Step:
        """A new utterance."""
        ...


def best(logits: NDArray[np.float32]) -> int:
    """The likeliest code."""
    return int(logits.argmax())


class Pointer:
    """Phonemes in, frames out, as soon as they are decided.

    Alone, it is asked for :meth:`next_frame`. Where somebody else runs the Talker, for several pointers at once,
    :meth:`query` says what to run it with and :meth:`take` takes what came of it.

    Attributes:
        cut_phonemes: those that the model would have let last longer than :data:`LONGEST_PHONEME_FRAMES`.
        over: no frame comes any more.
    """

    def __init__(self, graphs: Graphs, choose_base: Chooser = best, choose_residual: Chooser = best) -> None:
        self.cut_phonemes = 0
        self.over = False
        self._graphs = graphs
        self._choose_base, self._choose_residual = choose_base, choose_residual
        self._phonemes: list[int] = []
        self._finished = False
        self._at = self._elapsed = 0
        self._lasting = 1.0
        """The probability that the phoneme lasts longer than the frames it has had."""
        self._before: Frame | None = None
        self._vector: NDArray[np.float32] | None = None
        self._step: Step | None = None
        self._first = self._frames = 0

    def push(self, phonemes: Iterable[int]) -> None:
        """More numbers of phonemes and marks."""
        self._phonemes.extend(phonemes)

    def finish(self) -> None:
        """No more phonemes come."""
        self._finished = True

    def next_frame(self) -> Frame | None:
        """The next frame (base code, residual code); None while more phonemes must come, and when it is over."""
        query = self.query()
        if query is None:
            return None
        if query.codes is None or self._step is None:
            self._step = self._graphs.start()
        return self.take(*self._step(query))

    def query(self) -> Query | None:
        """What the next frame is computed from; None while more phonemes must come, and when it is over."""
        if self._vector is None and not self._look():
            return None
        assert self._vector is not None
        return Query(self._before, self._vector, self._elapsed)

    def take(
        self, base_logits: NDArray[np.float32], residual_logits: NDArray[np.float32], advance: float
    ) -> Frame:
        """The frame that the Talker's answer to :meth:`query` makes."""
        base = self._choose_base(base_logits)
        frame = base, self._choose_residual(residual_logits + self._graphs.residual_by_base[base])
        self._before = frame
        self._elapsed += 1
        self._frames += 1
        # ``advance`` is the logit of the phoneme ending with this frame: its median length is what it gets.
        self._lasting *= 1 / (1 + np.exp(advance))
        ended = self._lasting < MEDIAN
        if ended or self._elapsed == LONGEST_PHONEME_FRAMES:
            self.cut_phonemes += not ended
            self._move_on()
        return frame

    def _look(self) -> bool:
        """Compute the vector of the phoneme at the pointer, if what it depends on is there."""
        reach, phonemes = self._graphs.reach, self._phonemes
        end = self._sentence_end()
        if end is None and not self._finished and len(phonemes) <= self._at + reach:
            return False
        if self._at >= len(phonemes):
            self.over = True
            return False
        inside = range(self._first, len(phonemes) if end is None else end)
        window = range(self._at - reach, self._at + reach + 1)
        around = [phonemes[i] if i in inside else PADDING for i in window]
        self._vector = self._graphs.context(np.array([around], dtype=np.int64))[0, 0]
        self._elapsed, self._lasting = 0, 1.0
        return True

    def _move_on(self) -> None:
        """To the next phoneme, in a new utterance where this one ends a sentence."""
        said = self._phonemes[self._at]
        self._at += 1
        self._vector = None
        long_pause = said == COMMA and self._frames >= LONG_FRAMES
        if said in SENTENCE_MARKS or long_pause or self._frames >= LONGEST_FRAMES:
            self._first, self._frames, self._before = self._at, 0, None

    def _sentence_end(self) -> int | None:
        """One past the first ``.``, ``?`` or ``!`` from the pointer on that can matter; None if there is none yet."""
        end = min(len(self._phonemes), self._at + self._graphs.reach + 1)
        marks = (i + 1 for i in range(self._at, end) if self._phonemes[i] in SENTENCE_MARKS)
        return next(marks, None)
