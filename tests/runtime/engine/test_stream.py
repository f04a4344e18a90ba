"""A reply as an iterator, for threads and for asyncio."""

from __future__ import annotations

import asyncio
import gc
import threading

import pytest

import muomni
from muomni import Failed, Finished, TextDelta
from muomni.engine.engine import Engine, Events


def test_async_for_gives_the_same_events(omni: muomni.Omni) -> None:
    expected = [event for event in omni.stream("Hello!") if isinstance(event, TextDelta)]

    async def collect() -> list[muomni.Event]:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0)

        ticking = asyncio.create_task(tick())
        events = [event async for event in omni.stream("Hello!")]
        ticking.cancel()
        assert ticks > len(events), "the event loop stood still"
        return events

    events = asyncio.run(collect())
    assert [event for event in events if isinstance(event, TextDelta)] == expected
    assert isinstance(events[-1], Finished)


def test_a_cancelled_task_ends_its_request(omni: muomni.Omni) -> None:
    chat = omni.chat()

    async def cancelled() -> None:
        stream = chat.stream("Tell me something about the sea.", speech=True)

        async def read() -> None:
            async for _ in stream:
                pass

        task = asyncio.create_task(read())
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        stream.close()

    asyncio.run(cancelled())
    assert chat.turns in (0, 1)
    assert chat.say("Hello!").text


def test_another_thread_may_cancel(omni: muomni.Omni) -> None:
    stream = omni.stream("Tell me something about the sea.", speech=True)
    next(stream)
    thread = threading.Thread(target=stream.cancel)
    thread.start()
    thread.join()
    assert not any(isinstance(event, Finished) for event in stream)
    with pytest.raises(StopIteration):
        next(stream)


def test_closing_a_stream_that_another_thread_steps_ends_it(
    omni: muomni.Omni, monkeypatch: pytest.MonkeyPatch
) -> None:
    stepping, closed = threading.Event(), threading.Event()
    step = Engine.step

    def slow(engine: Engine) -> Events:
        stepping.set()
        assert closed.wait(30)
        return step(engine)

    monkeypatch.setattr(Engine, "step", slow)
    stream, events = omni.stream("Tell me something about the sea."), list[muomni.Event]()
    thread = threading.Thread(target=lambda: events.extend(stream))
    thread.start()
    assert stepping.wait(30)
    stream.close()
    closed.set()
    thread.join(30)
    assert not thread.is_alive() and events == []


def test_errors_come_as_an_event_and_are_raised(omni: muomni.Omni) -> None:
    stream = omni.stream(images=["there is no such file.png"])
    failed = next(stream)
    assert isinstance(failed, Failed)
    with pytest.raises(muomni.MediaError, match="no such file"):
        next(stream)
    with pytest.raises(StopIteration):
        next(stream)
    with pytest.raises(muomni.InputError, match="unknown option 'tempreature'"):
        omni.stream("hi", tempreature=1)  # type: ignore[call-arg]
    with pytest.raises(muomni.InputError, match="leave out seed"):
        omni.stream(muomni.Request("hi"), seed=3)


def test_a_stream_that_is_dropped_gives_the_conversation_back(omni: muomni.Omni) -> None:
    chat = omni.chat()
    stream = chat.stream("Hello!")
    next(stream)
    del stream
    gc.collect()
    assert chat.say("Hello!").text and chat.turns == 1


def test_a_stop_string_is_taken_whole_everywhere(omni: muomni.Omni) -> None:
    """A conversation and a batch took it letter by letter."""
    text = omni.generate("Hello!").text
    stop = text[5:9]
    expected = text.split(stop)[0]
    (batched,) = omni.generate_batch([muomni.Request("Hello!", stop=stop)])
    assert isinstance(batched, muomni.Reply)
    assert omni.generate("Hello!", stop=stop).text == expected
    assert omni.chat().say("Hello!", stop=stop).text == expected
    assert batched.text == expected


@pytest.mark.parametrize(
    "options",
    [
        {"max_new_tokens": "5"},
        {"max_new_tokens": 0},
        {"top_k": 1.5},
        {"temperature": "1"},
        {"temperature": float("nan")},
        {"seed": "x"},
        {"stop": 3},
        {"stop": [3]},
        {"logprobs": 99},
        {"video_frames": 0},
        {"speech": True, "speech_speed": 9},
        {"presence_penalty": 5},
    ],
)
def test_wrong_values_are_refused_by_name(omni: muomni.Omni, options: dict[str, object]) -> None:
    with pytest.raises(muomni.InputError, match=list(options)[-1].removeprefix("speech_")):
        omni.generate("hi", **options)  # type: ignore[arg-type]


def test_a_temperature_near_nothing_is_greedy(omni: muomni.Omni) -> None:
    """1e-320 was numpy's own error about NaN."""
    assert omni.generate("Hello!", temperature=1e-320).token_ids == omni.generate("Hello!").token_ids


def test_speech_has_as_many_frames_as_it_may(omni: muomni.Omni) -> None:
    reply = omni.generate("Hello!", speech=True, speech_frames=5)
    assert reply.speech is not None and len(reply.speech.codes) == 5
    assert "the speech was cut after 5 frames" in reply.notes


def test_speech_at_another_speed_keeps_its_codes(omni: muomni.Omni) -> None:
    usual = omni.speak("The red circle is left of the blue square.")
    for speed in (0.5, 1.5, 2.0):
        other = omni.speak("The red circle is left of the blue square.", speed=speed)
        assert other.codes.tolist() == usual.codes.tolist()
        assert len(other.samples) == pytest.approx(len(usual.samples) / speed, rel=0.01)
