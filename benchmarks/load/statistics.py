"""The middle and the slow end of some durations."""

from __future__ import annotations

import math
from collections.abc import Sequence

SAMPLES_FOR_P95 = 20
"""Below that the 95th percentile would be the largest sample under another name."""


def spread(seconds: Sequence[float]) -> dict[str, float | int | None] | None:
    """Milliseconds: median, 95th percentile (nearest rank) where the samples hold one, the longest. None of none.

    Example:
        >>> spread([0.001, 0.002, 0.004])
        {'p50': 2.0, 'p95': None, 'max': 4.0, 'samples': 3}
    """
    if not seconds:
        return None
    ordered, count = sorted(1000 * value for value in seconds), len(seconds)
    middle = (ordered[(count - 1) // 2] + ordered[count // 2]) / 2
    p95 = ordered[math.ceil(0.95 * count) - 1] if count >= SAMPLES_FOR_P95 else None
    return {
        "p50": round(middle, 2),
        "p95": None if p95 is None else round(p95, 2),
        "max": round(ordered[-1], 2),
        "samples": count,
    }
