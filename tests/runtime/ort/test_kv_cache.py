"""Rows of a key/value cache go on independently."""

from __future__ import annotations

import numpy as np

from muomni.ort.kv_cache import CAPACITY_STEP, CacheShape, KVCache

SHAPE = CacheShape("Thinker", 2, 1, 4, 4096, "float32")


def filled(rows: int, lengths: list[int]) -> KVCache:
    """Every row has its number in it."""
    cache = KVCache(SHAPE, rows)
    for row, length in enumerate(lengths):
        values = np.full((1, length, 4), row + 1, dtype=np.float32)
        cache.write(row, [values, -values], length)
    return cache


def test_a_row_is_never_rewound_forwards() -> None:
    cache = filled(1, [3])
    cache.rewind(10)
    assert cache.length == 3
    cache.rewind(2)
    assert cache.length == 2


def test_rows_keep_what_they_have_when_the_buffers_grow() -> None:
    cache = filled(2, [3, 5])
    cache.bound["a step"] = "of the old buffers"
    cache.reserve(CAPACITY_STEP + 1)
    assert not cache.bound
    for row, length in enumerate((3, 5)):
        keys, values = cache.read(row, length)
        assert (keys == row + 1).all() and (values == -row - 1).all()


def test_a_row_may_become_another() -> None:
    cache = filled(3, [3, 5, 2])
    cache.copy_row(0, cache, 1)
    assert cache.lengths.tolist() == [5, 5, 2]
    assert (cache.read(0, 5)[0] == 2).all() and (cache.read(2, 2)[0] == 3).all()
