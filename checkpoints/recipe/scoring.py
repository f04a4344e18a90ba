"""How right a reply is, and how sure the figure: exact replies, word errors, Wilson intervals."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Result:
    """One ability's figure with its 95 % interval; ``beside`` has figures that belong to it."""

    ability: str
    value: float
    low: float
    high: float
    target: float
    samples: int
    lower_is_better: bool
    beside: dict[str, float] = field(default_factory=dict)
    wrong_by_kind: dict[str, int] = field(default_factory=dict)
    mistakes: tuple[tuple[str, str, str], ...] = ()
    """(question, expected, got) of the first ones."""
    is_share: bool = True
    """Whether the figure is a part of something, written in percent; otherwise it is a score."""

    @property
    def reached(self) -> bool:
        return self.value <= self.target if self.lower_is_better else self.value >= self.target

    def written(self, value: float) -> str:
        """A value of this ability's, in its unit."""
        return f"{100 * value:.1f} %" if self.is_share else f"{value:.2f}"


Z_95 = 1.959964  # of the normal distribution, two-sided 95 %


def plain(text: str) -> str:
    """Without what nobody hears or reads as a difference: capitals, punctuation, spaces."""
    return " ".join(re.findall(r"[a-z0-9]+", text.lower()))


def is_right(reply: str, expected: str) -> bool:
    return plain(reply) == plain(expected)


def word_errors(heard: str, spoken: str) -> tuple[int, int]:
    """Fewest words to insert, drop or change (Levenshtein), and the words spoken."""
    got, truth = plain(heard).split(), plain(spoken).split()
    return edit_distance(got, truth), len(truth)


def edit_distance(got: Sequence[str], truth: Sequence[str]) -> int:
    """Fewest words to insert, drop or change."""
    row = list(range(len(truth) + 1))
    for i, word in enumerate(got, 1):
        diagonal, row[0] = row[0], i
        for j, true in enumerate(truth, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (word != true))
    return row[-1]


def wilson(successes: float, trials: int) -> tuple[float, float]:
    """The 95 % interval of a rate (Wilson 1927): honest near 0 and 1, where the normal one is not."""
    if trials == 0:
        return 0.0, 1.0
    p, z2 = successes / trials, Z_95**2
    centre = (p + z2 / (2 * trials)) / (1 + z2 / trials)
    half = Z_95 * math.sqrt(p * (1 - p) / trials + z2 / (4 * trials**2)) / (1 + z2 / trials)
    return max(0.0, centre - half), min(1.0, centre + half)


def mean_interval(values: Sequence[float]) -> tuple[float, float]:
    """The 95 % interval of a mean."""
    n, mean = len(values), sum(values) / len(values)
    half = Z_95 * math.sqrt(sum((v - mean) ** 2 for v in values) / max(n - 1, 1) / n)
    return mean - half, mean + half


def error_rate(pairs: Sequence[tuple[int, int]]) -> float:
    """Errors per word over all sentences."""
    return sum(e for e, _ in pairs) / max(sum(n for _, n in pairs), 1)


def error_rate_interval(pairs: Sequence[tuple[int, int]], lowest: float = 0.0) -> tuple[float, float]:
    """95 % interval of :func:`error_rate`, a ratio estimator over sentences: errors in one are not independent.

    ``lowest`` is what the rate cannot be below.
    """
    n, words = len(pairs), sum(w for _, w in pairs)
    if n < 2 or words == 0:
        return 0.0, 1.0
    rate = error_rate(pairs)
    variance = sum((e - rate * w) ** 2 for e, w in pairs) / (n - 1)
    half = Z_95 * math.sqrt(variance * n) / words
    return max(lowest, rate - half), rate + half
