"""Rows of a key/value cache go on independently, whatever memory they are in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from muomni.errors import ContextError, OutOfMemoryError
from muomni.ort.kv_cache import CAPACITY_STEP, CacheShape, KVCache
from muomni.ort.region import Region

from .memories import EVERY_MEMORY, STAND_IN, MakeCache

SHAPE = CacheShape("Thinker", 4, 2, 4, 1000, "float32")
every_memory = pytest.mark.parametrize("make", EVERY_MEMORY)


def values_of(number: int, length: int, shape: CacheShape = SHAPE) -> list[Any]:
    """Values that tell row, tensor, head and position apart."""
    size = (shape.kv_heads, length, shape.head_size)
    ramp = np.arange(shape.kv_heads)[:, None, None] * 0.5 + np.arange(length)[None, :, None] / 64
    made = np.broadcast_to(ramp, size)
    return [(made + 8 * tensor + 32 * number).astype(shape.dtype) for tensor in range(shape.tensors)]


def filled(make: MakeCache, rows: int, lengths: list[int], shape: CacheShape = SHAPE) -> KVCache:
    """Every row has its number in it."""
    cache = make(shape, rows, 1)
    for row, length in enumerate(lengths):
        cache.write(row, values_of(row, length, shape), length)
    return cache


def holds(cache: KVCache, row: int, number: int, length: int) -> bool:
    read = cache.read(row, length)
    expected = values_of(number, length, cache.shape)
    return all(np.array_equal(a, b) for a, b in zip(read, expected, strict=True))


@every_memory
def test_a_row_is_never_rewound_forwards(make: MakeCache) -> None:
    cache = filled(make, 1, [3])
    cache.rewind(10)
    assert cache.length == 3
    cache.rewind(2)
    assert cache.length == 2 and holds(cache, 0, 0, 2)


@every_memory
def test_rows_keep_what_they_have_when_the_buffers_grow(make: MakeCache) -> None:
    cache = filled(make, 2, [3, 5])
    cache.bound["a step"] = "of the old buffers"
    cache.reserve(CAPACITY_STEP + 1)
    assert not cache.bound and cache.capacity == 2 * CAPACITY_STEP
    assert holds(cache, 0, 0, 3) and holds(cache, 1, 1, 5)
    with pytest.raises(ContextError):
        cache.reserve(SHAPE.context_length + 1)
    assert holds(cache, 1, 1, 5)


@every_memory
def test_a_row_may_become_another(make: MakeCache) -> None:
    cache = filled(make, 3, [3, 5, 2])
    cache.copy_row(0, cache, 1)
    assert cache.lengths.tolist() == [5, 5, 2]
    assert holds(cache, 0, 1, 5) and holds(cache, 1, 1, 5) and holds(cache, 2, 2, 2)
    cache.copy_row(2, cache, 2)
    assert holds(cache, 2, 2, 2)


@every_memory
@pytest.mark.parametrize("lengths", [(3, 300), (300, 3)])
def test_rows_move_between_caches_of_other_capacities(make: MakeCache, lengths: tuple[int, int]) -> None:
    here, there = filled(make, 2, [lengths[0]]), filled(make, 3, [1, lengths[1]])
    here.copy_row(1, there, 1)
    assert here.lengths.tolist() == list(lengths)
    assert holds(here, 0, 0, lengths[0]) and holds(here, 1, 1, lengths[1])


@every_memory
def test_what_a_row_begins_with_already_may_be_left_out_of_a_copy(make: MakeCache) -> None:
    source = filled(make, 1, [9])
    cache = filled(make, 1, [4])
    cache.copy_row(0, source, 0, 4)
    assert holds(cache, 0, 0, 9)


@every_memory
def test_taken_rows_go_on_apart(make: MakeCache) -> None:
    cache = filled(make, 3, [3, 5, 200])
    other = cache.taken([2, 0])
    assert (other.rows, other.lengths.tolist(), type(other)) == (2, [200, 3], type(cache))
    cache.write(2, values_of(7, 200), 200)
    assert holds(other, 0, 2, 200) and holds(other, 1, 0, 3)


@every_memory
def test_a_snapshot_stays_as_it_was_and_may_be_restored_in_part(make: MakeCache) -> None:
    cache = filled(make, 2, [40])
    kept = cache.snapshot(0, 30)
    assert kept.nbytes == 30 * SHAPE.bytes_per_position
    cache.write(0, values_of(5, 40), 40)
    cache.restore(1, kept, 20)
    assert cache.lengths.tolist() == [40, 20]
    assert holds(cache, 1, 0, 20) and holds(cache, 0, 5, 40)
    other = make(SHAPE, 1, 1)
    other.restore(0, kept, 30)
    assert holds(other, 0, 0, 30)


@every_memory
def test_new_buffers_hold_nothing_that_is_not_finite(make: MakeCache) -> None:
    """A kernel may multiply what lies behind the last position by zero."""
    cache = filled(make, 2, [3])
    cache.reserve(200)
    assert all(np.isfinite(value).all() for row in (0, 1) for value in cache.read(row, 200))


@every_memory
def test_a_float16_cache_holds_float16(make: MakeCache) -> None:
    shape = CacheShape("Thinker", 2, 2, 4, 1000, "float16")
    cache = filled(make, 2, [3, 5], shape)
    cache.reserve(300)
    cache.copy_row(0, cache, 1)
    assert holds(cache, 0, 1, 5)
    assert {value.dtype for value in cache.read(0, 1)} == {np.dtype("float16")}


def address_of(tensor: Any) -> int:
    return int(tensor.address if isinstance(tensor, Region) else tensor.ctypes.data)


@every_memory
def test_neighbouring_rows_are_given_to_a_graph_where_they_are(make: MakeCache) -> None:
    cache = filled(make, 4, [3, 5, 2, 1])
    whole, part = cache.tensors(0, 4)[1], cache.tensors(1, 2)[1]
    row_bytes = SHAPE.kv_heads * cache.capacity * SHAPE.head_size * 4
    assert address_of(part) == address_of(whole) + row_bytes
    assert part.shape == (2, SHAPE.kv_heads, cache.capacity, SHAPE.head_size)
    assert part.dtype == whole.dtype == np.dtype("float32")


def test_a_device_without_memory_says_how_much_was_needed_and_what_to_lower() -> None:
    with pytest.raises(
        OutOfMemoryError, match=r"no memory left for the Talker's .*: 536870912\.0 MiB .*lower"
    ):
        STAND_IN.allocate((1 << 30, 1 << 17), np.dtype("float32"), "the Talker's keys and values")


@dataclass
class Plain:
    """What a cache should hold: a number and a length a row."""

    rows: list[tuple[int, int]] = field(default_factory=lambda: [(0, 0)] * 3)


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(0, 2), st.integers(1, 400)),
        st.tuples(st.just("copy"), st.integers(0, 2), st.integers(0, 2)),
        st.tuples(st.just("rewind"), st.integers(0, 2), st.integers(0, 400)),
        st.tuples(st.just("move"), st.integers(0, 2), st.integers(0, 2)),
        st.tuples(st.just("restore"), st.integers(0, 2), st.integers(0, 2)),
    ),
    max_size=12,
)


@every_memory
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(operations=OPERATIONS)
def test_whatever_is_done_each_row_holds_what_it_should(
    make: MakeCache, operations: list[tuple[str, int, int]]
) -> None:
    cache, other, plain = make(SHAPE, 3, 1), make(SHAPE, 1, 1), Plain()
    for number, (kind, row, value) in enumerate(operations, 1):
        if kind == "write":
            cache.write(row, values_of(number, value), value)
            plain.rows[row] = number, value
        elif kind == "rewind":
            cache.rewind(value, row)
            plain.rows[row] = plain.rows[row][0], min(plain.rows[row][1], value)
        elif kind == "copy":
            cache.copy_row(row, cache, value)
            plain.rows[row] = plain.rows[value]
        elif kind == "move":  # out to another cache and back into another row
            other.copy_row(0, cache, value)
            cache.copy_row(row, other, 0)
            plain.rows[row] = plain.rows[value]
        elif plain.rows[value][1]:
            cache.restore(row, cache.snapshot(value, plain.rows[value][1]), plain.rows[value][1])
            plain.rows[row] = plain.rows[value]
    for row, (number, length) in enumerate(plain.rows):
        assert int(cache.lengths[row]) == length
        assert holds(cache, row, number, length)
