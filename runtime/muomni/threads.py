"""How many threads a session may use here."""

from __future__ import annotations

import os
from pathlib import Path

from .errors import InputError

ENVIRONMENT_VARIABLE = "MUOMNI_THREADS"


def thread_count(wanted: int | None = None) -> int:
    """Threads for one session: the argument, else ``MUOMNI_THREADS``, else the cores this process may use.

    Raises:
        InputError: the number asked for is below 1 or not a number.
    """
    if wanted is None:
        text = os.environ.get(ENVIRONMENT_VARIABLE)
        if text is None:
            return available_cores()
        try:
            wanted = int(text)
        except ValueError as error:
            raise InputError(
                f"{ENVIRONMENT_VARIABLE}={text!r}: expected a whole number of threads"
            ) from error
    if wanted < 1:
        raise InputError(f"threads: expected at least 1, got {wanted}")
    return wanted


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
