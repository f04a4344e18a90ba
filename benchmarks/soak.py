"""Many short requests to a server, and what its process holds after each thousand.

    python -m benchmarks.soak --requests 20000

The sizes are of Python's allocations (tracemalloc), of the prefix cache, and of the process. Python's and the
cache's must not grow once the cache is full; the process's own follows the allocator of the system.
"""

from __future__ import annotations

import argparse
import gc
import http.client
import json
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.serve.conftest import Running, serving

from muomni.serve.settings import Settings

MB = 1e6


@dataclass(frozen=True)
class Held:
    """What the process holds.

    Attributes:
        requests: answered so far.
        python: bytes that Python has allocated, without the prefix cache.
        cache: bytes of the prefix cache.
        objects: that Python's collector knows of.
        process: resident bytes.
    """

    requests: int
    python: int
    cache: int
    objects: int
    process: int


def soak(running: Running, requests: int, every: int) -> Iterator[Held]:
    """Ask so many different short questions, one after another; what was held after each ``every``."""
    if not tracemalloc.is_tracing():
        tracemalloc.start()
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=60)
    for number in range(1, requests + 1):
        # Long enough for the prefix cache, and never the same.
        text = f"Question {number}: how much is {number} plus {number * 7}, if {number % 13} cups stand on the table?"
        body = json.dumps({"messages": [{"role": "user", "content": text}], "max_tokens": 2})
        connection.request("POST", "/v1/chat/completions", body, {"content-type": "application/json"})
        response = connection.getresponse()
        response.read()
        assert response.status == 200, response.status
        if number % every == 0:
            yield _held(running, number)
    connection.close()


def _held(running: Running, requests: int) -> Held:
    gc.collect()
    prefixes = running.state.engine._engine._prefixes
    cache = 0 if prefixes is None else prefixes.bytes
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    traced = tracemalloc.get_traced_memory()[0]
    return Held(requests, traced - cache, cache, len(gc.get_objects()), pages * 4096)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--cache-mb", type=float, help="bound of the prefix cache, which is then full sooner")
    options = parser.parse_args()
    wanted = options.requests
    print("requests  python MB  cache MB  objects  process MB", flush=True)
    with serving(Settings(slots=4)) as running:
        if options.cache_mb is not None:
            running.state.engine._engine._prefixes.most_bytes = int(options.cache_mb * MB)
        for held in soak(running, wanted, max(1, wanted // 20)):
            print(
                f"{held.requests:8}  {held.python / MB:9.2f}  {held.cache / MB:8.2f}  {held.objects:7}  "
                f"{held.process / MB:10.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
