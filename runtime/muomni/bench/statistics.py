"""Samples of a duration, and what may be said of them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

Clock = Callable[[], float]
T = TypeVar("T")

# A percentile that the samples cannot hold would be the largest sample under another name.
SAMPLES_FOR_P90 = 10
SAMPLES_FOR_P99 = 100


@dataclass(frozen=True)
class Summary:
    """Order statistics of samples, in their unit; None where there are too few for a percentile."""

    median: float
    best: float
    p90: float | None
    p99: float | None
    samples: int

    def to_json(self, digits: int = 4) -> dict[str, float | int | None]:
        values = {"median": self.median, "best": self.best, "p90": self.p90, "p99": self.p99}
        rounded = {name: None if v is None else round(v, digits) for name, v in values.items()}
        return {**rounded, "samples": self.samples}


def summarise(samples: Sequence[float]) -> Summary:
    """Median, smallest and, where the samples allow, the 90th and 99th percentile (nearest rank)."""
    if not samples:
        raise ValueError("no samples")
    ordered = sorted(samples)
    count = len(ordered)

    def rank(share: float) -> float:
        return ordered[math.ceil(share * count) - 1]

    middle = count // 2
    median = ordered[middle] if count % 2 else (ordered[middle - 1] + ordered[middle]) / 2
    return Summary(
        median,
        ordered[0],
        rank(0.90) if count >= SAMPLES_FOR_P90 else None,
        rank(0.99) if count >= SAMPLES_FOR_P99 else None,
        count,
    )


def median_ratio(of: Sequence[float], to: Sequence[float]) -> float:
    """Median over the ratios of paired rounds, which a busy moment disturbs less than a ratio of medians."""
    return summarise([a / b for a, b in zip(of, to, strict=True)]).median


def in_turns(contenders: Iterable[T], rounds: int, warmups: int = 1) -> Iterator[tuple[int, list[T]]]:
    """The rounds' numbers, and the order of each: every second one is reversed; those below 0 do not count."""
    order = list(contenders)
    for index in range(-warmups, rounds):
        yield index, order if index % 2 == 0 else order[::-1]


def interleave(
    actions: Mapping[str, Callable[[], object]],
    rounds: int,
    warmups: int = 1,
    clock: Clock = time.perf_counter,
) -> dict[str, list[float]]:
    """Seconds of each action, every one once a round, so that a busy moment hits them alike; see :func:`in_turns`."""
    seconds: dict[str, list[float]] = {name: [] for name in actions}
    for index, names in in_turns(actions, rounds, warmups):
        for name in names:
            start = clock()
            actions[name]()
            if index >= 0:
                seconds[name].append(clock() - start)
    return seconds
