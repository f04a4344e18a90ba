"""Keys and values of recent prompts, so that a new one starts from its longest match."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from muomni import logs
from muomni.errors import ExecutionError
from muomni.ort.kv_cache import KVCache, Snapshot

from .segments import PREFILL_CHUNK, Segment, keys_of

SHORTEST_PREFIX = 32
"""Positions; fewer are computed about as fast as they are looked up and copied."""
LEAST_COMPUTED = 2
"""Positions at the end of a prompt that are computed in any case."""
KERNEL_BLOCK = 64
"""ONNX Runtime's matrix kernels take positions in pairs and in blocks of so many, and round a lone last one otherwise
(in the last bit). A prompt is restored so far that what is left to compute ends as the whole would have: it then has
the same bits on the processor that was tried (AMD EPYC, benchmarks/README.md), and on any the same but for the last
one."""


@dataclass(frozen=True, eq=False)  # one is another only if it is the same
class _Entry:
    head: bytes
    keys: NDArray[np.int64]
    row: Snapshot


class PrefixCache:
    """Recent prompts and their keys and values; the least recently used ones go first. Threads may share it.

    The values stay in the memory they were computed in, a GPU's on a GPU.

    Args:
        most_bytes: what all of them may take together; 0 keeps none.
    """

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self._entries: list[_Entry] = []  # the most recently used one is the last
        self._lock = threading.Lock()

    @property
    def bytes(self) -> int:
        """What is kept now."""
        with self._lock:
            return sum(entry.row.nbytes for entry in self._entries)

    def restore(self, segments: Sequence[Segment], cache: KVCache, row: int) -> int:
        """Write the longest known beginning of a prompt into an empty row; how many positions that are.

        Some positions at the end of the prompt are left to be computed, for its logits.
        """
        if not self._entries or sum(map(len, segments)) <= SHORTEST_PREFIX:
            return 0
        keys = keys_of(segments)
        with self._lock:
            best, length = None, 0
            for entry in self._beginning_as(keys):
                shared = _shared(entry.keys, keys[:-LEAST_COMPUTED])
                if shared > length:
                    best, length = entry, shared
            length = restorable(length, len(keys))
            if best is None or length < SHORTEST_PREFIX:
                return 0
            self._entries.remove(best)
            self._entries.append(best)
        cache.restore(row, best.row, length)
        return length

    def keep(self, segments: Sequence[Segment], cache: KVCache, row: int) -> None:
        """Remember a prompt whose positions begin a row."""
        positions = sum(map(len, segments))
        if positions < SHORTEST_PREFIX or positions * cache.shape.bytes_per_position > self.most_bytes:
            return
        keys = keys_of(segments)
        with self._lock:
            for entry in self._beginning_as(keys):
                if _shared(entry.keys, keys) == len(keys):  # a longer one has it all
                    self._entries.remove(entry)
                    self._entries.append(entry)
                    return
        try:
            made = _Entry(_head(keys), keys, cache.snapshot(row, len(keys)))
        except ExecutionError as error:  # a device without memory for it; the reply is none the worse
            logs.warning("a prompt is not kept for later ones: %s", error)
            return
        with self._lock:
            # What the new one begins with need not be kept beside it.
            for entry in self._beginning_as(keys):
                if _shared(entry.keys, keys) == len(entry.keys):
                    self._entries.remove(entry)
            self._entries.append(made)
            total = sum(entry.row.nbytes for entry in self._entries)
            while total > self.most_bytes:
                total -= self._entries.pop(0).row.nbytes

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._entries.clear()

    def _beginning_as(self, keys: NDArray[np.int64]) -> list[_Entry]:
        """Those that share enough with a prompt to matter. To compare all keys of hundreds took a tenth of a step."""
        head = _head(keys)
        return [entry for entry in self._entries if entry.head == head]


def restorable(known: int, positions: int) -> int:
    """How many of ``known`` positions at the beginning of a prompt are restored.

    Example:
        >>> restorable(79, 100)
        78
    """
    begin = (positions - 1) // PREFILL_CHUNK * PREFILL_CHUNK  # of its last chunk
    ends_alone = (positions - begin) % KERNEL_BLOCK == 1
    length = known - known % 2
    while length > begin and ((positions - length) % KERNEL_BLOCK == 1) != ends_alone:
        length -= 2
    return length


def _head(keys: NDArray[np.int64]) -> bytes:
    return keys[:SHORTEST_PREFIX].tobytes()


def _shared(one: NDArray[np.int64], other: NDArray[np.int64]) -> int:
    """How many keys two prompts begin with together."""
    length = min(len(one), len(other))
    different = one[:length] != other[:length]
    return int(different.argmax()) if different.any() else length
