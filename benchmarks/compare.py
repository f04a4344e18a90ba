"""muomni and its peers on the same random Thinker, in interleaved rounds: ``python benchmarks/compare.py``.

Every contender is a process of its own, so that its threads and memory are its own; only one of them works at a
time. A peer that is not installed, or cannot run a precision, is reported and skipped.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from contenders import CONTENDERS
from models import PRECISIONS, Work
from muomni.bench.machine import describe_machine
from muomni.bench.statistics import summarise

HERE = Path(__file__).parent


class Contender:
    """The other end of ``worker.py``."""

    def __init__(self, work: Work, name: str, precision: str, threads: int) -> None:
        words = [str(HERE / "worker.py"), str(work.folder), work.size, name, precision, str(threads)]
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed with the process
        self.process = subprocess.Popen(
            [sys.executable, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
        )
        self.rounds: list[dict[str, Any]] = []
        self._read()

    def _read(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            self.process.wait()
            self.errors.seek(0)
            lines = self.errors.read().strip().splitlines() or ["no message"]
            raise RuntimeError(lines[-1])
        return json.loads(line)

    def round(self) -> dict[str, Any]:
        assert self.process.stdin is not None
        print("round", file=self.process.stdin, flush=True)
        result: dict[str, Any] = self._read()
        return result

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def compare(work: Work, threads: int, rounds: int, names: list[str]) -> dict[str, Any]:
    """Rows of the table, and what was skipped with the reason."""
    for precision in PRECISIONS:
        work.bundle(precision)
    running: dict[tuple[str, str], Contender] = {}
    skipped: dict[str, str] = {}
    for name in names:
        for precision in CONTENDERS[name][1]:
            try:
                contender = Contender(work, name, precision, threads)
                contender.round()  # warm-up
                running[name, precision] = contender
            except RuntimeError as error:
                skipped[f"{name} {precision}"] = str(error)
                print(f"skipped {name} {precision}: {error}", file=sys.stderr)
    for index in range(rounds):
        order = list(running) if index % 2 == 0 else list(reversed(running))
        for key in order:
            running[key].rounds.append(running[key].round())
    reference = running["muomni", "fp32"].rounds[0]["ids"]
    rows = []
    for (name, precision), contender in running.items():
        rates = [r["tokens_per_s"] for r in contender.rounds]
        same = sum(a == b for a, b in zip(reference, contender.rounds[0]["ids"], strict=True))
        ours = running.get(("muomni", precision))
        ratio = None
        if ours is not None:
            ratio = summarise([o["tokens_per_s"] / r for o, r in zip(ours.rounds, rates, strict=True)]).median
        rows.append(
            {
                "name": name,
                "precision": precision,
                "tokens_per_s": round(summarise(rates).median, 1),
                "tokens_per_s_rounds": [round(rate, 1) for rate in rates],
                "prefill_ms": round(summarise([r["prefill_ms"] for r in contender.rounds]).median, 2),
                "peak_rss_mb": round(max(r["peak_rss_mb"] for r in contender.rounds), 1),
                "muomni_is_faster_by": None if ratio is None else round(ratio, 3),
                "same_tokens_as_muomni_fp32": round(same / len(reference), 4),
            }
        )
        contender.close()
    return {
        "machine": describe_machine(),
        "threads": threads,
        "rounds": rounds,
        "rows": rows,
        "skipped": skipped,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder for the models; kept and reused")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="*", default=list(CONTENDERS), choices=list(CONTENDERS))
    parser.add_argument("--out", type=Path, default=HERE / "results" / "compare.json")
    options = parser.parse_args()
    result = compare(Work(options.work), options.threads, options.rounds, options.only)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=1) + "\n")
    print(f"{'':<20}{'':>6}{'tok/s':>9}{'prefill ms':>12}{'peak MB':>9}{'muomni is':>11}")
    for row in sorted(
        result["rows"], key=lambda row: (PRECISIONS.index(row["precision"]), -row["tokens_per_s"])
    ):
        ratio = row["muomni_is_faster_by"]
        print(
            f"{row['name']:<20}{row['precision']:>6}{row['tokens_per_s']:>9,.0f}{row['prefill_ms']:>12.1f}"
            f"{row['peak_rss_mb']:>9.0f}{'' if ratio is None else f'{ratio:.2f}×':>11}"
        )


if __name__ == "__main__":
    main()
