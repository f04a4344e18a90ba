"""A loudspeaker for machines without one: the part of ``sounddevice`` that the pages use, with its checks."""

from __future__ import annotations

from types import TracebackType

import numpy as np
from numpy.typing import NDArray

played: list[NDArray[np.float32]] = []


class OutputStream:
    def __init__(self, samplerate: float, channels: int, dtype: str = "float32") -> None:
        assert samplerate > 0 and channels == 1 and dtype == "float32"
        self._open = False

    def start(self) -> None:
        self._open = True

    def write(self, data: NDArray[np.float32]) -> bool:
        assert self._open, "write before start"
        assert data.dtype == np.float32 and data.ndim in (1, 2)
        played.append(data)
        return False

    def stop(self) -> None:
        self._open = False

    def close(self) -> None:
        self._open = False

    def __enter__(self) -> OutputStream:
        self.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()
