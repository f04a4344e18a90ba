"""From the engine's thread to a handler."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from muomni import Finished, Request, SpeechDelta, SpeechOptions, UsageError
from muomni.serve.settings import Limits, Settings
from muomni.serve.state import Answer, ServerState

TEXT = "Seven green cups stand on the table. " * 10
AHEAD_S, CHUNK_S = 1.0, 2.0


@pytest.fixture(scope="module")
def state() -> Iterator[ServerState]:
    state = ServerState(Settings(slots=2, queue=2, limits=Limits(buffered_speech_s=AHEAD_S)))
    yield state
    state.close()


def spoken(state: ServerState) -> Answer:
    return state.answer(state.said_turn(TEXT, SpeechOptions()))


def test_speech_waits_at_its_source_while_nobody_takes_it(state: ServerState) -> None:
    async def run() -> list[np.ndarray]:
        pieces = []
        async with spoken(state) as answer:
            async for event in answer:
                if isinstance(event, SpeechDelta):
                    pieces.append(event.samples)
                if len(pieces) in (1, 5):
                    while answer.ticket.may_speak:
                        await asyncio.sleep(0.01)
                    await asyncio.sleep(0.2)  # what the engine had begun then has come
                    assert AHEAD_S <= answer.seconds_waiting < AHEAD_S + CHUNK_S
        return pieces

    engine = state.omni.engine(2, real_time=True)
    engine.say(TEXT, SpeechOptions())
    (speech,) = [
        event.reply.speech
        for _ in iter(lambda: engine.idle, True)
        for _, event in engine.step()
        if isinstance(event, Finished)
    ]
    assert speech is not None
    whole = speech.samples
    assert len(whole) / 16_000 > 2 * (AHEAD_S + CHUNK_S)
    np.testing.assert_array_equal(np.concatenate(asyncio.run(run())), whole)


def test_a_reader_that_takes_nothing_loses_its_turn(
    state: ServerState, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = replace(state.settings.limits, slow_reader_s=0.3)
    monkeypatch.setattr(state, "settings", replace(state.settings, limits=limits))

    async def run() -> None:
        answer = spoken(state)
        assert isinstance(await anext(answer), SpeechDelta)
        await asyncio.sleep(1)
        assert [event async for event in answer] == []
        with pytest.raises(UsageError):
            await answer.reply()

    asyncio.run(run())
    for _ in range(500):
        if not state.engine.running:
            return
        asyncio.run(asyncio.sleep(0.01))
    pytest.fail("the turn still runs")


def test_what_was_made_is_kept_where_that_is_asked_for(state: ServerState) -> None:
    async def run() -> str:
        async with state.answer(state.turn(Request("Hello!", speech=SpeechOptions()))) as answer:
            await anext(answer)
            answer.cancel(keep=True)
            last = [event async for event in answer][-1]
            assert isinstance(last, Finished)
            return last.reply.text

    assert asyncio.run(run()) in "Hello! How can I help you?"


def test_an_answer_that_is_left_is_cancelled(state: ServerState) -> None:
    async def run() -> None:
        async with spoken(state) as answer:
            await anext(answer)
        assert [event async for event in answer] == []
        while not answer.ticket.done:
            await asyncio.sleep(0.001)

    asyncio.run(asyncio.wait_for(run(), 10))


def test_spoken_replies_are_remembered_for_a_while(
    state: ServerState, monkeypatch: pytest.MonkeyPatch
) -> None:
    from muomni.serve import state as module

    state.remember_said("one", "first")
    assert state.said("one") == "first" and state.said("two") is None
    monkeypatch.setattr(module, "REMEMBERED_REPLIES", 2)
    state.remember_said("two", "second")
    state.remember_said("three", "third")
    assert state.said("one") is None and state.said("three") == "third"
    monkeypatch.setattr(module, "REMEMBERED_S", -1)
    state.remember_said("four", "fourth")
    assert state.said("four") is None
