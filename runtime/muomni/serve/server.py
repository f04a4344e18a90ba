"""Run the application: uvicorn, with guarded connections and a graceful stop."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import Any

import uvicorn

from muomni.errors import UsageError

from .app import create_app
from .connections import GuardedHttp, GuardedWebSocket, Held
from .settings import Settings
from .state import ServerState

OTHER_FILES = 256
"""That are open besides connections: models, and what clients upload."""
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


def allow_connections(count: int) -> None:
    """Let this process have so many connections beside its files: most systems begin with 1024 of both together."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + OTHER_FILES
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    if most < wanted:
        log.warning("%d files may be open, which is too few for %d connections; see `ulimit -n`", most, count)


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
        http = type("Http", (GuardedHttp,), {"limits": limits})
        websocket = type("WebSocket", (GuardedWebSocket,), {"limits": limits, "held": Held()})
        tls: dict[str, Any] = {}
        if settings.tls_cert is not None:
            tls = {"ssl_certfile": settings.tls_cert, "ssl_keyfile": settings.tls_key}
        super().__init__(
            uvicorn.Config(
                create_app(settings, self.state),
                host=settings.host,
                port=settings.port,
                http=http,
                ws=websocket,
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
        allow_connections(self.settings.limits.connections)
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
