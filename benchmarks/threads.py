"""What a second thread brings a decode step, and what spinning does: ``python benchmarks/threads.py --work FOLDER``.

Each way of waiting is compared with one thread, on a machine that is quiet, and beside one and two programs that
take all of a core they can get. These are the figures behind :mod:`muomni.ort.threads`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models import Work
from muomni.bench.machine import describe_machine
from muomni.bench.statistics import median_ratio, summarise
from muomni.bundle.demo import demo_bundle
from muomni.bundle.folder import open_bundle
from muomni.models.registry import Models
from muomni.ort.threads import SessionThreads, ThreadPolicy
from scaling import Setting, Steps, milliseconds
from tables import markdown

WAYS = {
    "1": SessionThreads(1),
    "2, asleep": SessionThreads(2),
    "2, spinning 10 us": SessionThreads(2, 10),
    "2, spinning 20 us": SessionThreads(2, 20),
    "2, spinning 5 ms": SessionThreads(2, 5_000),  # sleeps before the next round, see REST_SECONDS
}
BUSY = (0, 1, 2)
# Steps of a round, so that a round takes tens of milliseconds.
STEPS = {"demo": 100, "tiny": 60, "x4": 10, "x16": 4}
MODELS = (
    ("demo", "int8"),
    ("tiny", "fp32"),
    ("tiny", "int8"),
    ("tiny", "int4"),
    ("x4", "fp32"),
    ("x4", "int8"),
    ("x4", "int4"),
    ("x16", "int8"),
)


@dataclass(frozen=True)
class OneWay(ThreadPolicy):
    """The same threads for every decoder, whatever its size."""

    threads: SessionThreads

    def for_steps(self, weight_bytes: float) -> SessionThreads:
        """The way that is measured."""
        return self.threads


@contextmanager
def busy_programs(count: int) -> Iterator[None]:
    """So many other programs that compute without pause."""
    programs = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for program in programs:
            program.kill()
            program.wait()


def measure(folder: Path, size: str, precision: str, rounds: int) -> list[dict[str, Any]]:
    """A step's milliseconds in each way, and how many times as fast as with one thread (paired rounds)."""
    setting = Setting(precision, size)
    runs = [
        Steps(Models(open_bundle(folder), "cpu", OneWay(None, threads)).thinker(), setting, STEPS[size])
        for threads in WAYS.values()
    ]
    rows = []
    for busy in BUSY:
        with busy_programs(busy):
            samples = milliseconds(runs, rounds)
        for way, each in zip(WAYS, samples, strict=True):
            rows.append(
                {
                    "size": size,
                    "precision": precision,
                    "busy": busy,
                    "threads": way,
                    "step_ms": round(summarise(each).median, 4),
                    "times_one_thread": round(median_ratio(samples[0], each), 3),
                }
            )
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """One line a model and load: one thread's milliseconds, then ratios."""
    ways = list(WAYS)
    lines = []
    for start in range(0, len(rows), len(ways)):
        group = rows[start : start + len(ways)]
        first = group[0]
        ratios = [f"{row['times_one_thread']:.2f}" for row in group[1:]]
        name = f"{first['size']} {first['precision']}"
        lines.append([name, str(first["busy"]), f"{first['step_ms']:.2f}", *ratios])
    return markdown(["model", "other programs", "1 thread, ms", *ways[1:]], lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder for the models; kept and reused")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "threads.json")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for size, precision in MODELS:
        folder = demo_bundle() if size == "demo" else Work(options.work, size).bundle(precision)
        rows += measure(folder, size, precision, options.rounds)
        print(f"{size} {precision} is measured", file=sys.stderr)
    result = {"machine": describe_machine(), "rounds": options.rounds, "rows": rows}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=1) + "\n")
    print(table(rows))


if __name__ == "__main__":
    main()
