"""An engine that is stuck is noticed, and one that rests is not taken for it."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

import muomni
from muomni.cluster.watch import EngineWatch
from muomni.engine.thread import EngineThread
from muomni.engine.turn import LoneTurn


def test_a_step_that_does_not_end_is_noticed(omni: muomni.Omni, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = omni.engine(2)
    thread, now, go_on = EngineThread(engine), [0.0], threading.Event()
    watch = EngineWatch(30, lambda: now[0])
    try:
        for now[0] in (0.0, 100.0, 200.0):  # nothing to do
            watch.check(thread)
        step = engine.step

        def stuck() -> Any:
            go_on.wait(20)
            return step()

        monkeypatch.setattr(engine, "step", stuck)
        thread.submit(LoneTurn(thread.models, muomni.Request("Hello!")), lambda event: None)
        while not thread.busy:
            time.sleep(0.001)
        watch.check(thread)
        now[0] += 29
        watch.check(thread)
        now[0] += 2
        with pytest.raises(muomni.ExecutionError, match="in one step for 31 s"):
            watch.check(thread)
        go_on.set()
        while thread.busy:
            time.sleep(0.001)
        watch.check(thread)
    finally:
        go_on.set()
        thread.close()
    with pytest.raises(muomni.ExecutionError, match="has failed"):
        watch.check(thread)
