"""Short requests, one after another: the process holds no more after many than after some.

Many are asked for by hand; then the prefix cache has the server's own bound, and what is held is printed:

    MUOMNI_SOAK_REQUESTS=20000 pytest tests/serve/test_soak.py -s
"""

from __future__ import annotations

import gc
import http.client
import json
import os
import tracemalloc
from collections.abc import Iterator
from dataclasses import astuple, dataclass
from pathlib import Path

import pytest

from muomni.serve.settings import Settings

from .conftest import Running, serving

REQUESTS = int(os.environ.get("MUOMNI_SOAK_REQUESTS", "160"))
SMALL_CACHE = 500_000
"""Bytes; it is full after a few prompts."""


@dataclass(frozen=True)
class Held:
    """What the process holds.

    Attributes:
        requests: answered so far.
        python: bytes that Python has allocated, without the prefix cache.
        cache: bytes of the prefix cache.
        objects: that Python's collector knows of.
        process: resident bytes, which follow the system's allocator.
    """

    requests: int
    python: int
    cache: int
    objects: int
    process: int


def soak(running: Running, every: int) -> Iterator[Held]:
    """Ask many different short questions; what was held after each ``every``."""
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=60)
    for number in range(1, REQUESTS + 1):
        # Long enough for the prefix cache, and never the same.
        text = f"Question {number}: how much is {number} plus {number * 7}, if {number % 13} cups stand on the table?"
        body = json.dumps({"messages": [{"role": "user", "content": text}], "max_tokens": 2})
        connection.request("POST", "/v1/chat/completions", body, {"content-type": "application/json"})
        response = connection.getresponse()
        response.read()
        assert response.status == 200, response.status
        if number % every == 0:
            yield held(running, number)
    connection.close()


def held(running: Running, requests: int) -> Held:
    gc.collect()
    prefixes = running.state.engine._engine._slots._prefixes
    cache = 0 if prefixes is None else prefixes.bytes
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    traced = tracemalloc.get_traced_memory()[0]
    return Held(requests, traced - cache, cache, len(gc.get_objects()), pages * os.sysconf("SC_PAGE_SIZE"))


@pytest.fixture
def traced() -> Iterator[Running]:
    """A server whose allocations are counted."""
    tracemalloc.start()
    with serving(Settings(slots=2)) as running:
        yield running
    tracemalloc.stop()


def test_memory_is_flat_once_the_prefix_cache_is_full(traced: Running) -> None:
    prefixes = traced.state.engine._engine._slots._prefixes
    assert prefixes is not None
    if REQUESTS < 5000:
        prefixes.most_bytes = SMALL_CACHE
    print("\n" + "{:>10} {:>12} {:>12} {:>9} {:>12}".format(*Held.__annotations__))
    seen = []
    for one in soak(traced, REQUESTS // (4 if REQUESTS < 5000 else 20)):
        seen.append(one)
        print("{:10,} {:12,} {:12,} {:9,} {:12,}".format(*astuple(one)), flush=True)
    assert all(0 < one.cache <= prefixes.most_bytes for one in seen)
    settled, last = seen[len(seen) // 3], seen[-1]
    # A request of its own takes more than that.
    assert last.objects - settled.objects <= 8
    assert last.python - settled.python < 80 * 400
