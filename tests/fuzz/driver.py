"""Gives mutated files to a worker process, one after the other, and writes down what should not be.

Not right are: an exception that is no ``MuomniError``, more than 10 seconds, more than 1 GB, a file that is left, the
end of the process.
"""

from __future__ import annotations

import json
import select
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from tests.fuzz.kind import mutated
from tests.fuzz.kinds import KINDS

ROOT = Path(__file__).resolve().parents[2]
COMMAND = ["-m", "tests.fuzz.worker"]
SECONDS = 10.0
START_SECONDS = 120.0
FIRST_SECONDS = 60.0  # more for the first file of a process, with which modules are imported
MEMORY_BYTES = 10**9


@dataclass
class Result:
    read: int = 0
    refused: int = 0
    findings: list[str] = field(default_factory=list)


class Worker:
    """The process that reads the files; started when it is needed, and anew after it was stopped."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[str] | None = None

    def ask(self, kind: str, path: Path, seconds: float = SECONDS) -> str:
        """What came of one file; anything but "read" and "refused" is a finding, and the process is stopped."""
        if self.process is None:
            self.process = subprocess.Popen(
                [sys.executable, *COMMAND],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                bufsize=1,
            )
            assert self._line(START_SECONDS) == "ready\n", "the worker did not start"
            seconds += FIRST_SECONDS
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps([kind, str(path)]) + "\n")
        line = self._line(seconds)
        if line is None:
            self.stop()
            return f"no answer after {seconds:g} s"
        if not line:
            code = self.process.wait()
            self.stop()
            return f"the process ended with {code}"
        outcome, peak = json.loads(line)
        if peak > MEMORY_BYTES:
            self.stop()
            return f"{peak / 1e9:.2f} GB of memory, after: {outcome}"
        return str(outcome)

    def _line(self, seconds: float) -> str | None:
        assert self.process is not None and self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], seconds)
        return self.process.stdout.readline() if ready else None

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.process = None


def fuzz(
    worker: Worker, kind: str, count: int, seed: int = 0, first: int = 0, keep: Path | None = None
) -> Result:
    """Have ``count`` mutated files of a kind read; those that something was found with are copied to ``keep``."""
    result = Result()
    samples = KINDS[kind].samples()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "input")
        for index in range(first, first + count):
            data = mutated(KINDS[kind], samples, seed, index)
            path.write_bytes(data)
            outcome = worker.ask(kind, path)
            if outcome == "read":
                result.read += 1
            elif outcome == "refused":
                result.refused += 1
            else:
                result.findings.append(f"--kind {kind} --seed {seed} --first {index} --count 1: {outcome}")
                if keep is not None:
                    keep.mkdir(parents=True, exist_ok=True)
                    (keep / f"{kind}-{seed}-{index}").write_bytes(data)
    return result
