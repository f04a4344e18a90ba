"""Connections with limits that uvicorn's own do not have: of time, of bytes, and of what waits for a reader."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import CloseCode, Frame

from .settings import Limits

STEADY_BYTES = 64 << 10
"""Of a body, which put off its end; a byte now and then does not."""
MOST_FRAGMENTS = 4096
"""Of a websocket's message: each takes more memory than its byte or none."""
MOST_PINGS = 100
"""Of a websocket in a second: each is answered, and the answers are kept for one that reads nothing."""
SLICE_BYTES = 16 << 10
"""Of a websocket are looked at before it is asked whether it goes on: a flood of frames is not read to its end."""
log = logging.getLogger("muomni.serve")


class GuardedHttp(HttpToolsProtocol):
    """A connection that is closed when it is one too many, sends too little in its time, or takes nothing for long."""

    limits = Limits()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._timer: asyncio.TimerHandle | None = None
        self._head_bytes = self._steady_bytes = 0
        self._in_head = self._is_full = False
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
            self._expect_more(len(data))

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head_bytes, self._in_head = 0, True
        self._stop_timer()

    def on_headers_complete(self) -> None:
        self._in_head = False
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._is_full = True
        self._start_timer(self.limits.slow_reader_s, self._drop)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._is_full = False
        self._stop_timer()
        self._expect_more()

    def handle_websocket_upgrade(self) -> None:
        self._stop_timer()
        super().handle_websocket_upgrade()

    @property
    def _waits(self) -> bool:
        """For a request, or for more of one; not while it is being answered."""
        cycle = self.cycle
        return cycle is None or cycle.response_complete or cycle.more_body

    def _expect_more(self, came: int = 0) -> None:
        """Close the connection unless a request comes in time: its head at once, its body steadily."""
        if self._is_full:  # the timer is the slow reader's, whatever it sends
            return
        if not self._waits:
            self._stop_timer()
            return
        self._steady_bytes += came
        if self._timer is None or (
            self._steady_bytes >= STEADY_BYTES and not self._in_head and self.cycle.more_body
        ):
            self._start_timer(self.limits.idle_s, self._close_idle)

    def _refuse(self, status: bytes) -> None:
        self._stop_timer()
        self.transport.write(_answer(status))
        self.transport.close()

    def _close_idle(self) -> None:
        self._timer = None
        if self._waits:
            self.transport.close()

    def _drop(self) -> None:
        log.info("a reader took nothing for %g s and was dropped", self.limits.slow_reader_s)
        self.transport.abort()

    def _start_timer(self, seconds: float, then: Callable[[], None]) -> None:
        self._stop_timer()
        self._steady_bytes = 0
        self._timer = self.loop.call_later(seconds, then)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


@dataclass
class Held:
    """Bytes of the messages of all websockets that have begun and are not whole."""

    bytes: int = 0


class GuardedWebSocket(WebSocketsSansIOProtocol):
    """A websocket whose handshake is answered in any case, and which is closed when it floods."""

    limits = Limits()
    held = Held()
    _begun_bytes = _pings = _ping_second = 0

    def data_received(self, data: bytes) -> None:
        for at in range(0, len(data), SLICE_BYTES):
            piece = data[at : at + SLICE_BYTES]
            self._begun_bytes += len(piece)
            self.held.bytes += len(piece)
            super().data_received(piece)
            if self.close_sent or self.transport.is_closing():
                return  # what is left was for nothing
            if self.held.bytes > self.limits.bodies_bytes and self.handshake_complete:
                self._fail(CloseCode.TRY_AGAIN_LATER, "too much is sent to this server at once")
                return
        if not self.handshake_initiated:  # the head came whole, and is one of HTTP but not of a websocket
            self.transport.write(_answer(b"400 Bad Request"))
            self.transport.close()

    def send_receive_event_to_app(self) -> None:
        super().send_receive_event_to_app()
        self._let_go()

    def connection_lost(self, exc: Exception | None) -> None:
        self._let_go()
        super().connection_lost(exc)

    def handle_cont(self, event: Frame) -> None:
        if self.close_sent:
            return
        if len(self.frames) < MOST_FRAGMENTS:
            super().handle_cont(event)
            return
        self._fail(CloseCode.MESSAGE_TOO_BIG, f"at most {MOST_FRAGMENTS} fragments a message")

    def handle_ping(self) -> None:
        if self.close_sent:
            return
        second = int(self.loop.time())
        self._pings = self._pings + 1 if second == self._ping_second else 1
        self._ping_second = second
        if self._pings > MOST_PINGS:
            self._fail(CloseCode.POLICY_VIOLATION, f"at most {MOST_PINGS} pings a second")
        else:
            super().handle_ping()

    def _let_go(self) -> None:
        self.held.bytes -= self._begun_bytes
        self._begun_bytes = 0

    def _fail(self, code: CloseCode, reason: str) -> None:
        self._let_go()
        self.conn.fail(code, reason)
        self.handle_parser_exception()


def _answer(status: bytes) -> bytes:
    return b"HTTP/1.1 " + status + b"\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
