"""muomni and its peers on the same random Thinker, in interleaved rounds: ``python benchmarks/compare.py``.

Every contender is a process of its own, so that its threads and memory are its own; only one of them works at a
time. A peer that is not installed, or does not work, is named with the reason and skipped.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import sys
from pathlib import Path
from typing import Any

from contenders import CONTENDERS
from models import NEW_TOKENS, PROMPT_TOKENS, Work
from muomni.bench.machine import describe_machine
from muomni.bench.statistics import in_turns
from process import ContenderError, Process, prepare
from results import Key, row
from tables import compare_table

RESULTS = Path(__file__).parent / "results"
REFERENCE: Key = ("torch modules", "fp32")


def versions() -> dict[str, str]:
    """Of every package that a contender stands on, where it is installed."""
    found = {}
    for package in sorted({package for entry in CONTENDERS.values() for package in entry.packages}):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def start_all(work: Work, threads: int, names: list[str]) -> tuple[dict[Key, Process], dict[str, str]]:
    """Prepare, load and warm up; what runs, and what was skipped with the reason."""
    running: dict[Key, Process] = {}
    skipped: dict[str, str] = {}
    for name in names:
        for precision in CONTENDERS[name].precisions:
            try:
                prepare(work, name, precision)
                process = Process(work, name, precision, threads)
                process.ask("round")  # compiles what is compiled lazily
                running[name, precision] = process
                print(f"ready: {name} {precision}", file=sys.stderr)
            except ContenderError as error:
                skipped[f"{name} {precision}"] = str(error)
                print(f"skipped: {name} {precision}: {error}", file=sys.stderr)
    return running, skipped


def measure(running: dict[Key, Process], rounds: int) -> dict[Key, list[dict[str, Any]]]:
    """Rounds of all contenders, every second one in reverse order, after one that does not count."""
    samples: dict[Key, list[dict[str, Any]]] = {key: [] for key in running}
    for index, keys in in_turns(running, rounds):
        for key in keys:
            result = running[key].ask("round")
            if index >= 0:
                samples[key].append(result)
        print(f"round {index + 1} of {rounds}", file=sys.stderr)
    return samples


def compare(work: Work, threads: int, rounds: int, names: list[str]) -> dict[str, Any]:
    """The whole comparison, as JSON."""
    running, skipped = start_all(work, threads, names)
    print("all are ready", file=sys.stderr, flush=True)
    samples = measure(running, rounds)
    print("all are measured", file=sys.stderr, flush=True)
    reference = samples[REFERENCE][-1]["ids"] if REFERENCE in samples else None
    rows = []
    for key, process in running.items():
        forced = None if reference is None else process.ask(reference)
        rows.append(row(key, samples, forced, reference))
        process.close()
    return {
        "machine": describe_machine(),
        "versions": versions(),
        "threads": threads,
        "rounds": rounds,
        "prompt_tokens": PROMPT_TOKENS,
        "new_tokens": NEW_TOKENS,
        "model": work.size,
        "rows": rows,
        "skipped": skipped,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder for the models; kept and reused")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="*", default=list(CONTENDERS), choices=list(CONTENDERS))
    parser.add_argument("--out", type=Path, help="default: results/compare-<threads>.json beside this file")
    options = parser.parse_args()
    result = compare(Work(options.work), options.threads, options.rounds, options.only)
    out: Path = options.out or RESULTS / f"compare-{options.threads}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=1) + "\n")
    table = compare_table(result)
    out.with_suffix(".md").write_text(table + "\n")
    print(table)


if __name__ == "__main__":
    main()
