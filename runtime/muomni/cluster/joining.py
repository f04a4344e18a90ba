"""Join a cluster, or start one on this machine."""

from __future__ import annotations

import logging
import os

import ray
from ray.data import DataContext

from muomni.errors import UsageError


def join(address: str | None, progress: bool) -> int:
    """Join the cluster, unless this program has; its cores.

    Args:
        address: None takes what ``RAY_ADDRESS`` names or runs here, else starts one on the cores of this machine.
        progress: show Ray's bars on stderr.

    Raises:
        UsageError: there is no cluster at the address.
    """
    if not ray.is_initialized():
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            ray.init(address, log_to_driver=False, logging_level="error")
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise UsageError(f"no cluster of Ray at {address or 'this machine'}: {error}") from error
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = DataContext.get_current()
    context.enable_progress_bars = progress
    context.print_on_execution_start = False
    return int(ray.cluster_resources().get("CPU", 1))
