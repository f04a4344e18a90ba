"""Sound of several sessions is looked through together."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from muomni.events import TextDelta
from muomni.live.silero import WINDOW, Samples, Silero, judge_together
from muomni.live.turns import likelihood
from muomni.serve.mailbox import PAUSE_S, Mailbox
from muomni.serve.realtime.judging import MOST_WAITING_S, Judging, Stream

SAMPLES = Path(__file__).parents[2] / "checkpoints" / "demo" / "samples"


def windows(name: str, count: int) -> Samples:
    samples, _ = soundfile.read(SAMPLES / name, dtype="float32")
    return samples[: count * WINDOW].reshape(count, WINDOW).astype(np.float32)


class Heard:
    """A session that only counts."""

    def __init__(self, waiting: Samples, breaks: bool = False) -> None:
        self.waiting, self.likely, self._breaks = waiting, list[float](), breaks

    @property
    def waiting_s(self) -> float:
        return len(self.waiting) * WINDOW / 16_000

    def cut(self) -> Samples:
        if self._breaks:
            raise RuntimeError("this one is broken")
        cut, self.waiting = self.waiting[:8], self.waiting[8:]
        return cut

    def settle(self, likely: Iterable[float]) -> None:
        self.likely.extend(likely)


def test_together_is_as_alone() -> None:
    speech = [windows("question.wav", 30), windows("days.wav", 50), windows("days.wav", 1)]
    alone = [np.array([judge(window) for window in of]) for of in speech if (judge := Silero())]
    judges = [Silero() for _ in speech]
    parts = [judge_together(judges, [of[at : at + 7] for of in speech]) for at in range(0, 56, 7)]
    for index, wanted in enumerate(alone):
        np.testing.assert_allclose(np.concatenate([part[index] for part in parts]), wanted, atol=1e-4)
    assert max(alone[0]) > 0.9


def test_sessions_get_what_is_theirs_and_one_that_breaks_disturbs_no_other() -> None:
    async def run() -> tuple[list[Heard], list[Exception]]:
        judging, errors = Judging(), list[Exception]()
        quiet = np.zeros((9, WINDOW), np.float32)
        sessions = [Heard(windows("days.wav", 50)), Heard(quiet), Heard(quiet, breaks=True)]
        streams = [Stream(session, Silero(), errors.append) for session in sessions]
        for stream in streams:
            judging.join(stream)
            judging.look(stream)
        async with asyncio.timeout(10):
            await streams[0].caught_up()
            assert sessions[0].waiting_s <= MOST_WAITING_S
            while sessions[0].waiting_s or sessions[1].waiting_s:
                await asyncio.sleep(0.001)
        return sessions, errors

    (speech, quiet, broken), errors = asyncio.run(run())
    alone = Silero()
    wanted = [likelihood(alone, window) for window in windows("days.wav", 50)]
    np.testing.assert_allclose(speech.likely, wanted, atol=1e-4)
    assert max(wanted) > 0.9
    assert quiet.likely == [0.0] * 9 and broken.likely == []
    assert [str(error) for error in errors] == ["this one is broken"]


def test_events_of_another_thread_come_in_order_with_one_wake_up() -> None:
    async def run() -> tuple[list[str], int]:
        loop, came, wakes = asyncio.get_running_loop(), list[str](), 0
        mailbox = Mailbox(loop)
        empty = mailbox._empty

        def counted() -> None:
            nonlocal wakes
            wakes += 1
            empty()

        mailbox._empty = counted  # type: ignore[method-assign]

        def take(event: object) -> None:
            assert isinstance(event, TextDelta)
            came.append(event.text)
            if event.text == "3":
                raise ValueError("the others still come")

        for number in range(100):
            mailbox.post(take, TextDelta(str(number)))
        await asyncio.sleep(0)
        mailbox.post(take, TextDelta("last"))
        await asyncio.sleep(0.01)
        return came, wakes

    came, wakes = asyncio.run(run())
    assert came == [*map(str, range(100)), "last"] and wakes == 2


def test_what_can_wait_comes_after_a_pause_or_with_what_cannot() -> None:
    async def run() -> list[list[str]]:
        mailbox, came = Mailbox(asyncio.get_running_loop()), list[str]()
        looks: list[list[str]] = []

        def post(text: str, can_wait: bool) -> None:
            mailbox.post(lambda event: came.append(event.text), TextDelta(text), can_wait)  # type: ignore[union-attr]

        async def look(after_s: float) -> None:
            await asyncio.sleep(after_s)
            looks.append(came.copy())

        post("a", can_wait=True)  # nothing came for long
        await look(0.001)
        post("b", can_wait=True)
        post("c", can_wait=True)
        await look(0.001)
        await look(2 * PAUSE_S)
        post("d", can_wait=True)
        await look(2 * PAUSE_S)
        post("e", can_wait=True)
        post("f", can_wait=True)
        post("g", can_wait=False)
        await look(0.001)
        return looks

    assert [*map("".join, asyncio.run(run()))] == ["a", "a", "abc", "abcd", "abcdefg"]


def test_the_mailbox_of_a_loop_that_is_closed_says_so() -> None:
    loop = asyncio.new_event_loop()
    loop.close()
    with pytest.raises(RuntimeError):
        Mailbox(loop).post(print, TextDelta("lost"))
