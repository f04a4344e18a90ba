"""What processes take of the machine, by Linux's own count."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Usage:
    """Of a process so far: seconds of processor time, memory now and at most (MB)."""

    cpu_s: float
    rss_mb: float
    peak_mb: float


def cpu_seconds(pid: int) -> float:
    """Processor time of a process, all its threads: by its own clock, as ``/proc/PID/stat`` counts whole ticks."""
    return time.clock_gettime((~pid << 3) | 2)  # what clock_getcpuclockid(3) gives


def usage(pid: int) -> Usage:
    """What a process has taken."""
    status = Path(f"/proc/{pid}/status").read_text()

    def mb(name: str) -> float:
        return int(status.partition(f"{name}:")[2].split()[0]) / 1024

    return Usage(cpu_seconds(pid), mb("VmRSS"), mb("VmHWM"))


class Cores:
    """Cores that a process keeps busy between two moments."""

    def __init__(self, pid: int) -> None:
        self._pid, self._cpu_s, self._at = pid, cpu_seconds(pid), time.perf_counter()

    def so_far(self) -> float:
        return round((cpu_seconds(self._pid) - self._cpu_s) / (time.perf_counter() - self._at), 3)


def others_busy(seconds: float = 1.0) -> float:
    """Cores that are busy before anything is measured."""

    def busy() -> float:
        user, nice, system, *rest = map(int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:])
        return (user + nice + system + sum(rest[2:4])) / TICKS_PER_S

    before = busy()
    time.sleep(seconds)
    return round((busy() - before) / seconds, 2)
