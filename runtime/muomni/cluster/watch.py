"""Whether an engine goes on, for whoever looks at it from time to time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from muomni.errors import ExecutionError


class Watched(Protocol):
    """What :class:`muomni.engine.thread.EngineThread` says of itself."""

    @property
    def alive(self) -> bool: ...
    @property
    def busy(self) -> bool: ...
    @property
    def steps(self) -> int: ...


class EngineWatch:
    """Notices an engine that has failed, or that has something to do and does not step.

    Args:
        patience_s: the longest that one step may take. It is milliseconds, where the machine is not overloaded.

    Example:
        >>> watch = EngineWatch(30)
        >>> watch.check(thread)  # every few seconds
    """

    def __init__(self, patience_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._patience_s, self._clock = patience_s, clock
        self._steps, self._since = -1, 0.0

    def check(self, engine: Watched) -> None:
        """Look at it.

        Raises:
            ExecutionError: it has failed, or is stuck.
        """
        if not engine.alive:
            raise ExecutionError("the engine has failed; the replica must be replaced")
        now = self._clock()
        if not engine.busy or engine.steps != self._steps:
            self._steps, self._since = engine.steps, now
        elif now - self._since > self._patience_s:
            raise ExecutionError(
                f"the engine has been in one step for {now - self._since:.0f} s; the replica must be replaced"
            )
