"""From the engine's thread into the event loop, with few wake-ups for many events."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable

from muomni.events import Event

log = logging.getLogger("muomni.serve")
Deliver = Callable[[Event], None]
PAUSE_S = 0.016
"""Between two deliveries of what can wait: a picture of a screen. Each wakes the loop, which then writes to every
socket; for 32 streams whose tokens come every few milliseconds that was a sixth of the server's time."""


class Mailbox:
    """Events on their way into a loop, in their order.

    What can wait comes with the next event that cannot, or :data:`PAUSE_S` after the delivery before, whichever is
    first; after a longer silence at once.

    Example:
        >>> mailbox = Mailbox(asyncio.get_running_loop())
        >>> mailbox.post(print, event)  # in any thread; printed in the loop, in this order
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._letters: deque[tuple[Deliver, Event]] = deque()
        self._called = self._pausing = False

    def post(self, deliver: Deliver, event: Event, can_wait: bool = False) -> None:
        """Have an event delivered.

        Raises:
            RuntimeError: the loop is closed.
        """
        self._letters.append((deliver, event))
        if not self._called and not (can_wait and self._pausing):
            self._called = True  # before the call: the loop may be there at once
            self.loop.call_soon_threadsafe(self._empty)

    def _empty(self) -> None:
        self._called = False  # first: what is posted from now on calls again
        while self._letters:
            deliver, event = self._letters.popleft()
            try:
                deliver(event)
            except Exception:
                log.exception("an event could not be delivered")
        if not self._pausing:
            self._pausing = True
            self.loop.call_later(PAUSE_S, self._end_pause)

    def _end_pause(self) -> None:
        self._pausing = False  # first: what is posted from now on calls by itself
        if self._letters:
            self._empty()
