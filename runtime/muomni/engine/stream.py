"""One request as an iterator of events, driven by whoever iterates."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING

from muomni.errors import MuomniError, UsageError
from muomni.events import Event, Failed, Finished, SpeechDelta, TextDelta
from muomni.replies import Reply

from .engine import Engine
from .sequence import Sequence
from .turn import Turn

if TYPE_CHECKING:
    from .playback import OnAudio

OnText = Callable[[str], None]
"""Takes the next piece of the reply's text."""


class Stream(Iterator[Event]):
    """Events of one reply: text and speech as they come, then :class:`muomni.Finished`.

    Nothing is computed but while the next event is asked for, by ``for`` or by ``async for`` (each step then runs
    in a worker thread, so that the event loop goes on). Leaving the loop early and calling :meth:`close` ends the
    request, and nothing of it stays; so does leaving a ``with`` block.

    An error comes as :class:`muomni.Failed` and is then raised.

    Example:
        >>> for event in omni.stream("Hello", speech=True):
        ...     match event:
        ...         case muomni.TextDelta(text): print(text, end="")
        ...         case muomni.SpeechDelta(samples, rate): play(samples, rate)
        ...         case muomni.Finished(reply): print(reply.timings)
    """

    def __init__(self, engine: Engine, turn: Turn, stream_text: bool = True) -> None:
        self._engine, self._turn, self._streams_text = engine, turn, stream_text
        self._sequence: Sequence | None = None
        self._events: deque[Event] = deque()
        self._error: MuomniError | None = None
        self._cancel: bool | None = None  # asked for before the sequence was there: whether to keep
        self._stepping = self._over = False
        self.reply: Reply | None = None
        """The reply, once it is whole."""

    def __iter__(self) -> Stream:
        return self

    def __next__(self) -> Event:
        while True:
            if self._cancel is False:  # whatever was made already is not wanted
                self._events.clear()
            if self._events:
                return self._given(self._events.popleft())
            if self._error is not None:
                error, self._error = self._error, None
                raise error
            if self._over:
                raise StopIteration
            if self._sequence is not None and self._sequence.done:
                self._close()
            else:
                self._advance()

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        import asyncio

        try:
            event = await asyncio.to_thread(next, self, None)
        except asyncio.CancelledError:
            self.cancel()
            raise
        if event is None:
            raise StopAsyncIteration
        return event

    def __enter__(self) -> Stream:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def cancel(self, keep: bool = False) -> None:
        """End the request within a step; any thread may ask for it.

        Args:
            keep: what has been generated is the reply, with ``finish_reason`` "cancelled", and a conversation
                remembers it; else nothing of the request stays.
        """
        self._cancel = keep
        if self._sequence is not None:
            self._sequence.cancel(keep)

    def close(self) -> None:
        """End the request, if it has not ended by itself; nothing of it stays."""
        if self._over:
            return
        if self._stepping:  # by another thread, which will see it
            self.cancel()
            return
        self._close()

    def drain(self, on_text: OnText | None = None, on_audio: OnAudio | None = None) -> Reply:
        """Go through to the end; the reply.

        Args:
            on_text: called with each piece of text.
            on_audio: called with samples (m,) as they are made, in a thread of its own: one that plays in real
                time delays neither text nor reply. It has had all samples on return, unless a call of it lasts
                longer than 0.1 s.

        Raises:
            MuomniError: the request failed; whatever a callback raised.
        """
        playback = None
        if on_audio is not None:
            from .playback import Playback

            playback = Playback(on_audio)
        try:
            while True:
                if playback is not None and self._sequence is not None:
                    self._sequence.may_speak = playback.has_room
                    if self._engine.held_back and not self._events:
                        playback.wait_for_room()
                        continue
                match next(self, None):
                    case TextDelta(text) if on_text is not None:
                        on_text(text)
                    case SpeechDelta(samples) if playback is not None:
                        playback.put(samples)
                    case Finished(reply):
                        if playback is not None:
                            playback.finish()
                        return reply
                    case None:
                        raise UsageError("the request was cancelled")
        except BaseException:
            if playback is not None:
                playback.stop()
            self.close()
            raise

    def _advance(self) -> None:
        """One step of the engine, or the beginning; an interruption in it ends the request."""
        if self._stepping:
            raise UsageError("a stream is iterated by one thread at a time, and not from its own callbacks")
        self._stepping = True
        try:
            if self._sequence is None:
                self._turn.prepare()
                self._sequence = self._turn.join(self._engine, self._streams_text)
                if self._cancel is not None:
                    self._sequence.cancel(self._cancel)
            self._events.extend(event for _, event in self._engine.step())
        except MuomniError as error:
            self._events.append(Failed(error))
        except BaseException:
            self._close()
            raise
        finally:
            self._stepping = False

    def _given(self, event: Event) -> Event:
        """An event on its way to the caller, who from now on knows of it."""
        if isinstance(event, Finished):
            self._turn.remember(event.reply)
            self.reply = event.reply
            self._close()
        elif isinstance(event, Failed):
            self._error = event.error
            self._close()
        return event

    def _close(self) -> None:
        if not self._over:
            self._over = True
            self._turn.release()
