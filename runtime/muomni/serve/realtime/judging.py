"""Looks through what all sessions were sent, together: of 64 windows at once each costs a quarter of one alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Protocol

import numpy as np

from muomni.live.silero import Samples, Silero, judge_together
from muomni.live.turns import are_silent

PAUSE_PER_STREAM_S, LONGEST_PAUSE_S = 0.15e-3, 0.01
"""Between two looks, so that some sound comes together. One person alone waits for nothing."""
MOST_WAITING_S = 1.0
"""Of sound of one session; its client is read no further until some has been looked through."""


class Hears(Protocol):
    """A session, as far as its sound goes; see :class:`muomni.serve.realtime.incoming.IncomingAudio`."""

    @property
    def waiting_s(self) -> float: ...

    def cut(self) -> Samples: ...

    def settle(self, likely: Iterable[float]) -> None: ...


class Stream:
    """One session's place in :class:`Judging`."""

    def __init__(self, session: Hears, judge: Silero, failed: Callable[[Exception], None]) -> None:
        self.session, self.judge, self.failed = session, judge, failed
        self.done: asyncio.Future[None] | None = None

    async def caught_up(self) -> None:
        """Wait while much is waiting."""
        while self.session.waiting_s > MOST_WAITING_S:
            self.done = asyncio.get_running_loop().create_future()
            await self.done


class Judging:
    """One for all sessions of an event loop.

    Example:
        >>> stream = Stream(session, judge, failed.set_exception)
        >>> judging.join(stream)
        >>> judging.look(stream)  # whenever sound has come
    """

    def __init__(self) -> None:
        self._streams: set[Stream] = set()
        self._waiting: dict[Stream, None] = {}
        self._timer: asyncio.TimerHandle | None = None

    def join(self, stream: Stream) -> None:
        self._streams.add(stream)

    def leave(self, stream: Stream) -> None:
        self._streams.discard(stream)
        self._waiting.pop(stream, None)

    def look(self, stream: Stream) -> None:
        """A stream has more sound; it is looked through soon."""
        self._waiting[stream] = None
        if self._timer is None:
            self._again()

    def _again(self) -> None:
        pause = min(LONGEST_PAUSE_S, PAUSE_PER_STREAM_S * (len(self._streams) - 1))
        self._timer = asyncio.get_running_loop().call_later(pause, self._look)

    def _look(self) -> None:
        streams, self._waiting = list(self._waiting), {}
        self._timer = None
        cut = [(stream, windows) for stream in streams if (windows := self._cut(stream)) is not None]
        for (stream, _), likely in zip(cut, _likely(cut), strict=True):
            try:
                stream.session.settle(likely)
            except Exception as error:
                stream.failed(error)
                continue
            if stream.session.waiting_s > 0 and stream in self._streams:
                self._waiting[stream] = None
            if stream.done is not None and not stream.done.done():
                stream.done.set_result(None)
        if self._waiting:
            self._again()

    def _cut(self, stream: Stream) -> Samples | None:
        try:
            return stream.session.cut()
        except Exception as error:  # of this session alone
            stream.failed(error)
            return None


def _likely(cut: list[tuple[Stream, Samples]]) -> list[Samples]:
    """Probabilities of each stream's windows; silent ones are not judged."""
    loud = [~are_silent(windows) for _, windows in cut]
    judged = judge_together(
        [stream.judge for stream, _ in cut],
        [windows[is_] for (_, windows), is_ in zip(cut, loud, strict=True)],
    )
    likely = [np.zeros(len(windows), np.float32) for _, windows in cut]
    for all_of, is_, some in zip(likely, loud, judged, strict=True):
        all_of[is_] = some
    return likely
