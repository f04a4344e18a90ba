"""What is measured of one server: a turn, a cancellation, a start. Each gives JSON."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .chat import Asking, ChatConnection
from .server import Running, serving
from .statistics import spread
from .websocket import EventSocket, event_frame

LONG_TEXT = "Seven green cups stand on the table. " * 60
LONG_ANSWER = "What are the months?"
METRICS = ("muomni:num_requests_running", "muomni:num_requests_waiting")
IDLE_WITHIN_S = 10.0


async def first_tokens(asking: Asking, count: int) -> dict[str, Any]:
    """Text chats, one after the other: from the request to its first token, after one that does not count."""
    connection = await ChatConnection.open(asking.url)
    for _ in range(count + 1):
        await connection.ask(asking.request())
    connection.transport.close()
    answers = connection.answers[1:]
    return {
        "first_token_ms": spread([a.first_at - a.asked_at for a in answers if a.first_at is not None]),
        "failures": sorted({a.failure for a in answers if a.failure is not None}),
    }


class Slots:
    """Asks a server again and again how many requests it has."""

    def __init__(self, url: str) -> None:
        self._host = urlsplit(url).netloc

    async def __aenter__(self) -> Slots:
        host, _, port = self._host.rpartition(":")
        self._reader, self._writer = await asyncio.open_connection(host, int(port))
        return self

    async def __aexit__(self, *error: object) -> None:
        self._writer.close()

    async def busy(self) -> int:
        """Requests that run or wait."""
        self._writer.write(f"GET /metrics HTTP/1.1\r\nHost: {self._host}\r\n\r\n".encode())
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode().lower()
        body = await self._reader.readexactly(int(head.partition("content-length:")[2].split()[0]))
        lines = [line.split() for line in body.decode().splitlines()]
        return sum(int(float(line[1])) for line in lines if line[0] in METRICS)

    async def until(self, wanted: Callable[[int], bool]) -> float:
        """The time at which the answer came that says so.

        Raises:
            TimeoutError: it is not so for long.
        """
        async with asyncio.timeout(IDLE_WITHIN_S):
            while not wanted(await self.busy()):
                pass
        return asyncio.get_running_loop().time()


async def cancellations(server: Running, count: int) -> dict[str, Any]:
    """From a client's leaving, or its ``response.cancel``, until no slot is taken; looking takes 1 to 3 ms of it."""
    loop = asyncio.get_running_loop()

    async def speech_left(slots: Slots) -> float:
        body = json.dumps(
            {"model": "muomni", "voice": "a", "input": LONG_TEXT, "response_format": "pcm"}
        ).encode()
        place = urlsplit(server.url)
        assert place.hostname is not None and place.port is not None
        reader, writer = await asyncio.open_connection(place.hostname, place.port)
        head = f"POST /v1/audio/speech HTTP/1.1\r\nHost: {place.netloc}\r\nContent-Type: application/json\r\n"
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        await reader.read(100)
        begun = loop.time()
        writer.transport.abort()
        return begun

    async def realtime(slots: Slots, leave: bool) -> float:
        speaking: asyncio.Future[None] = loop.create_future()

        def see(event: dict[str, Any]) -> None:
            if event["type"] in ("response.output_audio.delta", "response.done") and not speaking.done():
                speaking.set_result(None)

        socket = await EventSocket.connect(server.url, see, lambda why: None)
        part = {"type": "input_text", "text": LONG_ANSWER}
        item = {"type": "message", "role": "user", "content": [part]}
        socket.transport.write(event_frame({"type": "conversation.item.create", "item": item}))
        socket.transport.write(event_frame({"type": "response.create"}))
        async with asyncio.timeout(IDLE_WITHIN_S):
            await speaking
        begun = loop.time()
        if leave:
            socket.transport.abort()
        else:
            socket.transport.write(event_frame({"type": "response.cancel"}))
            loop.call_later(1.0, socket.close)
        return begun

    ways: dict[str, Callable[[Slots], Awaitable[float]]] = {
        "speech_client_left": speech_left,
        "realtime_cancelled": lambda slots: realtime(slots, leave=False),
        "realtime_client_left": lambda slots: realtime(slots, leave=True),
    }
    found: dict[str, list[float]] = {name: [] for name in ways}
    async with Slots(server.url) as slots:
        for index in range(count + 1):  # the first one warms up
            for name, begin in ways.items():
                begun = await begin(slots)
                idle = await slots.until(lambda busy: busy == 0)
                if index:
                    found[name].append(idle - begun)
                await asyncio.sleep(0.05)
    return {name: spread(seconds) for name, seconds in found.items()}


PARTS = """
import json, time
begun = time.perf_counter()
from muomni.cli.serve import main
from muomni.serve.server import Server
imported = time.perf_counter()
from muomni.serve.settings import Settings
from muomni.serve.state import ServerState
ServerState(Settings(model=MODEL)).close()
print(json.dumps([imported - begun, time.perf_counter() - imported]))
"""


def starts(model: Path | None, rounds: int) -> dict[str, Any]:
    """From the start of the process until ``/ready`` answers; and what imports and the model take of it alone."""
    ready, imports, load = [], [], []
    for index in range(rounds + 1):
        with serving(model) as server:
            assert server.start_s is not None
            started = server.start_s
        where = "None" if model is None else f"__import__('pathlib').Path({str(model)!r})"
        code = PARTS.replace("MODEL", where)
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        seconds = json.loads(done.stdout)
        if index:  # the first one reads from the disk
            ready.append(started)
            imports.append(seconds[0])
            load.append(seconds[1])
    return {"ready_ms": spread(ready), "imports_ms": spread(imports), "model_ms": spread(load)}
