"""The keys and values of a decoder: one fixed buffer a layer, of rows that go on independently.

A row is one sequence. The buffers are ``(rows, kv_heads, positions, head)``; the graph gets them, or a slice of
neighbouring rows, as past and as present, and writes new positions in place. So nothing is copied in a step, and
forgetting positions is a matter of lengths.

This one is numpy memory. Whoever needs another memory implements the same methods; the decoder asks for
:meth:`KVCache.tensors` alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from muomni.errors import ContextError

CAPACITY_STEP = 128
"""Buffers grow by this many positions. A step reads only the valid part of a buffer, but a short reply should not
pay the memory of the whole context."""


@dataclass(frozen=True)
class CacheShape:
    """What a decoder's buffers look like: so many ``tensors`` (rows, kv_heads, positions, head_size)."""

    owner: str
    """For messages: "Thinker", "Talker" or "OCR"."""
    tensors: int
    kv_heads: int
    head_size: int
    context_length: int
    dtype: str

    @property
    def bytes_per_position(self) -> int:
        return self.tensors * self.kv_heads * self.head_size * np.dtype(self.dtype).itemsize


class KVCache:
    """What some sequences have seen. Not shareable between threads.

    Attributes:
        rows: how many sequences there is room for.
        capacity: positions that the buffers hold now; they grow.
        lengths: int64 (rows,), the valid positions of each row.
    """

    def __init__(self, shape: CacheShape, rows: int = 1, capacity: int = 1) -> None:
        self.shape, self.rows, self.capacity = shape, rows, 0
        self.lengths = np.zeros(rows, dtype=np.int64)
        self.bound: dict[Any, Any] = {}
        """What a decoder bound to these buffers; emptied when they move."""
        self._buffers: list[NDArray[Any]] = []
        self.reserve(capacity)

    @property
    def length(self) -> int:
        """Positions of the longest row."""
        return longest(self.lengths)

    def reserve(self, positions: int) -> None:
        """Make room for ``positions`` in every row, keeping what is there.

        Raises:
            ContextError: more than the decoder's context.
        """
        if positions <= self.capacity:
            return
        shape = self.shape
        if positions > shape.context_length:
            raise ContextError(
                f"{positions} positions are needed, the {shape.owner}'s context holds {shape.context_length}"
            )
        steps = -(-positions // CAPACITY_STEP) * CAPACITY_STEP
        capacity = min(max(steps, 2 * self.capacity), shape.context_length)
        # Zeros take no memory until they are written: rows that nobody uses cost nothing.
        size = (self.rows, shape.kv_heads, capacity, shape.head_size)
        buffers = [np.zeros(size, dtype=shape.dtype) for _ in range(shape.tensors)]
        for old, new in zip(self._buffers, buffers, strict=False):
            for row, valid in enumerate(self.lengths):
                new[row, :, :valid] = old[row, :, :valid]
        self._buffers, self.capacity = buffers, capacity
        self.bound.clear()

    def tensors(self, first: int, rows: int) -> list[NDArray[Any]]:
        """The buffers of ``rows`` neighbouring rows, as the graph takes them: slices, no copies."""
        return [buffer[first : first + rows] for buffer in self._buffers]

    def copy_row(self, row: int, source: KVCache, source_row: int, start: int = 0) -> None:
        """Make a row what a row of another cache (or of this one) is; its first ``start`` positions are so already."""
        valid = int(source.lengths[source_row])
        self.reserve(valid)
        for theirs, ours in zip(source._buffers, self._buffers, strict=True):
            ours[row, :, start:valid] = theirs[source_row, :, start:valid]
        self.lengths[row] = valid

    def taken(self, rows: Sequence[int]) -> KVCache:
        """A new cache with copies of some rows, in that order, and no more room than they need."""
        lengths = self.lengths[list(rows)]
        cache = KVCache(self.shape, len(rows), max(1, int(lengths.max(initial=0))))
        for at, row in enumerate(rows):
            cache.copy_row(at, self, row)
        return cache

    def read(self, row: int, positions: int) -> list[NDArray[Any]]:
        """Copies of the first ``positions`` of a row, (kv_heads, positions, head) a buffer."""
        return [buffer[row, :, :positions].copy() for buffer in self._buffers]

    def write(self, row: int, values: Sequence[NDArray[Any]], positions: int) -> None:
        """Make a row the first ``positions`` of what :meth:`read` gave."""
        self.reserve(positions)
        for buffer, value in zip(self._buffers, values, strict=True):
            buffer[row, :, :positions] = value[:, :positions]
        self.lengths[row] = positions

    def rewind(self, length: int, row: int = 0) -> None:
        """Forget the positions of a row from ``length`` on."""
        self.lengths[row] = min(int(self.lengths[row]), length)


def longest(lengths: NDArray[np.int64]) -> int:
    """The largest of them; for a lone row without numpy's reduction, which takes as long as a small node."""
    return int(lengths[0]) if len(lengths) == 1 else int(lengths.max())
