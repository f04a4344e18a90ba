"""From rounds to rows: medians, ratios to the fastest peer, agreement of tokens. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from muomni.bench.statistics import median_ratio, summarise

OURS = "muomni"  # and what begins with it
Key = tuple[str, str]
"""Name and precision."""
Round = Mapping[str, Any]
"""What ``worker.one_round`` gives."""


def fastest_peer(rounds: Mapping[Key, Sequence[Round]], precision: str) -> str | None:
    """The name of the peer with the highest median rate at a precision; None without any peer."""
    rates = {
        name: summarise([r["tokens_per_s"] for r in own]).median
        for (name, of), own in rounds.items()
        if of == precision and not name.startswith(OURS)
    }
    return max(rates, key=rates.__getitem__, default=None)


def equal_before_first_difference(ids: Sequence[int], reference: Sequence[int]) -> int:
    """How many ids are the same from the beginning on."""
    for index, (a, b) in enumerate(zip(ids, reference, strict=True)):
        if a != b:
            return index
    return len(reference)


def share_equal(ids: Sequence[int], reference: Sequence[int]) -> float:
    """Share of places with the same id."""
    return sum(a == b for a, b in zip(ids, reference, strict=True)) / len(reference)


def row(
    key: Key,
    rounds: Mapping[Key, Sequence[Round]],
    forced: Sequence[int] | None,
    reference: Sequence[int] | None,
) -> dict[str, Any]:
    """One line of the table, as JSON.

    Args:
        key: name and precision of the line.
        rounds: of all contenders, in the order they were measured; ratios pair the rounds.
        forced: the contender's choice after each beginning of ``reference``.
        reference: greedy ids of the torch modules in float32.
    """
    name, precision = key
    own = rounds[key]
    rates = [r["tokens_per_s"] for r in own]
    peer = fastest_peer(rounds, precision)
    ratio = None
    if peer is not None:
        against = [r["tokens_per_s"] for r in rounds[peer, precision]]
        ratio = round(median_ratio(rates, against), 3)
    same = None if reference is None else equal_before_first_difference(own[-1]["ids"], reference)
    return {
        "name": name,
        "precision": precision,
        "tokens_per_s": round(summarise(rates).median, 1),
        "tokens_per_s_rounds": [round(rate, 1) for rate in rates],
        "prefill_ms": round(summarise([r["prefill_ms"] for r in own]).median, 2),
        "peak_rss_mb": round(max(r["peak_rss_mb"] for r in own), 1),
        "fastest_peer": peer,
        "times_the_fastest_peer": ratio,
        "equal_ids_before_the_first_difference": same,
        "ids": None if reference is None else len(reference),
        "teacher_forced_agreement": (
            None if forced is None or reference is None else round(share_equal(forced, reference), 4)
        ),
    }
