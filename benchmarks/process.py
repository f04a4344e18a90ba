"""The other end of ``worker.py``: a contender that works in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from models import Work

WORKER = Path(__file__).parent / "worker.py"
PREPARE_SECONDS = 1800


class ContenderError(Exception):
    """A contender is not installed or does not work; the message is the last line of what it said."""


def _command(work: Work, name: str, precision: str, last: str) -> list[str]:
    return [sys.executable, str(WORKER), str(work.folder), work.size, name, precision, last]


def prepare(work: Work, name: str, precision: str) -> None:
    """Make a contender's files, in another process.

    Raises:
        ContenderError: a package is missing, or the conversion fails.
    """
    done = subprocess.run(
        _command(work, name, precision, "prepare"),
        capture_output=True,
        text=True,
        check=False,
        timeout=PREPARE_SECONDS,
    )
    if done.returncode != 0:
        raise ContenderError(last_line(done.stderr))


class Process:
    """A running contender.

    Raises (always when it fails):
        ContenderError: with the last line of its stderr.
    """

    def __init__(self, work: Work, name: str, precision: str, threads: int) -> None:
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed with the process
        self._process = subprocess.Popen(
            _command(work, name, precision, str(threads)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        self._read()

    def ask(self, task: Any) -> Any:
        """Hand in a task, wait for its result."""
        assert self._process.stdin is not None
        print(json.dumps(task), file=self._process.stdin, flush=True)
        return self._read()

    def _read(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            self._errors.seek(0)
            raise ContenderError(last_line(self._errors.read()))
        return json.loads(line)

    def close(self) -> None:
        """Let it end."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
        self._errors.close()


def last_line(text: str) -> str:
    """What a traceback says in the end."""
    return (text.strip().splitlines() or ["no message"])[-1]
