"""The loop that speaks a text: a pointer moves through its sounds, every frame is told the sound at the pointer.

Every sentence is an utterance of its own, which neither its past nor what it sees of the text leaves. The frames
come as soon as the text read so far decides them; how the text is cut into pieces makes no difference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .phonemes import COMMA, PADDING, SENTENCE_MARKS, Phonemes
from .phonemizer import Phonemizer

LONGEST_SOUND_FRAMES = 60
"""The pointer moves on after this many frames whatever the model says: speech always ends."""
MEDIAN = 0.5
LONG_FRAMES = 400
"""About the longest sentences of training: from there on a comma, too, begins a new utterance …"""
LONGEST_FRAMES = 1000
"""… and from here on any sound. So a text of any length is spoken, with a past of bounded size."""

Frame = tuple[int, int]
Chooser = Callable[[NDArray[np.float32]], int]
"""Logits (K,) -> the code."""


class Step(Protocol):
    """One utterance of the Talker, with its past inside."""

    def __call__(
        self, codes: Frame | None, vector: NDArray[np.float32], elapsed: int
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], float]:
        """The frame before (None at the first), vector (d,) -> base (K,) and residual (K,) logits, advance."""
        ...


class Graphs(Protocol):
    """What the loop computes with. ``reach`` is how many sounds to either side a sound's vector depends on;
    the row of the base code in ``residual_by_base`` (K, K) is added to the residual logits."""

    @property
    def reach(self) -> int: ...

    @property
    def residual_by_base(self) -> NDArray[np.float32]: ...

    def letters(self, letters: NDArray[np.int64]) -> NDArray[np.float32]:
        """Letters (1, L) -> logits (1, L, slots, symbols)."""
        ...

    def context(self, sounds: NDArray[np.int64]) -> NDArray[np.float32]:
        """Sounds (1, reach + S + reach) -> vectors (1, S, d)."""
        ...

    def start(self) -> Step:
        """A new utterance."""
        ...


def best(logits: NDArray[np.float32]) -> int:
    """The likeliest code."""
    return int(logits.argmax())


class SpokenSounds:
    """The frames of a sequence of sounds; iterate once.

    Args:
        sounds: numbers of sounds; ``more`` is called when they are too few to go on. It lengthens the list, and
            gives False when nothing more comes.
    """

    def __init__(
        self,
        graphs: Graphs,
        sounds: Sequence[int],
        more: Callable[[], bool] = lambda: False,
        choose_base: Chooser = best,
        choose_residual: Chooser = best,
    ) -> None:
        self.cut_sounds = 0
        """Sounds that the model would have let last longer than :data:`LONGEST_SOUND_FRAMES`."""
        self._graphs, self._sounds, self._more = graphs, sounds, more
        self._choose_base, self._choose_residual = choose_base, choose_residual

    def __iter__(self) -> Iterator[Frame]:
        graphs, sounds = self._graphs, self._sounds
        pointer = first = frames = 0  # of the utterance: its first sound, its frames so far
        step = graphs.start()
        before: Frame | None = None
        growing = True
        while True:
            end = _sentence_end(sounds, pointer)
            while growing and end is None and len(sounds) <= pointer + graphs.reach:
                growing = self._more()
                end = _sentence_end(sounds, pointer)
            if pointer >= len(sounds):
                return
            window = range(pointer - graphs.reach, pointer + graphs.reach + 1)
            inside = range(first, len(sounds) if end is None else end)
            around = [sounds[i] if i in inside else PADDING for i in window]
            vector = graphs.context(np.array([around], dtype=np.int64))[0, 0]
            for frame in self._frames_of_sound(step, before, vector):
                yield frame
                before, frames = frame, frames + 1
            said = sounds[pointer]
            pointer += 1
            long_pause = said == COMMA and frames >= LONG_FRAMES
            if said in SENTENCE_MARKS or long_pause or frames >= LONGEST_FRAMES:
                first, frames, step, before = pointer, 0, graphs.start(), None

    def _frames_of_sound(
        self, step: Step, codes: Frame | None, vector: NDArray[np.float32]
    ) -> Iterator[Frame]:
        """``advance`` is the logit of the sound ending with this frame: its median length is what it gets."""
        lasting = 1.0  # the probability that the sound lasts longer than the frames it has had
        for elapsed in range(LONGEST_SOUND_FRAMES):
            base_logits, residual_logits, advance = step(codes, vector, elapsed)
            base = self._choose_base(base_logits)
            codes = base, self._choose_residual(residual_logits + self._graphs.residual_by_base[base])
            yield codes
            lasting *= 1 / (1 + np.exp(advance))
            if lasting < MEDIAN:
                return
        self.cut_sounds += 1


class SpokenText(SpokenSounds):
    """The frames of a text that comes in pieces; iterate once."""

    def __init__(
        self,
        graphs: Graphs,
        inventory: Phonemes,
        pieces: Iterable[str],
        choose_base: Chooser = best,
        choose_residual: Chooser = best,
    ) -> None:
        self._phonemizer = Phonemizer(graphs.letters, inventory)
        self._pieces = iter(pieces)
        super().__init__(graphs, self._phonemizer.phonemes, self._read_more, choose_base, choose_residual)

    @property
    def notes(self) -> list[str]:
        """What the listener should know about the text read so far."""
        return self._phonemizer.notes

    def _read_more(self) -> bool:
        if not self._phonemizer.read():
            piece = next(self._pieces, None)
            if piece is None:
                self._phonemizer.finish()
            else:
                self._phonemizer.push(piece)
        return not self._phonemizer.finished


def _sentence_end(sounds: Sequence[int], first: int) -> int | None:
    """One past the first ``.``, ``?`` or ``!`` from ``first`` on; None if there is none yet."""
    return next((i + 1 for i in range(first, len(sounds)) if sounds[i] in SENTENCE_MARKS), None)
