"""What is still to be sent to a client: in order, by one task, and not without end."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

MOST_WAITING_BYTES = 8 << 20


class SlowClientError(Exception):
    """It takes less than it is sent."""


class Outbox:
    """Events on their way out.

    Args:
        write: sends one message.
        patience_s: a client that takes none of what waits for so long is given up.

    Example:
        >>> outbox = Outbox(websocket.send_text, 20)
        >>> task = asyncio.create_task(outbox.run())
        >>> outbox.put({"type": "session.created"})
    """

    def __init__(self, write: Callable[[str], Awaitable[None]], patience_s: float) -> None:
        self._write, self._patience_s = write, patience_s
        self._waiting: deque[str] = deque()
        self._bytes = 0
        self._changed = asyncio.Event()
        self._ended = False

    def put(self, event: dict[str, Any]) -> None:
        """Send it after those before."""
        text = json.dumps(event, separators=(",", ":"), ensure_ascii=False)
        self._waiting.append(text)
        self._bytes += len(text)
        self._changed.set()

    def end(self) -> None:
        """Nothing more comes; :meth:`run` returns when all has been sent."""
        self._ended = True
        self._changed.set()

    async def run(self) -> None:
        """Send what comes.

        Raises:
            SlowClientError: the client takes too little.
        """
        while True:
            while self._waiting:
                if self._bytes > MOST_WAITING_BYTES:
                    raise SlowClientError
                text = self._waiting.popleft()
                self._bytes -= len(text)
                try:
                    async with asyncio.timeout(self._patience_s):
                        await self._write(text)
                except TimeoutError:
                    raise SlowClientError from None
            if self._ended:
                return
            self._changed.clear()
            await self._changed.wait()
