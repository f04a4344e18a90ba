"""How many threads each session gets, and whether they wait for work by spinning.

Found by measurement (benchmarks/README.md), on two cores, with a Thinker of 20 million parameters:

- A decode step in 8 or 4 bits takes 0.3 ms, spread over 40 nodes. A second thread gains nothing or little on
  a quiet machine and costs three quarters of the speed on a busy one, where each node waits for a core that
  another program has.
- In float32 a step is bound by memory, and a second thread reads it 1.5 times faster.
- Threads that spin between nodes are the fastest where all cores are free, and halve the speed where they are
  not. The models here are small and share machines, so nothing spins unless threads were asked for.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from .errors import InputError

ENVIRONMENT_VARIABLE = "MUOMNI_THREADS"


# Graphs of this size do not keep more threads busy.
MOST_THREADS = 4


@dataclass(frozen=True)
class SessionThreads:
    """Threads of one session; ``spinning`` ones burn a core while they wait."""

    count: int
    spinning: bool


@dataclass(frozen=True)
class ThreadPolicy:
    """``chosen`` threads for every session, or None: what measurement says for each."""

    chosen: int | None

    @property
    def most(self) -> int:
        """The most threads any session gets."""
        return self.chosen or min(available_cores(), MOST_THREADS)

    def of(self, *, decodes: bool, quantised: bool) -> SessionThreads:
        """Threads for a graph that ``decodes`` step by step or not, with ``quantised`` products or not."""
        if self.chosen is not None:
            return SessionThreads(self.chosen, spinning=True)
        return SessionThreads(1 if decodes and quantised else self.most, spinning=False)


def thread_policy(wanted: int | None = None) -> ThreadPolicy:
    """The policy for an argument, else for ``MUOMNI_THREADS``, else for this machine.

    Raises:
        InputError: the number asked for is below 1 or not a number.
    """
    name = "threads"
    if wanted is None:
        text = os.environ.get(ENVIRONMENT_VARIABLE)
        if text is None:
            return ThreadPolicy(None)
        name = ENVIRONMENT_VARIABLE
        try:
            wanted = int(text)
        except ValueError as error:
            raise InputError(f"{name}={text!r}: expected a whole number of threads") from error
    if wanted < 1:
        raise InputError(f"{name}: expected at least 1, got {wanted}")
    return ThreadPolicy(wanted)


def available_cores() -> int:
    """Cores by CPU affinity, and by the cgroup's quota where a container has one."""
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # macOS, Windows
        cores = os.cpu_count() or 1
    quota = _cgroup_quota()
    return max(1, min(cores, int(quota))) if quota else cores


def _cgroup_quota() -> float | None:
    """CPU quota in cores from cgroup v2, else v1; None without one."""
    try:
        limit, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return None if limit == "max" else int(limit) / int(period)
    except (OSError, ValueError):
        pass
    try:
        folder = Path("/sys/fs/cgroup/cpu")
        limit_us = int((folder / "cpu.cfs_quota_us").read_text())
        return limit_us / int((folder / "cpu.cfs_period_us").read_text()) if limit_us > 0 else None
    except (OSError, ValueError, ZeroDivisionError):
        return None
