"""Between a session and the server: turns go to the engine's thread, their events come back into the event loop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from muomni.engine.conversation import Conversation
from muomni.engine.engine import Engine
from muomni.engine.sequence import Sequence
from muomni.engine.turn import Turn
from muomni.events import SpeechDelta
from muomni.live.heard import Decodes
from muomni.replies import Reply
from muomni.requests import Request
from muomni.serve.state import Answer, ServerState

from .protocol import Host, Listener

AHEAD_SECONDS = 8.0
"""Speech is sent so far ahead of the time at which it is played, and no further: most of what comes later is for
nothing when somebody interrupts. A page in the background is woken once a second; a network pauses for less."""

LONGEST_WAIT_SECONDS = 5.0
"""Where a vocoder gives all of a long speech at once, the end of the reply is not kept back for as long."""


class WatchedTurn:
    """A turn that says when the engine lets go of it, also where no event does."""

    def __init__(self, turn: Turn) -> None:
        self.request = turn.request
        self.kept = False
        self.on_release: Callable[[], None] = _nothing
        self._turn = turn

    def prepare(self) -> None:
        self._turn.prepare()

    def join(self, engine: Engine, stream_text: bool) -> Sequence:
        return self._turn.join(engine, stream_text)

    def remember(self, reply: Reply) -> None:
        self._turn.remember(reply)
        self.kept = True

    def release(self) -> None:
        self._turn.release()
        self.on_release()


def _nothing() -> None:
    """Until somebody asks."""


class ServedTurn:
    """A turn in the engine's thread."""

    def __init__(self, state: ServerState, turn: Turn, listener: Listener, ahead_s: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._listener, self._ahead_s = listener, ahead_s
        self._turn = WatchedTurn(turn)
        self._turn.on_release = self._from_engine
        self._cancelled = asyncio.Event()
        self._kept = False
        self._played_until = 0.0
        self._answer: Answer = state.answer(self._turn)
        self._task = asyncio.create_task(self._tell())

    def cancel(self, keep: bool = False) -> None:
        """End it within a step; see :meth:`muomni.engine.thread.Ticket.cancel`."""
        self._cancelled.set()
        self._answer.cancel(keep)

    async def _tell(self) -> None:
        try:
            async with self._answer as answer:
                async for event in answer:
                    self._listener.event(event)
                    if isinstance(event, SpeechDelta):
                        await self._pace(len(event.samples) / event.sample_rate)
        finally:
            self._listener.over()

    async def _pace(self, seconds: float) -> None:
        """Wait while much has been sent that cannot have been played yet."""
        self._played_until = max(self._played_until, self._loop.time()) + seconds
        wait = self._played_until - self._loop.time() - self._ahead_s
        if wait > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._cancelled.wait(), min(wait, LONGEST_WAIT_SECONDS))

    def _from_engine(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: the server has ended
            self._loop.call_soon_threadsafe(self._released)

    def _released(self) -> None:
        # Where nothing of a cancelled turn was kept, no event says that it is over.
        if self._cancelled.is_set() and not self._turn.kept:
            self._answer.cancel()


class ServedHost(Host):
    """What sessions need of the server; see :class:`muomni.serve.realtime.protocol.Host`."""

    def __init__(self, state: ServerState, ahead_s: float = AHEAD_SECONDS) -> None:
        self._state, self._ahead_s = state, ahead_s
        models, manifest = state.engine.models, state.omni.manifest
        self.model = state.model_id
        self.tokenizer: Decodes = models.tokenizer()
        self.can_hear = manifest.audio is not None
        self.can_speak = manifest.talker is not None and manifest.vocoder is not None
        self.spoken_question = manifest.prompt.default_spoken_question
        self.transcript_question = manifest.prompt.default_audio_question
        self.context_length = models.thinker().stage.context_length
        # Room for a few turns besides.
        self.most_tokens = min(state.settings.limits.tokens, max(64, self.context_length // 6))

    def new_chat(self) -> Conversation:
        return self._state.omni.chat()

    def lone_turn(self, request: Request) -> Turn:
        return self._state.turn(request)

    def run(self, turn: Turn, listener: Listener) -> ServedTurn:
        return ServedTurn(self._state, turn, listener, self._ahead_s)
