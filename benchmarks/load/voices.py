"""Simultaneous voice conversations over ``/v1/realtime``: people who speak, listen, think for a second, and go on."""

from __future__ import annotations

import asyncio
import math
import os
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from muomni.live.silero import WINDOW
from muomni.live.turns import RATE_HZ as HEARD_RATE_HZ
from muomni.live.turns import TAIL_MS

from .machine import Cores, usage
from .playing import Playing
from .server import Running
from .sound import RATE_HZ, Said
from .statistics import spread
from .websocket import EventSocket

THINKING_S = 1.0
WINDOW_MS = WINDOW * 1000 / HEARD_RATE_HZ
ANSWERS_WITHIN_S = 10.0
"""A question that has no whole reply by then is a failure, and the person asks again."""
CONNECTING_AT_ONCE = 16


@dataclass
class Turn:
    """One question and its reply; times are of the event loop's clock (s).

    Attributes:
        settled_at: when the sound was sent with which the pause was long enough.
        stopped_at: when the client was told that the speech had ended.
    """

    begun_at: float
    spoken_at: float = math.inf
    settled_at: float | None = None
    stopped_at: float | None = None
    text_at: float | None = None
    done_at: float | None = None
    failure: str | None = None
    playing: Playing = field(default_factory=Playing)


class Conversation:
    """One person.

    Args:
        begin_s: wait so long before the first word: people do not begin together.
    """

    def __init__(self, said: Said, url: str, begin_s: float, seed: int) -> None:
        self.turns: list[Turn] = []
        self.lateness: list[float] = []
        self.errors: list[str] = []
        self._said, self._url = said, url
        self._loop = asyncio.get_running_loop()
        self._speak_at, self._speaking, self._asking = self._loop.time() + begin_s, -1, True
        self._sent_at: list[float] = []
        self._room = seed % len(said.room)
        self._silence_ms = 500
        self._socket: EventSocket | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._next_at = 0.0

    async def connect(self) -> None:
        """Raises ConnectionError."""
        self._socket = await EventSocket.connect(self._url, self._event, self._gone)
        self._next_at = self._loop.time() + self._said.frame_s
        self._timer = self._loop.call_at(self._next_at, self._tick)

    def no_more(self) -> None:
        """Ask nothing further; what is being asked still gets its answer."""
        self._asking = False

    @property
    def quiet(self) -> bool:
        """Nothing is asked, and nothing waited for."""
        return self._socket is None or not self._waiting

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._socket is not None:
            self._socket.close()

    # -- the microphone

    @property
    def _waiting(self) -> bool:
        turn = self.turns[-1] if self.turns else None
        return turn is not None and turn.done_at is None and turn.failure is None

    def _tick(self) -> None:
        """Send the next frame; the clock goes on even where this process came late."""
        assert self._socket is not None
        now = self._loop.time()
        self.lateness.append(now - self._next_at)
        while self._next_at <= now:
            self._socket.transport.write(self._frame(now))
            self._sent_at.append(now)
            self._next_at += self._said.frame_s
        self._timer = self._loop.call_at(self._next_at, self._tick)

    def _frame(self, now: float) -> bytes:
        said = self._said
        if self._speaking < 0 and not self._waiting and self._asking and now >= self._speak_at:
            self._speaking = 0
            self.turns.append(Turn(now))
        if self._speaking >= 0:
            frame = said.speech[self._speaking]
            self._speaking += 1
            if self._speaking == len(said.speech):
                self._speaking = -1
                self.turns[-1].spoken_at = now
            return frame
        if self._waiting and now - self.turns[-1].spoken_at > ANSWERS_WITHIN_S:
            self._fail("no whole reply in time", now)
        self._room = (self._room + 1) % len(said.room)
        return said.room[self._room]

    # -- the loudspeaker

    def _event(self, event: dict[str, Any]) -> None:
        now, kind = self._loop.time(), event["type"]
        if kind == "session.created":
            self._silence_ms = event["session"]["audio"]["input"]["turn_detection"]["silence_duration_ms"]
        elif kind == "error":
            self.errors.append(event["error"]["message"])
        if not self._waiting:
            return
        turn = self.turns[-1]
        match kind:
            case "input_audio_buffer.speech_stopped":
                turn.stopped_at = now
                turn.settled_at = self._sent(self._settled_ms(event["audio_end_ms"]))
            case "response.output_audio_transcript.delta" if turn.text_at is None:
                turn.text_at = now
            case "response.output_audio.delta":
                size = len(event["delta"]) * 3 // 4 - event["delta"][-2:].count("=")
                turn.playing.came(now, size / 2 / RATE_HZ)
            case "response.done":
                if event["response"]["status"] == "cancelled":  # the detector heard a pause in the question
                    turn.playing = Playing()
                elif event["response"]["status"] != "completed" or not turn.playing.seconds:
                    self._fail(f"the reply is {event['response']['status']}", now)
                else:
                    turn.done_at = now
                    self._speak_at = max(now, turn.playing.until) + THINKING_S

    def _settled_ms(self, end_ms: float) -> float:
        """When the pause was long enough: the detector judges whole windows, and keeps a little of the pause."""
        return end_ms - TAIL_MS + math.ceil(self._silence_ms / WINDOW_MS) * WINDOW_MS

    def _sent(self, position_ms: float) -> float:
        """When the frame that ends at or behind this place of the stream was sent."""
        index = math.ceil(position_ms / 1000 / self._said.frame_s) - 1
        return self._sent_at[min(max(index, 0), len(self._sent_at) - 1)]

    def _fail(self, why: str, now: float) -> None:
        self.turns[-1].failure = why
        self._speaking = -1
        self._speak_at = now + THINKING_S

    def _gone(self, why: str) -> None:
        self.errors.append(why)
        if self._timer is not None:
            self._timer.cancel()
        if self._waiting:
            self._fail(why, self._loop.time())
        self._socket = None


