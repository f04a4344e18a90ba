"""The keys and values of a decoder: one fixed buffer a layer, of rows that go on independently.

A row is one sequence. The buffers are ``(rows, kv_heads, positions, head)``; the graph gets them, or neighbouring
rows of them, as past and as present, and writes new positions in place. So nothing is copied in a step, and
forgetting positions is a matter of lengths.

:class:`KVCache` is what the decoder and the engine know. :class:`HostCache` holds it in numpy arrays;
:class:`muomni.ort.device_cache.DeviceCache` holds it in the memory of a device.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from muomni.errors import ContextError

from .device_memory import no_memory
from .region import Region

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


@dataclass(frozen=True)
class Snapshot:
    """The first positions of a row as they were, in the memory of the cache they are of.

    Attributes:
        values: (1, kv_heads, positions, head) a tensor; what they are is the cache's business.
        nbytes: what they take.
    """

    positions: int
    values: list[Any]
    nbytes: int


class KVCache(ABC):
    """What some sequences have seen. Not shareable between threads; :class:`Snapshot` is.

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
        self.reserve(capacity)

    @property
    def length(self) -> int:
        """Positions of the longest row."""
        return longest(self.lengths)

    def rows_to_compute(self, live: int) -> int:
        """Rows of a step in which the first ``live`` go on: an even number, where there are several rows.

        ONNX Runtime's 8-bit and 4-bit kernels take rows in pairs and round an odd last one otherwise (in the last
        bit), so what is computed would depend on how many others there are.
        """
        return min(live + live % 2, self.rows)

    def reserve(self, positions: int) -> None:
        """Make room for ``positions`` in every row, keeping what is there.

        Raises:
            ContextError: more than the decoder's context.
            OutOfMemoryError: there is no memory for it; the cache is unchanged.
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
        self._grow(capacity)
        self.capacity = capacity
        self.bound.clear()

    def copy_row(self, row: int, source: KVCache, source_row: int, start: int = 0) -> None:
        """Make a row what a row of another cache (or of this one) is; its first ``start`` positions are so already.

        Raises:
            ContextError, OutOfMemoryError: as :meth:`reserve`.
        """
        valid = int(source.lengths[source_row])
        self.reserve(valid)
        if source is not self or source_row != row:
            self._copy(row, source, source_row, start, valid)
        self.lengths[row] = valid

    def taken(self, rows: Sequence[int]) -> KVCache:
        """A new cache with copies of some rows, in that order, and no more room than they need."""
        lengths = self.lengths[list(rows)]
        cache = self.another(len(rows), max(1, int(lengths.max(initial=0))))
        for at, row in enumerate(rows):
            cache.copy_row(at, self, row)
        return cache

    def rewind(self, length: int, row: int = 0) -> None:
        """Forget the positions of a row from ``length`` on."""
        self.lengths[row] = min(int(self.lengths[row]), length)

    @abstractmethod
    def another(self, rows: int, capacity: int) -> KVCache:
        """An empty cache of the same shape in the same memory."""

    @abstractmethod
    def tensors(self, first: int, rows: int) -> Sequence[NDArray[Any] | Region]:
        """The buffers of ``rows`` neighbouring rows, as the graph takes them: where they are, no copies."""

    @abstractmethod
    def read(self, row: int, positions: int) -> list[NDArray[Any]]:
        """Copies of the first ``positions`` of a row as numpy arrays, (kv_heads, positions, head) a buffer."""

    @abstractmethod
    def write(self, row: int, values: Sequence[NDArray[Any]], positions: int) -> None:
        """Make a row the first ``positions`` of what :meth:`read` gave."""

    @abstractmethod
    def snapshot(self, row: int, positions: int) -> Snapshot:
        """Copies of the first ``positions`` of a row, that stay in this memory."""

    @abstractmethod
    def restore(self, row: int, snapshot: Snapshot, positions: int) -> None:
        """Make a row the first ``positions`` of a snapshot of a cache in the same memory."""

    @abstractmethod
    def _grow(self, capacity: int) -> None:
        """Move to buffers of that many positions, with all that is valid."""

    @abstractmethod
    def _copy(self, row: int, source: KVCache, source_row: int, start: int, valid: int) -> None:
        """Copy at least the positions ``start`` to ``valid``; both have room for them, and are not the same."""


class HostCache(KVCache):
    """Keys and values in numpy arrays."""

    def __init__(self, shape: CacheShape, rows: int = 1, capacity: int = 1) -> None:
        self._buffers: list[NDArray[Any]] = []
        super().__init__(shape, rows, capacity)

    def another(self, rows: int, capacity: int) -> HostCache:
        return HostCache(self.shape, rows, capacity)

    def tensors(self, first: int, rows: int) -> list[NDArray[Any]]:
        return [buffer[first : first + rows] for buffer in self._buffers]

    def read(self, row: int, positions: int) -> list[NDArray[Any]]:
        return [buffer[row, :, :positions].copy() for buffer in self._buffers]

    def write(self, row: int, values: Sequence[NDArray[Any]], positions: int) -> None:
        self.reserve(positions)
        for buffer, value in zip(self._buffers, values, strict=True):
            buffer[row, :, :positions] = value[:, :positions]
        self.lengths[row] = positions

    def snapshot(self, row: int, positions: int) -> Snapshot:
        values = self.read(row, positions)
        return Snapshot(positions, values, sum(value.nbytes for value in values))

    def restore(self, row: int, snapshot: Snapshot, positions: int) -> None:
        self.write(row, snapshot.values, positions)

    def _grow(self, capacity: int) -> None:
        shape = self.shape
        # Zeros take no memory until they are written: rows that nobody uses cost nothing.
        size = (self.rows, shape.kv_heads, capacity, shape.head_size)
        try:
            buffers = [np.zeros(size, dtype=shape.dtype) for _ in range(shape.tensors)]
        except MemoryError as error:
            what = f"the {shape.owner}'s keys and values"
            raise no_memory("this machine", what, self.rows * capacity * shape.bytes_per_position) from error
        for old, new in zip(self._buffers, buffers, strict=False):
            for row, valid in enumerate(self.lengths):
                new[row, :, :valid] = old[row, :, :valid]
        self._buffers = buffers

    def _copy(self, row: int, source: KVCache, source_row: int, start: int, valid: int) -> None:
        assert isinstance(source, HostCache), "rows are copied between caches of one memory"
        for theirs, ours in zip(source._buffers, self._buffers, strict=True):
            ours[row, :, start:valid] = theirs[source_row, :, start:valid]


def longest(lengths: NDArray[np.int64]) -> int:
    """The largest of them; for a lone row without numpy's reduction, which takes as long as a small node."""
    return int(lengths[0]) if len(lengths) == 1 else int(lengths.max())
