"""Memory that a graph reads or writes where it is."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

HOST = "cpu"


@dataclass(frozen=True)
class Region:
    """A contiguous tensor: an address on a device, and who keeps it alive.

    Attributes:
        owner: a numpy array or an OrtValue.
        address: of the first element.
        device: as ONNX Runtime names it, "cpu" or "cuda".
    """

    owner: Any
    address: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    device: str = HOST
    index: int = 0

    def part(self, first: int, count: int) -> Region:
        """``count`` of the first axis, from ``first`` on."""
        size = math.prod(self.shape[1:]) * self.dtype.itemsize
        return replace(self, address=self.address + first * size, shape=(count, *self.shape[1:]))

    def reshaped(self, shape: tuple[int, ...]) -> Region:
        """The same memory with other axes."""
        assert math.prod(shape) == math.prod(self.shape)
        return replace(self, shape=shape)


def region_of(array: NDArray[Any]) -> Region:
    """Where a contiguous array is."""
    assert array.flags.c_contiguous, "a graph takes contiguous memory"
    return Region(array, array.ctypes.data, array.shape, array.dtype)
