"""How many threads each session gets, and whether they wait for work by spinning.

Found by measurement on two cores (benchmarks/README.md, "Threads"):

- A step of a small decoder takes a fraction of a millisecond, spread over 40 nodes or more. With a second thread
  it is 0.6 to 1.3 times as fast on a quiet machine, and 0.6 times on a busy one, where each node waits for a core that
  another program has. A large decoder becomes 1.4 to 2 times as fast, and on a busy machine stays about as fast.
  Weights of 32 MB divide the two.
- Between the nodes of a step a thread that sleeps is woken too late; one that spins for 10 us is there, and
  leaves the core to others soon enough. Threads that spin as long as ONNX Runtime lets them by itself halve the
  speed of a busy machine, and the stages of speech, which take turns, fight for the cores.
- Encoders and vocoders have large nodes and gain nothing by spinning.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from muomni.errors import InputError

ENVIRONMENT_VARIABLE = "MUOMNI_THREADS"


# Not measured on more than two cores; the models here are small.
MOST_THREADS = 4
LARGE_DECODER_BYTES = 32_000_000
SPIN_MICROSECONDS = 10


@dataclass(frozen=True)
class SessionThreads:
    """Threads of one session, and for how long they spin before they sleep (0: not at all)."""

    count: int
    spin_us: int = 0


@dataclass(frozen=True)
class ThreadPolicy:
    """``chosen`` threads for every session, or None: what measurement says for each."""

    chosen: int | None

    @property
    def most(self) -> int:
        """The most threads any session gets."""
        return self.chosen or min(available_cores(), MOST_THREADS)

    def for_passes(self) -> SessionThreads:
        """Threads for a graph that computes all of its input in one pass."""
        return SessionThreads(self.most)

    def for_steps(self, weight_bytes: float) -> SessionThreads:
        """Threads for a decoder with weights of that size, one position at a time."""
        if self.chosen is None and weight_bytes < LARGE_DECODER_BYTES:
            return SessionThreads(1)
        return self.for_steps_of_many_rows()

    def for_steps_of_many_rows(self) -> SessionThreads:
        """Threads for a decoder of any size, many rows at a time."""
        return SessionThreads(self.most, SPIN_MICROSECONDS if self.most > 1 else 0)


def thread_policy(wanted: int | None = None) -> ThreadPolicy:
    """The policy for an argument, else for ``MUOMNI_THREADS``, else for this machine.

    Raises:
        InputError: the number asked for is below 1 or not a number.
    """
    name = "threads"
    if wanted is None:
        text = os.environ.get(ENVIRONMENT_VARIABLE)
        if not text:  # an empty variable is an unset one
            return ThreadPolicy(None)
        name = ENVIRONMENT_VARIABLE
        try:
            wanted = int(text)
        except ValueError as error:
            raise InputError(f"{name}={text!r}: expected a whole number of threads") from error
    if wanted < 1:
        raise InputError(f"{name}: expected at least 1, got {wanted}")
    return ThreadPolicy(wanted)


def available_cores(cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """Cores by CPU affinity, and by the cgroup's quota where a container has one (rounded down, at least one)."""
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # macOS, Windows
        cores = os.cpu_count() or 1
    quota = _cgroup_quota(cgroup)
    return max(1, min(cores, int(quota))) if quota else cores


def _cgroup_quota(cgroup: Path) -> float | None:
    """CPU quota in cores from cgroup v2, else v1; None without one."""
    try:
        limit, period = (cgroup / "cpu.max").read_text().split()
        return None if limit == "max" else int(limit) / int(period)
    except (OSError, ValueError):
        pass
    try:
        limit_us = int((cgroup / "cpu" / "cpu.cfs_quota_us").read_text())
        return limit_us / int((cgroup / "cpu" / "cpu.cfs_period_us").read_text()) if limit_us > 0 else None
    except (OSError, ValueError, ZeroDivisionError):
        return None
