"""What all connections share: one Omni, one engine thread; and the way of an answer's events to a handler."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque
from types import TracebackType

from muomni.engine.engine import Engine
from muomni.engine.thread import EngineThread, QueueFullError
from muomni.engine.turn import LoneTurn, SaidTurn, Turn
from muomni.errors import UsageError
from muomni.events import Event, Failed, Finished, SpeechDelta, TextDelta
from muomni.omni import Omni
from muomni.replies import Reply
from muomni.requests import Request, SpeechOptions

from .errors import ApiError
from .mailbox import Mailbox
from .metrics import AnswerMeter, Metrics
from .openai.recording import Recordings
from .realtime.judging import Judging
from .settings import Settings

REMEMBERED_REPLIES = 1024
"""Spoken replies whose text is kept for a client that names them by ``audio.id`` in its next request."""
REMEMBERED_S = 3600


class ServerState:
    """One Omni and its engine, for the handlers of HTTP and of websockets.

    Example:
        >>> state = ServerState(Settings())
        >>> async with state.answer(state.turn(Request("Hello!"))) as answer:
        ...     async for event in answer:
        ...         print(event)
        >>> state.close()
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.omni = Omni.load(settings.model, settings.device, settings.threads)
        self.engine = EngineThread(_warm_engine(self.omni, settings.slots), settings.queue)
        self.metrics = Metrics(self.engine)
        self.judging = Judging()
        self.recordings = Recordings(settings.limits.recordings_bytes)
        self.created = int(time.time())
        self.stopping = False
        self._mailbox: Mailbox | None = None
        self._said: OrderedDict[str, tuple[float, str]] = OrderedDict()

    @property
    def model_id(self) -> str:
        """The bundle's name, as ``/v1/models`` has it."""
        return self.engine.models.bundle.folder.resolve().name

    @property
    def bundle_folder(self) -> str:
        return str(self.engine.models.bundle.folder)

    @property
    def ready(self) -> bool:
        """Requests are answered."""
        return self.engine.alive and not self.stopping

    def check_model(self, name: str | None) -> None:
        """Raises ApiError (404) for another model than the one that is served; None is that one."""
        if name is not None and name not in (self.model_id, "muomni"):
            raise ApiError(
                f"the model {name[:100]!r} is not served here; expected {self.model_id!r} or 'muomni'",
                404,
                "model",
                "model_not_found",
            )

    def turn(self, request: Request) -> Turn:
        """A turn of a request of which nothing is remembered."""
        return LoneTurn(self.engine.models, request)

    def said_turn(self, text: str, options: SpeechOptions) -> Turn:
        """A turn in which a text is spoken as it is."""
        return SaidTurn(self.engine.models, text, options)

    def answer(self, turn: Turn) -> Answer:
        """Begin to answer; the events come from the answer, and leaving it cancels what is left.

        Raises:
            QueueFullError: as many wait as may.
            UsageError: the server is being stopped.
        """
        if self.stopping:
            turn.release()
            raise UsageError("the server is being stopped and takes no more requests")
        try:
            return Answer(self, turn)
        except QueueFullError:
            self.metrics.refused.inc()
            raise

    def mailbox(self, loop: asyncio.AbstractEventLoop) -> Mailbox:
        """Of the loop in which the handlers run."""
        if self._mailbox is None or self._mailbox.loop is not loop:
            self._mailbox = Mailbox(loop)
        return self._mailbox

    def remember_said(self, audio_id: str, text: str) -> int:
        """Keep a spoken reply's text; the time (Unix, s) at which it is forgotten."""
        expires = time.time() + REMEMBERED_S
        self._said[audio_id] = (expires, text)
        while len(self._said) > REMEMBERED_REPLIES:
            self._said.popitem(last=False)
        return int(expires)

    def said(self, audio_id: str) -> str | None:
        """The text of a spoken reply; None where it is not known, or no more."""
        expires, text = self._said.get(audio_id, (0.0, ""))
        return text if time.time() < expires else None

    def close(self, grace_s: float = 0.0) -> None:
        """Take no more requests, give those that run some time, and end the rest with a Failed event."""
        self.stopping = True
        self.engine.close(grace_s)
        self.recordings.close()
        self.omni.close()


