"""Streamed chats over ``/v1/chat/completions``: connections that ask again as soon as an answer is whole."""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from .machine import Cores
from .statistics import spread

CONTENT = re.compile(rb'"content": ?"[^"]')
COMPLETION_TOKENS = re.compile(rb'"completion_tokens": ?(\d+)')
DONE = b"data: [DONE]"
KEPT_BYTES = 2048
"""Of a stream's end, where the usage is."""
LINES_WITHOUT_TOKENS = 3
"""Role, end and ``[DONE]``, where a server gives no usage but a line for each token."""
LOST = "the connection was lost"
ANSWER_WITHIN_S = 20.0


def chat_request(url: str, model: str, text: str, tokens: int, **options: Any) -> bytes:
    """A whole HTTP request for a streamed answer."""
    body = {
        "model": model,
        "messages": [{"role": "user", "content": text}],
        "max_tokens": tokens,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
        **options,
    }
    data = json.dumps(body).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: {urlsplit(url).netloc}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(data)}\r\n\r\n"
    )
    return head.encode() + data


@dataclass
class Answer:
    """One streamed answer; times are of the event loop's clock (s)."""

    asked_at: float
    first_at: float | None = None
    done_at: float | None = None
    tokens: int = 0
    failure: str | None = None


class ChatConnection(asyncio.Protocol):
    """A connection that is asked one thing after the other; nothing but the ends of the streams is parsed."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.transport: asyncio.Transport
        self.closed = False
        self._tail, self._lines, self.heard = b"", 0, False
        self._whole: asyncio.Future[Answer] | None = None
        self._loop = asyncio.get_running_loop()

    @classmethod
    async def open(cls, url: str) -> ChatConnection:
        """Raises OSError."""
        place = urlsplit(url)
        assert place.hostname is not None and place.port is not None
        _, made = await asyncio.get_running_loop().create_connection(cls, place.hostname, place.port)
        return made

    def ask(self, request: bytes) -> asyncio.Future[Answer]:
        """Send a request; the answer, once it is whole. What went wrong is in it."""
        self._tail, self._lines, self.heard = b"", 0, False
        self._whole = self._loop.create_future()
        self.answers.append(Answer(self._loop.time()))
        self.transport.write(request)
        return self._whole

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if self._whole is None:
            return
        answer = self.answers[-1]
        self.heard = True
        self._lines += data.count(b"data: ")
        self._tail = (self._tail + data)[-max(KEPT_BYTES, len(data)) :]
        if answer.first_at is None:
            if not self._tail.startswith(b"HTTP/1.1 200") and b"HTTP/1.1 " in self._tail[:9]:
                self._end(self._tail.split(b"\r\n", 1)[0].decode())
            elif CONTENT.search(self._tail):
                answer.first_at = self._loop.time()
        if DONE in self._tail[-200:]:
            answer.done_at = self._loop.time()
            counts = COMPLETION_TOKENS.findall(self._tail)
            answer.tokens = int(counts[-1]) if counts else self._lines - LINES_WITHOUT_TOKENS
            self._end(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self._end(LOST)

    def _end(self, failure: str | None) -> None:
        whole, self._whole = self._whole, None
        if whole is not None and not whole.done():
            self.answers[-1].failure = failure
            whole.set_result(self.answers[-1])


@dataclass
class Asking:
    """How the connections ask: every question begins in its own way, so that no cache of prompts knows it."""

    url: str
    model: str
    tokens: int
    text: str = "Tell me something about the sea, the ships on it, and the people who sail them."
    draw: random.Random = field(default_factory=lambda: random.Random(0))

    def request(self) -> bytes:
        begin = " ".join(str(self.draw.randrange(10, 100)) for _ in range(4))
        return chat_request(self.url, self.model, f"{begin} {self.text}", self.tokens)


async def throughput(asking: Asking, connections: int, seconds: float, pid: int | None) -> dict[str, Any]:
    """Ask over so many connections for some time; tokens of answers that began and ended in it count.

    Answers that are under way at the end are waited for, and count with the share that lies within the time.
    """
    loop = asyncio.get_running_loop()
    opened = [await ChatConnection.open(asking.url) for _ in range(connections)]
    begun = loop.time()
    until = begun + seconds
    client, server = Cores(os.getpid()), None if pid is None else Cores(pid)
    cores: dict[str, float | None] = {}

    async def talk(connection: ChatConnection) -> None:
        while loop.time() < until:
            if connection.closed:  # some servers close it after each answer
                connection = await ChatConnection.open(asking.url)
                opened.append(connection)
            try:
                answer = await asyncio.wait_for(connection.ask(asking.request()), ANSWER_WITHIN_S)
            except TimeoutError:
                connection.answers[-1].failure = "no whole answer in time"
                return
            if answer.failure == LOST and not connection.heard:
                connection.answers.pop()  # closed after the answer before; the question was not taken
            elif answer.failure is not None:
                return

    def note() -> None:
        cores.update(client=client.so_far(), server=None if server is None else server.so_far())

    noting = loop.call_at(until, note)
    await asyncio.gather(*(talk(connection) for connection in opened))
    noting.cancel()
    if not cores:
        note()
    for connection in opened:
        connection.transport.close()
    answers = [answer for connection in opened for answer in connection.answers]
    tokens = sum(_within(answer, until) for answer in answers)
    return {
        "connections": connections,
        "tokens_per_s": round(tokens / seconds, 1),
        "answers": sum(answer.done_at is not None for answer in answers),
        "first_token_ms": spread([a.first_at - a.asked_at for a in answers if a.first_at is not None]),
        "failures": sorted({answer.failure for answer in answers if answer.failure is not None}),
        "server_cores": cores["server"],
        "client_cores": cores["client"],
    }


def _within(answer: Answer, until: float) -> float:
    """Tokens of an answer that came by then, where they come evenly."""
    if answer.done_at is None or answer.failure is not None:
        return 0.0
    if answer.done_at <= until:
        return answer.tokens
    return answer.tokens * max(0.0, until - answer.asked_at) / (answer.done_at - answer.asked_at)
