"""What a server is started with."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path

from muomni.errors import InputError


@dataclass(frozen=True)
class Limits:
    """What one client may take; beyond it a request is refused, and a connection closed.

    Attributes:
        body_bytes: of a request's body; a websocket's message as well.
        bodies_bytes: of the bodies of all requests that are being answered; of all websocket messages that have begun.
        head_bytes: of a request before its body.
        recordings_bytes: of all decoded recordings that are being written down; an hour takes 230 MB.
        media: images, recordings and films of one request, earlier turns included.
        video_frames: that one film may be looked at.
        tokens: of one reply.
        choices: replies of one request (``n``).
        messages: of one request.
        speech_characters: of a text that is spoken as it is.
        connections: at a time, websockets included.
        idle_s: a connection on which no request begins, or goes on, is closed. A head must be whole in this time, and a
            body, or 64 KiB more of it.
        slow_reader_s: a reader that takes nothing for so long, while something waits for it, is dropped.
        buffered_speech_s: speech made ahead of what was sent; then the Talker waits.
        grace_s: running replies may go on for so long when the server is stopped.
    """

    body_bytes: int = 64 << 20
    bodies_bytes: int = 512 << 20
    head_bytes: int = 64 << 10
    recordings_bytes: int = 1 << 30
    media: int = 16
    video_frames: int = 16
    tokens: int = 4096
    choices: int = 8
    messages: int = 512
    speech_characters: int = 4096
    connections: int = 1024
    idle_s: float = 30.0
    slow_reader_s: float = 20.0
    buffered_speech_s: float = 10.0
    grace_s: float = 10.0


@dataclass(frozen=True)
class Settings:
    """What a server is started with.

    Attributes:
        model: folder of the bundle; None takes the demo.
        device, threads: as of :meth:`muomni.Omni.load`.
        port: 0 takes a free one.
        api_keys: any of them opens ``/v1`` and ``/metrics``; none opens them to all.
        cors: origins (``https://example.org``, or ``*``) whose pages may use the server.
        slots: requests that decode together.
        queue: requests that may wait for a slot.
        allow_fetch: fetch pictures and films from http addresses that a request names; never private ones.
        tls_cert, tls_key: PEM files.

    Raises:
        InputError: a value out of range.

    Example:
        >>> Settings(port=8000).is_loopback
        True
    """

    model: Path | None = None
    host: str = "127.0.0.1"
    port: int = 8000
    api_keys: tuple[str, ...] = field(default=(), repr=False)
    cors: tuple[str, ...] = ()
    slots: int = 16
    queue: int = 64
    device: str = "auto"
    threads: int | None = None
    allow_fetch: bool = False
    tls_cert: Path | None = None
    tls_key: Path | None = None
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise InputError(f"port: expected 0 to 65535, got {self.port}")
        if self.slots < 1 or self.queue < 0:
            raise InputError(
                f"expected slots of at least 1 and a queue of at least 0, got {self.slots}, {self.queue}"
            )
        if any(not key.strip() for key in self.api_keys):
            raise InputError(
                "api key: expected some characters, got none; leave it out to serve without a key"
            )
        if any(not key.isascii() for key in self.api_keys):
            raise InputError("api key: expected ASCII characters, which is what an HTTP header carries")
        if (self.tls_cert is None) != (self.tls_key is None):
            raise InputError(
                "TLS: expected a certificate and its key (--tls-cert and --tls-key), got one of them"
            )

    @property
    def is_loopback(self) -> bool:
        """Only this machine can reach the server."""
        return is_loopback(self.host)

    @property
    def scheme(self) -> str:
        return "http" if self.tls_cert is None else "https"


def is_loopback(host: str) -> bool:
    """Whether an address or name is this machine's own and nobody else's.

    Example:
        >>> is_loopback("localhost"), is_loopback("::1"), is_loopback("0.0.0.0")
        (True, True, False)
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