def _warm_engine(omni: Omni, slots: int) -> Engine:
    """An engine that has answered once: its first client waits for no loading."""
    omni.warm_up()
    engine = omni.engine(slots, real_time=True)
    engine.add(Request("a", max_new_tokens=2))
    while not engine.idle:
        engine.step()
    return engine


class Answer:
    """The events of one turn, in the event loop; an asynchronous iterator that ends with Finished or Failed.

    The engine's thread never waits for it: speech is held back at the source while much of it waits here, and a
    reader that takes nothing for long loses the turn.

    Attributes:
        ticket: of the engine's thread.
        seconds_waiting: of speech that was made and not taken.
    """

    def __init__(self, state: ServerState, turn: Turn) -> None:
        self._loop = asyncio.get_running_loop()
        self._mailbox = state.mailbox(self._loop)
        self._limits = state.settings.limits
        self._events: deque[Event] = deque()
        self._reader: asyncio.Future[None] | None = None
        self._over = self._has_text = False
        self._slow: asyncio.TimerHandle | None = None
        self.seconds_waiting = 0.0
        self._meter = AnswerMeter(state.metrics, turn.request)
        self.ticket = state.engine.submit(turn, self._from_engine)

    async def __aenter__(self) -> Answer:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.cancel()

    def __aiter__(self) -> Answer:
        return self

    async def __anext__(self) -> Event:
        if not await self._some_wait():
            raise StopAsyncIteration
        event = self._events.popleft()
        self._watch_reader()
        self._is_taken(event)
        return event

    async def all_that_wait(self) -> list[Event]:
        """The next event and those that wait behind it; none when all have been taken."""
        await self._some_wait()
        events, self._events = list(self._events), deque()
        self._watch_reader()
        for event in events:
            self._is_taken(event)
        return events

    async def _some_wait(self) -> bool:
        """Wait for an event; False where none comes any more."""
        while not self._events:
            if self._over:
                return False
            self._reader = self._loop.create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        return True

    def _is_taken(self, event: Event) -> None:
        if isinstance(event, SpeechDelta):
            self.seconds_waiting -= len(event.samples) / event.sample_rate
            if not self.ticket.may_speak and self.seconds_waiting < self._limits.buffered_speech_s / 2:
                self.ticket.may_speak = True

    async def reply(self) -> Reply:
        """Wait for the whole reply.

        Raises:
            MuomniError: the request failed.
        """
        async for event in self:
            if isinstance(event, Failed):
                raise event.error
            if isinstance(event, Finished):
                return event.reply
        raise UsageError("the answer was cancelled before it was whole")

    def cancel(self, keep: bool = False) -> None:
        """Stop within one step. With ``keep`` what has been made is a reply, and Finished still comes."""
        if self._over:
            return
        self.ticket.cancel(keep)
        if not keep:
            self._end("abort")

    def _from_engine(self, event: Event) -> None:
        """Called in the engine's thread."""
        is_text = isinstance(event, TextDelta)
        self._mailbox.post(self._arrived, event, can_wait=is_text and self._has_text)
        self._has_text |= is_text

    def _arrived(self, event: Event) -> None:
        if self._over:
            return
        self._meter.see(event)
        self._events.append(event)
        if self._slow is None:
            self._watch_reader()
        if isinstance(event, SpeechDelta):
            self.seconds_waiting += len(event.samples) / event.sample_rate
            if self.seconds_waiting > self._limits.buffered_speech_s:
                self.ticket.may_speak = False
        elif isinstance(event, Finished | Failed):
            self._over = True
        self._wake()

    def _watch_reader(self) -> None:
        """The reader has some time from now on for the next event that waits."""
        if self._slow is not None:
            self._slow.cancel()
        self._slow = None
        if self._events:
            self._slow = self._loop.call_later(self._limits.slow_reader_s, self._drop)

    def _drop(self) -> None:
        self._events.clear()
        if not self._over:
            self.ticket.cancel()
        self._end("abort")

    def _end(self, reason: str) -> None:
        self._over = True
        self._meter.end(reason)
        self._wake()

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)
