"""A server in a thread of this process, on a free port."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import muomni
from muomni.engine.engine import Engine
from muomni.serve.server import Server
from muomni.serve.settings import Settings


@contextmanager
def running(settings: Settings) -> Iterator[Server]:
    """A server that answers; it is stopped at the end."""
    server, ready = Server(settings), threading.Event()
    server.state.omni.warm_up()
    server.on_ready = ready.set
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        assert ready.wait(30)
        yield server
    finally:
        server.should_exit = True
        thread.join(30)
        assert not thread.is_alive()


def address_of(server: Server) -> str:
    """Host and port."""
    return f"127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"


def as_spoken(omni: muomni.Omni, request: muomni.Request) -> muomni.Reply:
    """A reply as an engine in real time gives it, whose Talker speaks for several and may round otherwise."""
    engine = omni.engine(2, real_time=True)
    engine.add(request)
    return last_reply(engine)


def last_reply(engine: Engine) -> muomni.Reply:
    """The reply of the only sequence of an engine."""
    while True:
        for _, event in engine.step():
            assert not isinstance(event, muomni.Failed), event
            if isinstance(event, muomni.Finished):
                return event.reply
