"""The reference Talker: speech codes, one frame at a time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from muomni.bundle.manifest import TalkerStage
from muomni.errors import ContextError, InputError
from muomni.ort.decoder import Decoder
from muomni.ort.session import GraphSession

from .sampling import Sampler, SamplingOptions

Frame = tuple[int, ...]


class ReferenceTalker:
    """The speech-code decoder of a bundle whose Talker reads no text.

    Example:
        >>> frames = list(omni.reference_talker.frames(3, SamplingOptions(temperature=0.8, seed=1)))
        >>> len(frames), len(frames[0])
        (3, 2)
    """

    def __init__(self, session: GraphSession, stage: TalkerStage) -> None:
        self.stage = stage
        self.decoder = Decoder("Talker", session, stage)

    @property
    def max_frames(self) -> int:
        """Frames that fit: the start and the all-zero first frame take two positions."""
        return self.stage.context_length - 2

    def frames(self, count: int, options: SamplingOptions) -> Iterator[Frame]:
        """Draw ``count`` frames (base code, residual code).

        The sequence is: start, frame (0, 0), frame 1, …; the (0, 0) frame is not part of the result.

        Raises:
            InputError: ``count`` below 1.
            ContextError: more than :attr:`max_frames`.
        """
        self.check(count)
        return self._frames(count, options)

    def check(self, count: int) -> None:
        """Raises InputError below 1, ContextError above :attr:`max_frames`."""
        if count < 1:
            raise InputError(f"speech frames: expected at least 1, got {count}")
        if count > self.max_frames:
            raise ContextError(f"speech frames: the Talker's context holds {self.max_frames}, got {count}")

    def _frames(self, count: int, options: SamplingOptions) -> Iterator[Frame]:
        sampler = Sampler(options)
        state = self.decoder.start(1, count + 1)
        step = np.array([[self.stage.start_codes, [0] * self.stage.codebooks]], dtype=np.int64)
        for _ in range(count):
            result = self.decoder.feed(state, step.shape[1], {"codes": step})
            frame = (sampler.pick(result["base_logits"][0]), sampler.pick(result["residual_logits"][0]))
            yield frame
            step = np.array([[frame]], dtype=np.int64)

    def logits(self, frames: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Base and residual logits (n, K) from which each of the frames (n, 2) is chosen."""
        self.check(len(frames))
        state = self.decoder.start(1, len(frames) + 1)
        step = np.array([[self.stage.start_codes, [0] * self.stage.codebooks]], dtype=np.int64)
        base, residual = [], []
        for frame in frames:
            result = self.decoder.feed(state, step.shape[1], {"codes": step})
            base.append(result["base_logits"][0].copy())
            residual.append(result["residual_logits"][0].copy())
            step = np.asarray(frame, dtype=np.int64).reshape(1, 1, -1)
        return np.stack(base), np.stack(residual)
