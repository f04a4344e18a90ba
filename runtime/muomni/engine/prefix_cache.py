"""Keys and values of recent prompts, so that a new one starts from its longest match."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from muomni.ort.kv_cache import KVCache

from .segments import Segment, keys_of

PREFIX_CACHE_BYTES = 64 << 20
SHORTEST_PREFIX = 32
"""Positions; fewer are computed about as fast as they are looked up and copied."""
PREFIX_STEP = LEAST_COMPUTED = 2
"""A match is cut to a multiple of this, and so many positions at least are computed. ONNX Runtime's matrix kernels take
positions in pairs, round an odd last one otherwise, and a lone one otherwise again (in the last bit). So cut, what is
restored and what is computed are the bits of a prompt that is computed whole (benchmarks/README.md)."""


@dataclass(frozen=True, eq=False)  # one is another only if it is the same
class _Entry:
    keys: NDArray[np.int64]
    values: list[NDArray[Any]]

    @property
    def bytes(self) -> int:
        return sum(value.nbytes for value in self.values)


class PrefixCache:
    """Recent prompts and their keys and values; the least recently used ones go first. Threads may share it.

    Args:
        most_bytes: what all of them may take together; 0 keeps none.
    """

    def __init__(self, most_bytes: int = PREFIX_CACHE_BYTES) -> None:
        self.most_bytes = most_bytes
        self._entries: list[_Entry] = []  # the most recently used one is the last
        self._lock = threading.Lock()

    @property
    def bytes(self) -> int:
        """What is kept now."""
        with self._lock:
            return sum(entry.bytes for entry in self._entries)

    def restore(self, segments: Sequence[Segment], cache: KVCache, row: int) -> int:
        """Write the longest known beginning of a prompt into an empty row; how many positions that are.

        Some positions at the end of the prompt are left to be computed, for its logits.
        """
        if not self._entries or sum(map(len, segments)) <= SHORTEST_PREFIX:
            return 0
        keys = keys_of(segments)
        with self._lock:
            best, length = None, 0
            for entry in self._entries:
                shared = _shared(entry.keys, keys[:-LEAST_COMPUTED])
                if shared > length:
                    best, length = entry, shared
            length -= length % PREFIX_STEP
            if best is None or length < SHORTEST_PREFIX:
                return 0
            self._entries.remove(best)
            self._entries.append(best)
        cache.write(row, best.values, length)
        return length

    def keep(self, segments: Sequence[Segment], cache: KVCache, row: int) -> None:
        """Remember a prompt whose positions begin a row."""
        positions = sum(map(len, segments))
        if positions < SHORTEST_PREFIX or positions * cache.shape.bytes_per_position > self.most_bytes:
            return
        keys = keys_of(segments)
        with self._lock:
            for entry in self._entries:
                if _shared(entry.keys, keys) == len(keys):  # a longer one has it all
                    self._entries.remove(entry)
                    self._entries.append(entry)
                    return
        made = _Entry(keys, cache.read(row, len(keys)))
        with self._lock:
            # What the new one begins with need not be kept beside it.
            self._entries = [e for e in self._entries if _shared(e.keys, keys) < len(e.keys)]
            self._entries.append(made)
            total = sum(entry.bytes for entry in self._entries)
            while total > self.most_bytes:
                total -= self._entries.pop(0).bytes

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._entries.clear()


def _shared(one: NDArray[np.int64], other: NDArray[np.int64]) -> int:
    """How many keys two prompts begin with together."""
    length = min(len(one), len(other))
    different = one[:length] != other[:length]
    return int(different.argmax()) if different.any() else length
