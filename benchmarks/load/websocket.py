"""A websocket client that costs little: frames are encoded once and written as they are.

The machine of a benchmark is shared with the server, and a client library that masks and compresses 3,200 frames a
second would be measured instead of it.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

CONTINUATION, TEXT, CLOSE, PING, PONG = 0, 1, 8, 9, 10
LAST = 0x80
Handler = Callable[[dict[str, Any]], None]


def frame(data: bytes, opcode: int = TEXT) -> bytes:
    """A whole frame as a client sends it: masked, with a mask of zeros, which changes nothing."""
    size = len(data)
    if size < 126:
        head = bytes([LAST | opcode, 0x80 | size])
    elif size < 1 << 16:
        head = bytes([LAST | opcode, 0x80 | 126]) + size.to_bytes(2, "big")
    else:
        head = bytes([LAST | opcode, 0x80 | 127]) + size.to_bytes(8, "big")
    return head + b"\0\0\0\0" + data


def event_frame(event: dict[str, Any]) -> bytes:
    """A client event."""
    return frame(json.dumps(event, separators=(",", ":")).encode())


class Frames:
    """Bytes that come from a server -> frames.

    Example:
        >>> frames = Frames()
        >>> frames.feed(bytes([0x81, 2]) + b"{}")
        [(1, b'{}')]
    """

    def __init__(self) -> None:
        self._data = bytearray()
        self._parts: list[bytes] = []
        self._kind = TEXT

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """The frames that are whole by now: opcode and payload; fragments are joined."""
        self._data += data
        found = []
        while (one := self._next()) is not None:
            opcode, last, payload = one
            if opcode >= CLOSE:
                found.append((opcode, payload))
                continue
            if opcode != CONTINUATION:
                self._kind, self._parts = opcode, []
            self._parts.append(payload)
            if last:
                found.append((self._kind, b"".join(self._parts)))
        return found

    def _next(self) -> tuple[int, bool, bytes] | None:
        data = self._data
        if len(data) < 2:
            return None
        size, begin = data[1] & 0x7F, 2
        if size >= 126:
            begin = 4 if size == 126 else 10
            if len(data) < begin:
                return None
            size = int.from_bytes(data[2:begin], "big")
        if len(data) < begin + size:
            return None
        opcode, last = data[0] & 0x0F, bool(data[0] & LAST)
        payload = bytes(data[begin : begin + size])
        del data[: begin + size]
        return opcode, last, payload


class EventSocket(asyncio.Protocol):
    """A connection to ``/v1/realtime``.

    Args:
        on_event: takes each server event.
        on_close: told when the connection is gone, and why.
    """

    def __init__(self, on_event: Handler, on_close: Callable[[str], None], host: str) -> None:
        self._on_event, self._on_close, self._host = on_event, on_close, host
        self._frames = Frames()
        self._head: bytes | None = b""  # of the answer; None once it is over
        self._closing = False
        self.transport: asyncio.Transport
        self.opened = asyncio.get_running_loop().create_future()
        self.bytes_received = self.messages_received = 0

    @classmethod
    async def connect(
        cls, url: str, on_event: Handler, on_close: Callable[[str], None], path: str = "/v1/realtime"
    ) -> EventSocket:
        """Open one.

        Args:
            url: of the server, ``http://host:port``.

        Raises:
            ConnectionError: the server refuses it.
        """
        place = urlsplit(url)
        assert place.hostname is not None and place.port is not None
        loop = asyncio.get_running_loop()
        _, made = await loop.create_connection(
            lambda: cls(on_event, on_close, place.netloc), place.hostname, place.port
        )
        made.ask(path)
        await made.opened
        return made

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def ask(self, path: str) -> None:
        """Send the request; a browser offers compression as well."""
        key = base64.b64encode(os.urandom(16)).decode()
        lines = [
            f"GET {path} HTTP/1.1",
            f"Host: {self._host}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {key}",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Protocol: realtime",
        ]
        self.transport.write(("\r\n".join(lines) + "\r\n\r\n").encode())

    def data_received(self, data: bytes) -> None:
        self.bytes_received += len(data)
        if self._head is not None:
            self._head += data
            head, found, data = self._head.partition(b"\r\n\r\n")
            if not found:
                return
            status = head.split(b"\r\n", 1)[0].decode()
            self._head = None
            if " 101 " not in status:
                self.opened.set_exception(ConnectionError(f"the server refuses a websocket: {status}"))
                self.transport.close()
                return
            self.opened.set_result(None)
        for opcode, payload in self._frames.feed(data):
            if opcode == TEXT:
                self.messages_received += 1
                self._on_event(json.loads(payload))
            elif opcode == PING:
                self.transport.write(frame(payload, PONG))
            elif opcode == CLOSE:
                self._gone(f"closed by the server ({int.from_bytes(payload[:2], 'big')})")

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.opened.done():
            self.opened.set_exception(ConnectionError(f"the connection was lost ({exc})"))
        self._gone("the connection was lost")

    def close(self) -> None:
        """Leave."""
        self._closing = True
        self.transport.close()

    def _gone(self, why: str) -> None:
        if not self._closing:
            self._closing = True
            self._on_close(why)
            self.transport.close()