async def converse(
    server: Running, said: Sequence[Said], count: int, seconds: float, begin_within_s: float, seed: int = 0
) -> dict[str, Any]:
    """Hold conversations, and say how they went.

    Args:
        said: recordings; the conversations take them in turns.
        count: of the conversations.
        seconds: during which questions are asked, once all have begun.
        begin_within_s: the first words of all conversations fall anywhere into this time.
    """
    draw = random.Random(seed)
    loop = asyncio.get_running_loop()
    people = [
        Conversation(said[i % len(said)], server.url, begin_within_s * draw.random(), draw.randrange(10**6))
        for i in range(count)
    ]
    begun = loop.time()
    for at in range(0, count, CONNECTING_AT_ONCE):
        await asyncio.gather(*(one.connect() for one in people[at : at + CONNECTING_AT_ONCE]))
    await asyncio.sleep(max(0.0, begun + begin_within_s - loop.time()))
    all_talk = loop.time()
    client = Cores(os.getpid())
    served = None if server.pid is None else Cores(server.pid)
    await asyncio.sleep(seconds)
    cores = {"client": client.so_far(), "server": None if served is None else served.so_far()}
    for one in people:
        one.no_more()
    patience = loop.time() + ANSWERS_WITHIN_S + max(of.speech_s for of in said) + 1
    while not all(one.quiet for one in people) and loop.time() < patience:
        await asyncio.sleep(0.05)
    memory = None if server.pid is None else usage(server.pid)
    for one in people:
        one.close()
    turns = [turn for one in people for turn in one.turns if turn.spoken_at >= all_talk]
    return {
        "conversations": count,
        "seconds": round(seconds, 1),
        **summary(turns),
        "errors": sorted({error for one in people for error in one.errors}),
        "server_cores": cores["server"],
        "server_rss_mb": None if memory is None else round(memory.rss_mb, 1),
        "server_peak_mb": None if memory is None else round(memory.peak_mb, 1),
        "client_cores": cores["client"],
        "client_late_ms": spread([late for one in people for late in one.lateness]),
    }


def summary(turns: Sequence[Turn]) -> dict[str, Any]:
    """What came of some turns."""
    heard = [
        (turn, turn.settled_at, turn.playing.first_at)
        for turn in turns
        if turn.settled_at is not None and turn.playing.first_at is not None
    ]
    return {
        "replies": sum(turn.done_at is not None for turn in turns),
        "failures": sorted(turn.failure or "no reply" for turn in turns if turn.done_at is None),
        "first_sound_ms": spread([first - settled for _, settled, first in heard]),
        "detected_ms": spread(
            [t.stopped_at - settled for t, settled, _ in heard if t.stopped_at is not None]
        ),
        "first_text_ms": spread([t.text_at - settled for t, settled, _ in heard if t.text_at is not None]),
        "underruns": sum(turn.playing.gaps > 0 for turn in turns),
        "silence_in_replies_ms": round(1000 * sum(turn.playing.gap_s for turn in turns), 1),
        "speech_heard_s": round(sum(turn.playing.seconds for turn in turns), 1),
    }
