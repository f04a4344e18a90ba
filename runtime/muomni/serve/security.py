"""Who may use the server, and how much may be sent: middleware below all handlers, of HTTP and websockets."""

from __future__ import annotations

import hmac
import ipaddress
import logging
import time
import uuid
from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .errors import ApiError, api_error
from .json_size import MOST_PARTS, parts_of
from .settings import Settings

GUARDED = ("/v1", "/metrics")
"""What needs a key, where there is one."""
WEBSOCKET_KEY = "openai-insecure-api-key."
"""A browser cannot set headers of a websocket; it offers its key as a subprotocol that begins so."""
log = logging.getLogger("muomni.serve")


def key_fits(given: str, keys: Sequence[str]) -> bool:
    """Whether it is one of the keys; the time that it takes says nothing about them.

    Example:
        >>> key_fits("secret", ["other", "secret"])
        True
    """
    fits = False
    for key in keys:
        fits |= hmac.compare_digest(given.encode(), key.encode())
    return fits


def key_of(headers: Headers) -> str:
    """The key that a client gives; empty where it gives none."""
    scheme, _, key = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return key.strip()
    for protocol in headers.get("sec-websocket-protocol", "").split(","):
        if protocol.strip().startswith(WEBSOCKET_KEY):
            return protocol.strip().removeprefix(WEBSOCKET_KEY)
    return ""


class Guard:
    """Refuses requests without a key, from pages of other origins, and with a body that is too long."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app, self._settings = app, settings
        self._held = 0  # bytes of bodies whose requests are not answered yet
        # A name that leads to this machine may belong to a stranger's page ("DNS rebinding"). Where no key is asked
        # for and only this machine can connect, names must be its own.
        self._checks_host = settings.is_loopback and not settings.api_keys
        self._known_hosts = {
            "localhost",
            *(urlsplit(origin).hostname or "" for origin in settings.cors),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refusal = self._refusal(scope, headers)
        if refusal is None:
            await (self._with_limits if scope["type"] == "http" else self._app)(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()  # websocket.connect
            await send({"type": "websocket.close", "code": 1008, "reason": str(refusal)[:120]})
        else:
            await refusal.response()(scope, receive, send)

    def _refusal(self, scope: Scope, headers: Headers) -> ApiError | None:
        settings = self._settings
        # A proxy may serve it below a prefix; which the router takes off, is judged with and without.
        path, prefix = scope["path"], scope.get("root_path", "")
        guarded = path.startswith(GUARDED) or path.removeprefix(prefix).startswith(GUARDED)
        host = headers.get("host", "")
        if self._checks_host and not self._is_own(host):
            return ApiError(
                f"the host {host[:100]!r} is not known; use localhost or an address, or start the server with "
                "--cors and this origin, or with --api-key",
                403,
                code="unknown_host",
            )
        origin = headers.get("origin")
        asks = scope["type"] == "websocket" or scope["method"] not in ("GET", "HEAD", "OPTIONS")
        if origin is not None and asks and not self._origin_fits(origin, host):
            return ApiError(
                f"pages of {origin[:100]!r} may not use this server; allow them with --cors",
                403,
                code="unknown_origin",
            )
        if guarded and settings.api_keys and not key_fits(key_of(headers), settings.api_keys):
            return ApiError(
                "expected a key of this server (Authorization: Bearer …), got none or another",
                401,
                code="invalid_api_key",
                headers={"www-authenticate": "Bearer"},
            )
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > settings.limits.body_bytes:
            return self._too_long()
        return None

    def _is_own(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
            return name in self._known_hosts or bool(ipaddress.ip_address(name))
        except ValueError:
            return False

    def _origin_fits(self, origin: str, host: str) -> bool:
        if "*" in self._settings.cors or origin in self._settings.cors:
            return True
        try:
            return urlsplit(origin).netloc.lower() == host.lower() != ""
        except ValueError:  # "http://[": no browser sends it
            return False

    def _too_long(self) -> ApiError:
        limit = self._settings.limits.body_bytes
        return ApiError(f"the body is too long: at most {limit} bytes are taken", 413, code="body_too_long")

    async def _with_limits(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer it, as long as its body is not too much."""
        limits = self._settings.limits
        is_form = Headers(scope=scope).get("content-type", "").startswith("multipart/")
        taken = parts = 0

        async def limited() -> Message:
            nonlocal taken, parts
            message = await receive()
            body = message.get("body", b"")
            taken += len(body)
            self._held += len(body)
            parts += 0 if is_form else parts_of(body)
            # Errors are of this kind: FastAPI hides others.
            if taken > limits.body_bytes:
                raise HTTPException(413, str(self._too_long()))
            if parts > MOST_PARTS:
                raise HTTPException(
                    413, f"the body is too long: at most {MOST_PARTS} values of JSON are taken"
                )
            if self._held > limits.bodies_bytes:
                raise HTTPException(429, "too much is sent to this server at once; try again later")
            return message

        try:
            await self._app(scope, limited, send)
        finally:
            self._held -= taken


class RequestIds:
    """Gives every answer ``x-request-id`` and its time, and turns what nobody caught into an error of the API."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = time.perf_counter()
        given = Headers(scope=scope).get("x-request-id", "")
        name = (
            given
            if given.isascii() and given.isprintable() and 0 < len(given) <= 200
            else f"req_{uuid.uuid4().hex}"
        )
        status = 0

        async def named(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["x-request-id"] = name
                headers["openai-processing-ms"] = str(round(1000 * (time.perf_counter() - begun)))
                headers["x-content-type-options"] = "nosniff"
                headers["x-frame-options"] = "SAMEORIGIN"  # a stranger's page cannot have ours clicked on
            await send(message)

        try:
            await self._app(scope, receive, named)
        except Exception as error:
            log.exception("request %s failed", name)
            if not status:
                await api_error(error).response()(scope, receive, named)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            if "app" in scope and (state := getattr(scope["app"].state, "server", None)) is not None:
                state.metrics.http.labels(scope["method"][:10], route, str(status)).inc()
