"""Keys and values in the memory of a device: a step moves none of them, and what copies them is done there."""

from __future__ import annotations

import weakref
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .device_memory import DeviceMemory
from .kv_cache import CacheShape, KVCache, Snapshot
from .region import Region, region_of


class DeviceCache(KVCache):
    """Keys and values in :class:`DeviceMemory`.

    Whole rows are copied, with whatever lies behind their valid positions: that is one run of one graph, while the
    valid part of a row is as many pieces as there are heads. It is never read before it is written, but it must be
    finite, since a kernel may multiply it by zero; so new buffers are filled with zeros.
    """

    def __init__(self, memory: DeviceMemory, shape: CacheShape, rows: int = 1, capacity: int = 1) -> None:
        self.memory = memory
        self._dtype = np.dtype(shape.dtype)
        self._buffers: list[Region] = []
        super().__init__(shape, rows, capacity)

    def another(self, rows: int, capacity: int) -> DeviceCache:
        return DeviceCache(self.memory, self.shape, rows, capacity)

    def tensors(self, first: int, rows: int) -> list[Region]:
        return [buffer.part(first, rows) for buffer in self._buffers]

    def read(self, row: int, positions: int) -> list[NDArray[Any]]:
        shape = self.shape
        values = [
            np.empty((shape.kv_heads, positions, shape.head_size), self._dtype) for _ in range(shape.tensors)
        ]
        if positions:
            self.memory.copy(self.tensors(row, 1), [region_of(value[None]) for value in values])
        return values

    def write(self, row: int, values: Sequence[NDArray[Any]], positions: int) -> None:
        self.reserve(positions)
        if positions:
            parts = [np.ascontiguousarray(value[None, :, :positions]) for value in values]
            self.memory.copy([region_of(part) for part in parts], self.tensors(row, 1))
        self.lengths[row] = positions

    def snapshot(self, row: int, positions: int) -> Snapshot:
        values = self._allocate(1, positions)
        self.memory.copy(self.tensors(row, 1), values)
        return Snapshot(positions, values, positions * self.shape.bytes_per_position)

    def restore(self, row: int, snapshot: Snapshot, positions: int) -> None:
        self.reserve(positions)
        self.memory.copy(snapshot.values, self.tensors(row, 1))
        self.lengths[row] = positions

    def _grow(self, capacity: int) -> None:
        shape = self.shape
        old = self._buffers
        if not old:
            nothing = region_of(np.zeros((self.rows, shape.kv_heads, 1, shape.head_size), self._dtype))
            old = [nothing] * shape.tensors
        new = self._allocate(self.rows, capacity)
        self.memory.copy(old, new)
        self._buffers = new

    def _copy(self, row: int, source: KVCache, source_row: int, start: int, valid: int) -> None:
        assert isinstance(source, DeviceCache), "rows are copied between caches of one memory"
        if valid > start:
            self.memory.copy(source.tensors(source_row, 1), self.tensors(row, 1))

    def _allocate(self, rows: int, positions: int) -> list[Region]:
        shape = self.shape
        size = (rows, shape.kv_heads, positions, shape.head_size)
        what = f"the {shape.owner}'s keys and values ({rows} of {positions} positions)"
        return [self.memory.allocate(size, self._dtype, what) for _ in range(shape.tensors)]


MOST_IDLE = 2
"""Caches of each number of rows that are kept to be used again."""


class DevicePool:
    """Caches of one decoder. One that nobody has any more is used again, with its memory and what is bound to it.

    So a request pays neither for allocating nor for binding, and a step that was captured as a CUDA graph stays of use.
    Any thread may start one, or let go of one.
    """

    def __init__(self, memory: DeviceMemory, shape: CacheShape) -> None:
        self._memory, self._shape = memory, shape
        self._idle: defaultdict[int, list[dict[str, Any]]] = defaultdict(list)
        memory.holders.add(self)

    def start(self, rows: int, capacity: int) -> DeviceCache:
        """An empty cache.

        Raises:
            ContextError, ExecutionError: as :meth:`KVCache.reserve`.
        """
        try:
            attributes = self._idle[rows].pop()
        except IndexError:
            cache = DeviceCache(self._memory, self._shape, rows, capacity)
        else:
            cache = DeviceCache.__new__(DeviceCache)
            vars(cache).update(attributes)
            cache.lengths[:] = 0
            cache.reserve(capacity)
        # The attributes, not the cache: it would never end.
        weakref.finalize(cache, self._take_back, rows, vars(cache)).atexit = False
        return cache

    def give_up(self) -> bool:
        """Forget the caches that nobody has; whether there were any."""
        idle, self._idle = self._idle, defaultdict(list)
        return any(idle.values())

    def _take_back(self, rows: int, attributes: dict[str, Any]) -> None:
        idle = self._idle[rows]
        if len(idle) < MOST_IDLE:
            idle.append(attributes)
