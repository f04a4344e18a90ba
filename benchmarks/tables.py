"""Results as Markdown tables. Pure functions of the JSON that the benchmarks write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from models import PRECISIONS
from results import OURS


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; the first column is left-aligned, the others right-aligned."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def agreement(row: Mapping[str, Any]) -> str:
    """``all 256``, or how many before the first difference and the share at which the reference is followed."""
    same, ids, forced = (
        row["equal_ids_before_the_first_difference"],
        row["ids"],
        row["teacher_forced_agreement"],
    )
    if same is None:
        return ""
    text = f"all {ids}" if same == ids else f"{same} of {ids}"
    return text if same == ids or forced is None else f"{text}; {100 * forced:.1f} %"


def sorted_rows(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """By precision, the fastest first."""
    return sorted(rows, key=lambda row: (PRECISIONS.index(row["precision"]), -row["tokens_per_s"]))


def compare_table(result: Mapping[str, Any]) -> str:
    """What ``compare.py`` found."""
    head = ["", "precision", "tokens/s", "× fastest peer", "prefill, ms", "peak memory, MB", "ids as torch's"]
    rows = []
    for row in sorted_rows(result["rows"]):
        ratio = row["times_the_fastest_peer"]
        name = f"**{row['name']}**" if row["name"].startswith(OURS) else row["name"]
        rows.append(
            [
                name,
                row["precision"],
                f"{row['tokens_per_s']:.0f}",
                "" if ratio is None else f"{ratio:.2f}",
                f"{row['prefill_ms']:.1f}",
                f"{row['peak_rss_mb']:.0f}",
                agreement(row),
            ]
        )
    skipped = [f"- not run: {name}: {reason}" for name, reason in result["skipped"].items()]
    return "\n".join([markdown(head, rows), *([""] if skipped else []), *skipped])


def profile_table(profile: Mapping[str, Any]) -> str:
    """Operators of one decode step, by what ``profile_step.py`` found for a precision."""
    rows = [
        [f"`{kind}`", str(of["nodes"]), f"{of['us']:.1f}", f"{100 * of['share']:.1f} %", rate(of)]
        for kind, of in profile["operators"].items()
    ]
    head = [f"{profile['precision']}, operator", "nodes", "us", "of the nodes' time", "weights, GB/s"]
    return markdown(head, rows)


def node_table(profile: Mapping[str, Any], most: int = 8) -> str:
    """The slowest nodes of one decode step."""
    rows = [
        [
            f"`{node['name']}`",
            node["operator"],
            f"{node['us']:.1f}",
            f"{100 * node['share']:.1f} %",
            rate(node),
        ]
        for node in profile["nodes"][:most]
    ]
    head = [f"{profile['precision']}, node", "operator", "us", "of the nodes' time", "weights, GB/s"]
    return markdown(head, rows)


def rate(of: Mapping[str, Any]) -> str:
    """GB/s at which weights are read; empty where there are next to none."""
    return "" if of["weight_bytes"] < 100_000 else f"{of['weight_bytes'] / of['us'] / 1e3:.1f}"
