"""The server that is measured: started here, or running already."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

COMMAND = (sys.executable, "-m", "muomni.cli.serve", "--port", "0")
READY = re.compile(r"is ready at (http://127\.0\.0\.1:\d+)")
STARTS_WITHIN_S, STOPS_WITHIN_S = 60, 20


class ServerError(Exception):
    """The server does not start; the message is what it said."""


@dataclass(frozen=True)
class Running:
    """A server that answers.

    Attributes:
        url: ``http://host:port``.
        pid: of its process; None where it is not known.
        start_s: from the start of the process until it answered.
    """

    url: str
    pid: int | None
    start_s: float | None = None

    def metric(self, name: str) -> float:
        """A figure of ``/metrics``, by its name there."""
        with urllib.request.urlopen(f"{self.url}/metrics") as answer:
            text: str = answer.read().decode()
        for line in text.splitlines():
            if line.startswith(f"{name} "):
                return float(line.rpartition(" ")[2])
        raise KeyError(name)

    @property
    def busy_slots(self) -> int:
        """Requests that run or wait."""
        return int(self.metric("muomni:num_requests_running") + self.metric("muomni:num_requests_waiting"))


@contextmanager
def serving(model: Path | None = None, *options: str, profile: Path | None = None) -> Iterator[Running]:
    """``muomni-serve`` in a process of its own, until the block ends.

    Args:
        options: of the command.
        profile: where py-spy writes what it sees of the process (speedscope's JSON).

    Raises:
        ServerError: it does not start.
    """
    arguments = [*COMMAND, *(("--model", str(model)) if model is not None else ()), *options]
    begun = time.perf_counter()
    process = subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    said: deque[str] = deque(maxlen=20)
    watch = threading.Timer(STARTS_WITHIN_S, process.kill)
    watch.start()
    spy = None
    try:
        url = None
        for line in process.stderr:
            said.append(line)
            if found := READY.search(line):
                url = found[1]
                break
        watch.cancel()
        if url is None:
            raise ServerError("".join(said).strip() or "the server ended without a word")
        with urllib.request.urlopen(f"{url}/ready") as answer:
            assert answer.status == 200
        started = time.perf_counter() - begun
        threading.Thread(target=said.extend, args=(process.stderr,), daemon=True).start()
        if profile is not None:
            spy = _spy(process.pid, profile)
        yield Running(url, process.pid, started)
    finally:
        watch.cancel()
        if spy is not None:
            spy.send_signal(signal.SIGINT)
            spy.wait()
        process.terminate()
        try:
            process.wait(STOPS_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _spy(pid: int, profile: Path) -> subprocess.Popen[bytes]:
    command = shutil.which("py-spy")
    if command is None:
        raise ServerError("--profile needs py-spy; install it with\n  pip install py-spy")
    # Blocking it at each look would slow down what is looked at.
    options = ["--threads", "--nonblocking", "--rate", "200", "--format", "raw", "--output", str(profile)]
    return subprocess.Popen([command, "record", "--pid", str(pid), *options], stdout=subprocess.DEVNULL)
