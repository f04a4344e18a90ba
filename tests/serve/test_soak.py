"""Short requests, one after another: the process holds no more after many than after some."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator

import pytest
from benchmarks.soak import soak

from muomni.serve.settings import Settings

from .conftest import Running, serving

CACHE_BYTES = 500_000


@pytest.fixture
def full_at_once() -> Iterator[Running]:
    """A server whose prefix cache is full after a few prompts."""
    with serving(Settings(slots=2)) as running:
        prefixes = running.state.engine._engine._prefixes
        assert prefixes is not None
        prefixes.most_bytes = CACHE_BYTES
        yield running
    tracemalloc.stop()


def test_memory_is_flat_once_the_prefix_cache_is_full(full_at_once: Running) -> None:
    held = list(soak(full_at_once, 160, 40))
    assert all(0 < one.cache <= CACHE_BYTES for one in held)
    grown_objects = held[-1].objects - held[1].objects
    grown_bytes = held[-1].python - held[1].python
    assert grown_objects <= 8 and grown_bytes < 80 * 400, held  # a request of its own takes more than that
