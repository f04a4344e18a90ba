"""What Ray's proxies say themselves, in the shape of OpenAI's errors.

A proxy answers for a replica that is gone, or that takes no more. By itself it says so in plain text, ends a stream
without a word, and drops the connection of a websocket. Ray Serve calls :func:`middlewares` where the environment
variable ``RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH`` names it, on each node.
"""

from __future__ import annotations

import json
import math
import uuid

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from muomni.serve.errors import RETRY_AFTER_MS, ApiError

LOST = "replica_lost"
RESTART = 1012
"""Of a websocket that is closed: the service restarts, connect again."""
OWN_PATHS = "/-/"
"""Of the proxy itself: its health, its routes."""


def middlewares() -> list[Middleware]:
    """What Ray Serve puts before its proxies' application."""
    return [Middleware(TellsErrors)]


class TellsErrors:
    """Turns the errors of a proxy into those of the API; what comes from a replica passes as it is."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not scope["path"].startswith(OWN_PATHS):
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        start: Message | None = None
        told = False  # in the proxy's own words
        ended = False  # the last of the body was sent
        events = False  # server-sent ones

        async def watched(message: Message) -> None:
            nonlocal start, told, ended, events
            if message["type"] == "http.response.start":
                start = message
                headers = MutableHeaders(scope=message)
                if name := headers.get("x-request-id"):
                    headers["x-request-id"] = name  # once: the replica and Ray both give it
                kind = headers.get("content-type", "")
                told = message["status"] >= 400 and kind.startswith("text/plain")
                events = kind.startswith("text/event-stream")
                if told:
                    return
            elif message["type"] == "http.response.body":
                ended = not message.get("more_body", False)
                if told and start is not None:
                    refusal = _refusal(start, message.get("body", b""))
                    await refusal.response()(scope, receive, _named(scope, send))
                    return
            await send(message)

        await self._app(scope, receive, watched)
        if start is None:  # nothing was sent: it can be sent again to another replica
            await _lost().response()(scope, receive, _named(scope, send))
        elif events and not ended:
            data = b"data: " + json.dumps(_lost().body).encode() + b"\n\n"
            await send({"type": "http.response.body", "body": data, "more_body": False})
        # A file that is cut must not look whole: the server closes the connection before its end.

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        accepted = closed = False

        async def watched(message: Message) -> None:
            nonlocal accepted, closed
            accepted |= message["type"] == "websocket.accept"
            closed |= message["type"] in ("websocket.close", "websocket.http.response.start")
            await send(message)

        async def heard() -> Message:
            nonlocal closed
            message = await receive()
            closed |= message["type"] == "websocket.disconnect"
            return message

        await self._app(scope, heard, watched)
        if closed:
            return
        error = {**_lost("conversation").body["error"], "event_id": None, "client_event_id": None}
        if accepted:
            event = {"type": "error", "event_id": f"event_{uuid.uuid4().hex}", "error": error}
            await send({"type": "websocket.send", "text": json.dumps(event)})
        await send({"type": "websocket.close", "code": RESTART, "reason": str(error["message"])[:120]})


def _named(scope: Scope, send: Send) -> Send:
    """The same, with the id that Ray has given the request."""
    name = Headers(scope=scope).get("x-request-id")

    async def named(message: Message) -> None:
        if name and message["type"] == "http.response.start":
            MutableHeaders(scope=message)["x-request-id"] = name
        await send(message)

    return named


def _lost(what: str = "request") -> ApiError:
    again = "connect again" if what == "conversation" else "send it again"
    return ApiError(
        f"the replica that had this {what} is gone: it failed, or was replaced; {again}",
        503,
        code=LOST,
        headers={"retry-after-ms": str(RETRY_AFTER_MS // 10)},
    )


def _refusal(start: Message, body: bytes) -> ApiError:
    """What the proxy said in plain text."""
    status = start["status"]
    headers = {}
    if seconds := Headers(raw=start["headers"]).get("retry-after"):
        headers = {"retry-after": seconds, "retry-after-ms": str(math.ceil(1000 * float(seconds)))}
    if status == 429:
        return ApiError(
            "all replicas have as many requests as they take, and as many wait as may; try again later",
            429,
            code="queue_full",
            headers=headers,
        )
    code = {404: "not_found", 408: "timeout", 503: "not_ready"}.get(status, "internal_error")
    message = "the server failed to answer" if status == 500 else body.decode(errors="replace")[:1000]
    return ApiError(message, status, code=code, headers=headers)
