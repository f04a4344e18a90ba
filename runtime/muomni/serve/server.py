"""Run the application: uvicorn, with limits on connections that it does not have itself, and a graceful stop."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from muomni.errors import UsageError

from .app import create_app
from .settings import Limits, Settings
from .state import ServerState

log = logging.getLogger("muomni.serve")


def bound_socket(host: str, port: int) -> socket.socket:
    """A socket at this address; it is taken before a model is loaded in vain.

    Raises:
        UsageError: the address is taken, or not this machine's.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        made = socket.socket(family, kind, protocol)
    except OSError as error:
        raise UsageError(f"{host}: no address to listen at ({error.strerror or error})") from error
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(address)
    except OSError as error:
        made.close()
        raise UsageError(
            f"cannot listen at {host} port {port}: {error.strerror or error}; choose another --port (0 takes a free "
            "one) or --host"
        ) from error
    return made


class GuardedProtocol(HttpToolsProtocol):
    """A connection that is closed when it is one too many, sends nothing for long, or takes nothing for long."""

    limits = Limits()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._timer: asyncio.TimerHandle | None = None
        self._head_bytes, self._in_head = 0, False
        if len(self.connections) > self.limits.connections:
            self._refuse(b"503 Service Unavailable")
        else:
            self._expect_more()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._in_head:  # the parser itself takes heads without an end
            self._head_bytes += len(data)
            if self._head_bytes > self.limits.head_bytes:
                self._refuse(b"431 Request Header Fields Too Large")
                return
        if self.transport.get_protocol() is self:  # else it is a websocket's now
            self._expect_more()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head_bytes, self._in_head = 0, True

    def on_headers_complete(self) -> None:
        self._in_head = False
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._start_timer(self.limits.slow_reader_s, self._drop)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._expect_more()

    def handle_websocket_upgrade(self) -> None:
        self._stop_timer()
        super().handle_websocket_upgrade()

    def _expect_more(self) -> None:
        """Close the connection unless a request begins, or its body goes on; not while it is being answered."""
        cycle = self.cycle
        self._stop_timer()
        if cycle is None or cycle.response_complete or cycle.more_body:
            self._start_timer(self.limits.idle_s, self._close_idle)

    def _refuse(self, status: bytes) -> None:
        self._stop_timer()
        self.transport.write(b"HTTP/1.1 " + status + b"\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
        self.transport.close()

    def _close_idle(self) -> None:
        cycle = self.cycle
        if cycle is None or cycle.response_complete or cycle.more_body:
            self.transport.close()

    def _drop(self) -> None:
        log.info("a reader took nothing for %g s and was dropped", self.limits.slow_reader_s)
        self.transport.abort()

    def _start_timer(self, seconds: float, then: Callable[[], None]) -> None:
        self._stop_timer()
        self._timer = self.loop.call_later(seconds, then)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class Server(uvicorn.Server):
    """Serves until it is told to stop (Ctrl-C, SIGTERM, or ``should_exit``).

    Then no connection and no request is taken any more. Replies that run may go on for a while; what is left is told
    that the server stops.

    Example:
        >>> Server(Settings()).run()
    """

    def __init__(self, settings: Settings, state: ServerState | None = None) -> None:
        self.settings = settings
        self.state = state or ServerState(settings)
        self.on_ready: Callable[[], None] | None = None
        limits = settings.limits
        protocol = type("Protocol", (GuardedProtocol,), {"limits": limits})
        tls: dict[str, Any] = {}
        if settings.tls_cert is not None:
            tls = {"ssl_certfile": settings.tls_cert, "ssl_keyfile": settings.tls_key}
        super().__init__(
            uvicorn.Config(
                create_app(settings, self.state),
                host=settings.host,
                port=settings.port,
                http=protocol,
                ws="websockets-sansio",
                ws_max_size=limits.body_bytes,
                ws_per_message_deflate=False,  # speech in base64 hardly shrinks, and takes longer than all else
                log_level="warning",
                access_log=False,
                timeout_keep_alive=int(limits.idle_s),
                timeout_graceful_shutdown=int(limits.grace_s) + 3,
                backlog=2048,
                server_header=False,
                **tls,
            )
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Called by uvicorn when it begins."""
        await super().startup(sockets)
        if self.started and self.on_ready is not None:
            self.on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Called by uvicorn when it is to stop."""
        self.state.stopping = True
        ending = asyncio.ensure_future(asyncio.to_thread(self.state.close, self.settings.limits.grace_s))
        try:
            await super().shutdown(sockets)
        finally:
            await ending
