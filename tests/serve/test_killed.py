"""Clients that are killed (``kill -9``) in the middle of a reply, or of what they say, leave nothing behind."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.serve.conftest import Running
from tests.serve.test_load import CHAT, SOON_S
from tests.serve.test_security import figures

CLIENT = Path(__file__).with_name("doomed.py")
SESSIONS = ("/v1/realtime", "/v1/live/sessions")


def within(seconds: float, fits: Callable[[], bool]) -> None:
    until = time.perf_counter() + seconds
    while not fits():
        assert time.perf_counter() < until
        time.sleep(0.005)


def open_sessions(running: Running) -> float:
    found = figures(running)
    return sum(found.get(f'muomni:num_websocket_connections{{handler="{path}"}}', 0) for path in SESSIONS)


def tasks(running: Running) -> int:
    mailbox = running.state._mailbox
    assert mailbox is not None
    return len(asyncio.all_tasks(mailbox.loop))


def test_clients_killed_in_the_middle_leave_nothing_behind(slow: Running) -> None:
    with slow.client() as client:
        assert client.chat.completions.create(**CHAT).choices  # type: ignore[call-overload]
    connections = slow.server.server_state.connections
    held, before = len(connections), tasks(slow)
    doomed = [
        subprocess.Popen([sys.executable, CLIENT, str(slow.port), what], stdout=subprocess.PIPE)
        for what in ("http-replies", "realtime-replies", "realtime-speaks", "live-replies", "live-speaks")
    ]
    try:
        for client_ in doomed:
            assert client_.stdout is not None and client_.stdout.readline() == b"there\n"
        assert open_sessions(slow) == 4
        within(5, lambda: slow.state.engine.running >= 3)
    finally:
        for client_ in doomed:
            os.kill(client_.pid, signal.SIGKILL)
    killed = time.perf_counter()
    for client_ in doomed:
        client_.wait()
        assert client_.stdout is not None
        client_.stdout.close()
    slow.idle_within(0.05 + SOON_S)
    within(SOON_S, lambda: len(connections) <= held)
    assert open_sessions(slow) == 0 and not slow.state.judging._streams
    within(SOON_S, lambda: tasks(slow) <= before)
    assert time.perf_counter() - killed < 3 * SOON_S
    with slow.client() as client:
        assert client.chat.completions.create(**CHAT).choices[0].message.content  # type: ignore[call-overload]
