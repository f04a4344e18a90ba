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


def cuda_table(result: Mapping[str, Any]) -> str:
    """What ``cuda.py`` found: checks, a decode step by size and batch, requests, conversations."""
    machine = result["machine"]
    lines = [
        f"{machine.get('gpu', machine['cpu'])}; device: {result['device']}; {result['seconds']} s in all",
        "",
    ]
    checks = [[check["name"], "right" if check["passed"] else "**wrong**"] for check in result["checks"]]
    lines += [markdown(["check", ""], checks)]
    if rows := result.get("decode"):
        names = list(dict.fromkeys(name for row in rows for name in row["step_ms"]))
        head = ["size, rows", "floor, ms", *(f"{name}, ms" for name in names)]
        body = [
            [
                f"{row['size']}, {row['batch']}",
                f"{row['floor_ms']:.3f}",
                *(f"{row['step_ms'][name]:.3f}" if name in row["step_ms"] else "" for name in names),
            ]
            for row in rows
        ]
        skipped = {f"- not run: {name}: {why}" for row in rows for name, why in row["skipped"].items()}
        lines += ["", markdown(head, body), *([""] if skipped else []), *sorted(skipped)]
        copied = result.get("copied_gb_per_s")
        lines += [
            "",
            f"On the device {result['precision']}, on the CPU {result['cpu_precision']}. "
            f"The floor is every byte once, at {copied} GB/s (a copy, read and written).",
        ]
        lines += [f"- {sentence}" for sentence in result.get("pays", [])]
    if found := result.get("requests"):
        kinds = [(kind, what) for kind, of in next(iter(found.values()))["requests"].items() for what in of]
        body = [
            [
                f"{kind}, {what.removesuffix('_ms').replace('_', ' ')}",
                *(
                    f"{each['requests'][kind][what]['median']:.1f}" if what in each["requests"][kind] else ""
                    for each in found.values()
                ),
            ]
            for kind, what in kinds
        ]
        if all("speech" in each["stages"] for each in found.values()):
            rates = (f"{each['stages']['speech']['median']:.3f}" for each in found.values())
            body.append(["speech, seconds a second of it", *rates])
        lines += ["", markdown(["demo", *(f"{name}, ms" for name in found)], body)]
    if rows := result.get("conversations"):
        body = [
            [
                f"{row['name']}, {row['size']}",
                str(row["conversations"]),
                f"{row['tokens_per_s_each']:.0f}",
                f"{row['tokens_per_s']:.0f}",
                f"{row['longest_wait_ms']:.1f}",
            ]
            for row in rows
        ]
        head = ["", "conversations", "tokens/s of each", "of all", "longest wait, ms"]
        lines += ["", markdown(head, body)]
    lines += [""] + [f"- error in {name}: {why}" for name, why in result["errors"].items()]
    return "\n".join(lines).rstrip()


def middle_and_slow(spread: Mapping[str, Any] | None) -> tuple[str, str]:
    """Median, and the 95th percentile, or the longest (``≤``) where there are few samples."""
    if spread is None:
        return "", ""
    slow = f"≤ {spread['max']:.0f}" if spread["p95"] is None else f"{spread['p95']:.0f}"
    return f"{spread['p50']:.0f}", slow


def number(value: float | None, digits: int = 0) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def voices_table(result: Mapping[str, Any]) -> str:
    """What ``serving.py voices`` found."""
    head = [
        *("conversations", "replies", "first sound, ms", "p95", "speech found after, ms", "first text, ms"),
        *("underruns", "failures", "server, cores", "memory, MB", "clients, cores"),
    ]
    rows = []
    for row in result["rows"]:
        sound, slow = middle_and_slow(row["first_sound_ms"])
        rows.append(
            [
                *(str(row["conversations"]), str(row["replies"]), sound, slow),
                *(middle_and_slow(row["detected_ms"])[0], middle_and_slow(row["first_text_ms"])[0]),
                *(str(row["underruns"]), str(len(row["failures"]) + len(row["errors"]))),
                *(number(row["server_cores"], 2), number(row["server_rss_mb"])),
                number(row["client_cores"], 2),
            ]
        )
    return markdown(head, rows)


def turn_table(result: Mapping[str, Any]) -> str:
    """What ``serving.py turn`` found."""
    rows = [
        ["end of speech found to first sound", *middle_and_slow(result["voice"]["first_sound_ms"])],
        ["chat to first token", *middle_and_slow(result["chat"]["first_token_ms"])],
    ]
    return markdown(["", "ms", "p95"], rows)


def text_table(result: Mapping[str, Any]) -> str:
    """What ``serving.py text`` found."""
    head = ["", "connections", "tokens/s", "× fastest peer", "first token, ms", "p95", "peak memory, MB"]
    rows = [
        [
            f"**{row['name']}**" if row["name"].startswith(OURS) else row["name"],
            str(row["connections"]),
            number(row["tokens_per_s"]),
            number(row["times_the_fastest_peer"], 2),
            *middle_and_slow(row["first_token_ms"]),
            number(row["peak_mb"]),
        ]
        for row in sorted(result["rows"], key=lambda row: (row["connections"], -row["tokens_per_s"]))
    ]
    skipped = [f"- not run: {name}: {reason}" for name, reason in result["skipped"].items()]
    return "\n".join([markdown(head, rows), *([""] if skipped else []), *skipped])


def cancel_table(result: Mapping[str, Any]) -> str:
    """What ``serving.py cancel`` found."""
    names = ("speech_client_left", "realtime_cancelled", "realtime_client_left")
    rows = [[name.replace("_", " "), *middle_and_slow(result[name])] for name in names]
    return markdown(["to an idle slot after", "ms", "p95"], rows)


def start_table(result: Mapping[str, Any]) -> str:
    """What ``serving.py start`` found."""
    names = {"ready_ms": "process to ready", "imports_ms": "imports alone", "model_ms": "model alone"}
    rows = [[text, *middle_and_slow(result[name])] for name, text in names.items()]
    return markdown(["", "ms", "p95"], rows)


def memory_table(result: Mapping[str, Any]) -> str:
    """What ``serving.py memory`` found."""
    row = result["row"]
    rows = [
        ["before", number(result["before_mb"])],
        [f"{row['conversations']} conversations", number(row["server_rss_mb"])],
        ["at most", number(row["server_peak_mb"])],
    ]
    return markdown(["memory of the server", "MB"], rows)
