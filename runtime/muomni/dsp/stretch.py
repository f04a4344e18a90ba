"""Linear interpolation of frames in time, as they come."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class FrameStretch:
    """Frames at one rate to frames at another, chunk by chunk; pitch stays, because frames are spectra.

    Frames lie at the centres of their intervals; before the first and after the last centre the edge frame is
    held. All frames of ``n`` become ``round(n * ratio)``, at least one; a ratio of 1 changes nothing.

    Args:
        ratio: frames given for each frame taken.

    Example:
        >>> slower = FrameStretch(1.5)
        >>> made = [slower.feed(mel[:10]), slower.feed(mel[10:]), slower.finish()]
    """

    def __init__(self, ratio: float) -> None:
        self._ratio = ratio
        self._taken = self._given = 0
        self._kept: NDArray[np.float32] | None = None  # the last frames, from self._taken - len on

    def feed(self, frames: NDArray[np.float32]) -> NDArray[np.float32]:
        """Frames (n, bins) -> the frames (m, bins) that they settle."""
        if self._ratio == 1 or not len(frames):
            return frames
        self._kept = frames if self._kept is None else np.concatenate((self._kept, frames))
        self._taken += len(frames)
        # Frame k lies at (k + 0.5) / ratio - 0.5 of what is taken, and needs the one after that.
        end = int(np.ceil((self._taken - 0.5) * self._ratio - 0.5))
        return self._give(end, last=False)

    def finish(self) -> NDArray[np.float32] | None:
        """No more frames come: the rest (m, bins); None where there never was one."""
        if self._kept is None:
            return None
        return self._give(max(1, round(self._taken * self._ratio)), last=True)

    def _give(self, end: int, last: bool) -> NDArray[np.float32]:
        assert self._kept is not None
        position = (np.arange(self._given, max(end, self._given)) + 0.5) / self._ratio - 0.5
        if not last:
            position = position[position < self._taken - 1]
        position = np.clip(position, 0, self._taken - 1)
        first = self._taken - len(self._kept)
        before = position.astype(np.int64)
        after = np.minimum(before + 1, self._taken - 1)
        weight = (position - before).astype(np.float32)[:, None]
        made: NDArray[np.float32] = (
            self._kept[before - first] * (1 - weight) + self._kept[after - first] * weight
        )
        self._given += len(position)
        still = int(max(0, (self._given + 0.5) / self._ratio - 0.5)) - first
        self._kept = self._kept[max(0, min(still, len(self._kept) - 1)) :]
        return made
