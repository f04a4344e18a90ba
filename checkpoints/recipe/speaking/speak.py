"""The loop that speaks, as the runtime has to run it: numpy, three graphs, and text that may still be arriving.

README.md says the same in words. :class:`TorchGraphs` stands in for the exported graphs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from muomni_export.modules.decoder import CachedAttend
from muomni_export.modules.talker import PADDING, Talker

from .inventory import Inventory
from .letters import LettersToSounds
from .normalise import MARKS
from .reading import Reader

LONGEST_SOUND_FRAMES = 60
"""The pointer moves on after a second whatever the model says: speech always ends."""
MEDIAN = 0.5
COMMA = 1 + MARKS.index(",")
SENTENCE_MARKS = frozenset(1 + MARKS.index(mark) for mark in ".?!")
LONG_FRAMES = 400
"""Six seconds, the longest sentences of training: from there on a comma, too, begins a new utterance …"""
LONGEST_FRAMES = 1000
"""… and from here on any sound. So a text of any length is spoken, with a past of bounded size."""

Chooser = Callable[[NDArray[np.float32]], int]
"""Logits (K,) -> the code."""


class Step(Protocol):
    """One utterance's Talker, with its past inside."""

    def __call__(
        self, codes: NDArray[np.int64] | None, vector: NDArray[np.float32], elapsed: int
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], float]:
        """Codes (2,) of the frame before (None at the first), vector (d,) -> base (K,), residual (K,), advance."""
        ...


class Graphs(Protocol):
    reach: int
    base_to_residual: NDArray[np.float32]  # (K, K)

    def letters(self, letters: NDArray[np.int64]) -> NDArray[np.float32]: ...
    def context(self, sounds: NDArray[np.int64]) -> NDArray[np.float32]: ...
    def start(self) -> Step: ...


class TorchGraphs:
    """The graphs as torch modules."""

    def __init__(self, letters: LettersToSounds, talker: Talker) -> None:
        assert talker.sizes.text is not None
        self._letters, self._talker = letters.eval(), talker.eval()
        self.reach = talker.sizes.text.reach
        self.base_to_residual: NDArray[np.float32] = talker.base_to_res.weight.detach().numpy()

    @torch.no_grad()
    def letters(self, letters: NDArray[np.int64]) -> NDArray[np.float32]:
        result: NDArray[np.float32] = self._letters(torch.from_numpy(letters)).numpy()
        return result

    @torch.no_grad()
    def context(self, sounds: NDArray[np.int64]) -> NDArray[np.float32]:
        result: NDArray[np.float32] = self._talker.context(torch.from_numpy(sounds)).numpy()
        return result

    def start(self) -> Step:
        attend = CachedAttend()
        talker = self._talker

        @torch.no_grad()
        def step(
            codes: NDArray[np.int64] | None, vector: NDArray[np.float32], elapsed: int
        ) -> tuple[NDArray[np.float32], NDArray[np.float32], float]:
            before = torch.zeros(1, 0, 2, dtype=torch.long)
            if codes is not None:
                before = torch.from_numpy(codes)[None, None]
            embedded = talker.embed_spoken(
                before, torch.from_numpy(vector)[None, None], torch.tensor([[elapsed]]), first=codes is None
            )
            base, residual, advance = talker.speak(embedded, attend)
            return base[0, 0].numpy(), residual[0, 0].numpy(), float(advance[0, 0])

        return step


def best(logits: NDArray[np.float32]) -> int:
    return int(logits.argmax())


def sampler(temperature: float, seed: int) -> Chooser:
    """Draws from softmax(logits / temperature)."""
    rng = np.random.default_rng(seed)
    return lambda logits: int((logits / temperature + rng.gumbel(size=logits.shape)).argmax())


def speak(
    graphs: Graphs,
    inventory: Inventory,
    pieces: Iterable[str],
    choose_base: Chooser = best,
    choose_residual: Chooser = best,
) -> Iterator[tuple[int, int]]:
    """Text in pieces -> frames (base, residual), each as soon as the text read so far decides it."""
    reader = Reader(graphs.letters, inventory)
    source = iter(pieces)

    def more() -> bool:
        """Read one more piece; False when there is no more sound to come."""
        piece = next(source, None)
        if piece is None:
            reader.finish()
        else:
            reader.feed(piece)
        return not reader.finished

    yield from speak_sounds(graphs, reader.sounds, more, choose_base, choose_residual)


def speak_sounds(
    graphs: Graphs,
    sounds: list[int],
    more: Callable[[], bool] = lambda: False,
    choose_base: Chooser = best,
    choose_residual: Chooser = best,
) -> Iterator[tuple[int, int]]:
    """The numbers of sounds -> frames. ``more`` is called when ``sounds`` is too short to go on; it lengthens it.

    Every sentence is an utterance of its own, which neither its past nor its window leaves.
    """
    reach, growing = graphs.reach, True
    pointer = first = frames = 0  # of the utterance: its first sound, its frames so far
    step = graphs.start()
    codes: NDArray[np.int64] | None = None
    while True:
        end = sentence_end(sounds, pointer)
        while growing and end is None and len(sounds) <= pointer + reach:
            growing = more()
            end = sentence_end(sounds, pointer)
        if pointer >= len(sounds):
            return
        window = range(pointer - reach, pointer + reach + 1)
        inside = range(first, len(sounds) if end is None else end)
        around = [sounds[i] if i in inside else PADDING for i in window]
        vector = graphs.context(np.array([around], dtype=np.int64))[0, 0]
        lasting = 1.0  # the probability that the sound lasts longer than the frames it has had
        for elapsed in range(LONGEST_SOUND_FRAMES):
            base_logits, residual_logits, advance = step(codes, vector, elapsed)
            base = choose_base(base_logits)
            residual = choose_residual(residual_logits + graphs.base_to_residual[base])
            codes = np.array([base, residual], dtype=np.int64)
            yield base, residual
            frames += 1
            lasting *= 1 / (1 + np.exp(advance))
            if lasting < MEDIAN:  # half of such sounds would be over: the median length, with nothing drawn
                break
        said = sounds[pointer]
        pointer += 1
        if said in SENTENCE_MARKS or (said == COMMA and frames >= LONG_FRAMES) or frames >= LONGEST_FRAMES:
            first, frames, step, codes = pointer, 0, graphs.start(), None


def sentence_end(sounds: list[int], first: int) -> int | None:
    """One past the first ``.``, ``?`` or ``!`` from ``first`` on; None if there is none yet."""
    return next((i + 1 for i in range(first, len(sounds)) if sounds[i] in SENTENCE_MARKS), None)
