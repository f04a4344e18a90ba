"""``/v1/realtime`` and ``/v1/live/sessions``: a session at the end of a websocket."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable

from fastapi import APIRouter
from starlette.websockets import WebSocket, WebSocketDisconnect

from muomni.live.silero import Silero
from muomni.serve.errors import ApiError
from muomni.serve.security import WEBSOCKET_KEY
from muomni.serve.state import ServerState

from . import live as live_api
from .host import ServedHost
from .judging import Judging, Stream
from .live import LiveSession
from .outbox import Outbox, SlowClientError
from .outgoing import error_fields
from .protocol import ClientError, new_id
from .session import Session

PROTOCOL = "realtime"
"""A browser cannot set headers, and gives its key as a second subprotocol beside this one."""
IDLE_SECONDS = 900
"""A session to which nothing is sent, and that answers nothing."""
NORMAL, GONE, POLICY, INTERNAL = 1000, 1001, 1008, 1011
MOST_REASON_BYTES = 123
"""Of why a websocket is closed, says its protocol."""
SHARE_S = 0.005
"""A client that sends without pause is followed for so long; then others have their turn."""

log = logging.getLogger("muomni.serve")
router = APIRouter()


@router.websocket("/v1/realtime")
async def realtime(socket: WebSocket, model: str | None = None) -> None:
    """OpenAI's Realtime API: speech and text both ways, as events."""
    state: ServerState = socket.app.state.server
    offered = socket.scope.get("subprotocols", [])
    await socket.accept(subprotocol=PROTOCOL if PROTOCOL in offered else None)
    try:
        state.check_model(model)
    except ApiError as error:
        await _refuse(socket, str(error), "model_not_found")
        return
    outbox, judge = Outbox(_counted(socket), state.settings.limits.slow_reader_s), Silero()
    session = Session(ServedHost(state), outbox.put, judge)
    session.open()
    await serve(socket, session, outbox, judge)


@router.websocket("/v1/live/sessions")
async def live(socket: WebSocket) -> None:
    """OpenAI's Live API: sound both ways, all the time."""
    state: ServerState = socket.app.state.server
    offered = socket.scope.get("subprotocols", [])
    await socket.accept(
        subprotocol=offered[0] if offered and not offered[0].startswith(WEBSOCKET_KEY) else None
    )
    outbox, judge = Outbox(_counted(socket), state.settings.limits.slow_reader_s), Silero()
    host = ServedHost(state, live_api.AHEAD_SECONDS)
    session = LiveSession(host, outbox.put, judge, state.check_model, outbox.end)
    await serve(socket, session, outbox, judge)


async def serve(socket: WebSocket, session: Session | LiveSession, outbox: Outbox, judge: Silero) -> None:
    """Run a session until its client leaves, or is left."""
    state: ServerState = socket.app.state.server
    failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    stream = Stream(session, judge, lambda error: None if failed.done() else failed.set_exception(error))
    state.judging.join(stream)
    path = socket.scope["route"].path
    connections = state.metrics.websockets.labels(path)
    connections.inc()
    count = state.metrics.frames.labels(path, "in").inc
    tasks: set[asyncio.Future[None]] = {
        failed,
        asyncio.create_task(outbox.run()),
        asyncio.create_task(_read(socket, session, stream, state.judging, count)),
    }
    code = GONE
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
        code = NORMAL  # it was told that it is over
    except (WebSocketDisconnect, ConnectionError):
        pass
    except SlowClientError:
        log.info("a realtime client took too little and was dropped")
        code = POLICY
    except TimeoutError:
        code = GONE
    except Exception:
        log.exception("a realtime session failed")
        code = INTERNAL
    finally:
        state.judging.leave(stream)
        connections.dec()
        session.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        with contextlib.suppress(Exception):  # it may be gone already
            await asyncio.wait_for(socket.close(code), 1)


async def _read(
    socket: WebSocket,
    session: Session | LiveSession,
    stream: Stream,
    judging: Judging,
    count: Callable[[], None],
) -> None:
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(IDLE_SECONDS) as idle:
        put_off_at, followed_s = loop.time(), 0.0
        while True:
            message = await socket.receive()
            if message["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(message.get("code", GONE))
            count()
            text = message.get("text")
            begun = time.perf_counter()
            session.receive(message.get("bytes", b"") if text is None else text)
            followed_s += time.perf_counter() - begun
            if followed_s > SHARE_S:
                followed_s = 0.0
                await asyncio.sleep(0)  # messages that have come already are received without waiting
            if session.waiting_s > 0:
                judging.look(stream)
                await stream.caught_up()
            if loop.time() - put_off_at > 1:  # a timer for each frame would cost more than some frames do
                put_off_at = loop.time()
                idle.reschedule(put_off_at + IDLE_SECONDS)


def _counted(socket: WebSocket) -> Callable[[str], Awaitable[None]]:
    """Sends a message, and counts it."""
    sent = socket.app.state.server.metrics.frames.labels(socket.scope["route"].path, "out")

    async def send(text: str) -> None:
        await socket.send_text(text)
        sent.inc()

    return send


async def _refuse(socket: WebSocket, message: str, code: str) -> None:
    error = error_fields(ClientError(message, code)) | {"event_id": None}
    with contextlib.suppress(WebSocketDisconnect, RuntimeError):
        await socket.send_json({"type": "error", "event_id": new_id("event"), "error": error})
        await socket.close(POLICY, message.encode()[:MOST_REASON_BYTES].decode(errors="ignore"))
