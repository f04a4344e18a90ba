"""An engine in a thread of its own: many callers, none of whom disturbs another."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import muomni
from muomni import Failed, Finished, Request, SpeechDelta, SpeechOptions, TextDelta
from muomni.engine.thread import EngineThread, QueueFullError
from muomni.engine.turn import LoneTurn, SaidTurn

from .conftest import SAMPLES


class Listener:
    """Keeps the events of one request."""

    def __init__(self) -> None:
        self.events: list[muomni.Event] = []
        self.over = threading.Event()

    def __call__(self, event: muomni.Event) -> None:
        self.events.append(event)
        if isinstance(event, Finished | Failed):
            self.over.set()

    def last(self) -> muomni.Event:
        assert self.over.wait(60)
        return self.events[-1]


@pytest.fixture
def thread(omni: muomni.Omni) -> Iterator[EngineThread]:
    thread = EngineThread(omni.engine(4), queue=3)
    yield thread
    thread.close()
    assert not thread.alive


def submit(thread: EngineThread, *arguments: Any, **options: Any) -> tuple[Listener, Any]:
    listener = Listener()
    request = muomni.requests.as_request(*arguments, **options)
    return listener, thread.submit(LoneTurn(thread.models, request), listener)


def test_requests_of_many_kinds_are_answered_together(omni: muomni.Omni, thread: EngineThread) -> None:
    image = SAMPLES / "shapes.png"
    wanted = [
        Request("What is two plus three?", speech=SpeechOptions()),
        Request(images=[image]),
        Request("Hello!"),
        Request(images=["there is no such file.png"]),
        Request("My name is Ada."),
    ]
    listeners = [submit(thread, request)[0] for request in wanted]
    lasts = [listener.last() for listener in listeners]
    assert [type(last) for last in lasts] == [Finished, Finished, Finished, Failed, Finished]
    for request, listener, last in zip(wanted, listeners, lasts, strict=True):
        if isinstance(last, Finished):
            assert last.reply.text == omni.generate(request).text
            assert "".join(e.text for e in listener.events if isinstance(e, TextDelta)) == last.reply.text
    assert any(isinstance(event, SpeechDelta) for event in listeners[0].events)


def test_more_than_may_wait_are_refused(thread: EngineThread) -> None:
    long = {"max_new_tokens": 60, "temperature": 1.0, "speech": True}
    held = [submit(thread, "Tell me something about the sea.", **long) for _ in range(7)]
    with pytest.raises(QueueFullError, match="try again later"):
        for _ in range(40):
            held.append(submit(thread, "Tell me something about the sea.", **long))
    for listener, _ in held:
        assert isinstance(listener.last(), Finished)
    assert (thread.running, thread.waiting) == (0, 0)
    assert isinstance(submit(thread, "Hello!")[0].last(), Finished)


def test_a_cancelled_request_ends_without_an_event(thread: EngineThread) -> None:
    listener, ticket = submit(thread, "Tell me something about the sea.", speech=True)
    ticket.cancel()
    kept, other = submit(thread, "Tell me something about the sea.", speech=True)
    while not kept.events:
        kept.over.wait(0.001)
    other.cancel(keep=True)
    last = kept.last()
    assert isinstance(last, Finished)
    assert last.reply.finish_reason in ("cancelled", "stop", "length")
    assert isinstance(submit(thread, "Hello!")[0].last(), Finished)
    assert ticket.done and not any(isinstance(event, Finished) for event in listener.events)


def test_speech_that_nobody_takes_waits_and_the_text_goes_on(thread: EngineThread) -> None:
    listener, ticket = submit(thread, "What is two plus three?", speech=True)
    ticket.may_speak = False
    other, _ = submit(thread, "Hello!")
    assert isinstance(other.last(), Finished)
    for _ in range(200):
        if any(isinstance(e, TextDelta) and "." in e.text for e in listener.events):
            break
        listener.over.wait(0.01)
    assert not listener.over.is_set()
    ticket.may_speak = True
    last = listener.last()
    assert isinstance(last, Finished) and last.reply.speech is not None


def test_conversations_go_on_in_an_engine_of_several_slots(omni: muomni.Omni, thread: EngineThread) -> None:
    chats = [omni.chat() for _ in range(3)]
    for text in ("My name is Ada.", "What is my name?"):
        listeners = [Listener() for _ in chats]
        for chat, listener in zip(chats, listeners, strict=True):
            thread.submit(chat.turn(Request(text)), listener)
        lasts = [listener.last() for listener in listeners]
        assert len({event.reply.text for event in lasts if isinstance(event, Finished)}) == 1
    alone = omni.chat()
    alone.say("My name is Ada.")
    expected = alone.say("What is my name?")
    assert isinstance(lasts[0], Finished) and lasts[0].reply.token_ids == expected.token_ids
    assert {chat.positions for chat in chats} == {alone.positions}
    assert chats[0].say("Hello!").token_ids == alone.say("Hello!").token_ids


def test_a_listener_that_fails_costs_only_its_own_request(thread: EngineThread) -> None:
    def broken(event: muomni.Event) -> None:
        raise RuntimeError("the connection is gone")

    ticket = thread.submit(LoneTurn(thread.models, Request("Tell me something about the sea.")), broken)
    assert isinstance(submit(thread, "Hello!")[0].last(), Finished)
    for _ in range(500):
        if ticket.done:
            break
        threading.Event().wait(0.01)
    assert ticket.done and thread.alive


def test_a_text_is_spoken_as_it_is_beside_replies(omni: muomni.Omni, thread: EngineThread) -> None:
    listener, other = Listener(), Listener()
    thread.submit(SaidTurn(thread.models, "Seven green cups.", SpeechOptions()), listener)
    thread.submit(LoneTurn(thread.models, Request("Hello!")), other)
    last = listener.last()
    assert isinstance(last, Finished) and last.reply.speech is not None
    alone = omni.speak("Seven green cups.")
    np.testing.assert_array_equal(last.reply.speech.samples, alone.samples)
    pieces = [event.samples for event in listener.events if isinstance(event, SpeechDelta)]
    np.testing.assert_array_equal(np.concatenate(pieces), alone.samples)
    assert (last.reply.text, last.reply.token_ids) == ("Seven green cups.", ())
    assert isinstance(other.last(), Finished)


def test_a_spoken_text_is_cancelled_within_a_step(thread: EngineThread) -> None:
    listener = Listener()
    ticket = thread.submit(SaidTurn(thread.models, "Seven green cups. " * 50, SpeechOptions()), listener)
    while not listener.events:
        listener.over.wait(0.001)
    ticket.cancel()
    for _ in range(500):
        if ticket.done:
            break
        threading.Event().wait(0.01)
    assert ticket.done and thread.running == 0
    assert not any(isinstance(event, Finished) for event in listener.events)


def test_closing_ends_what_runs_and_says_so(omni: muomni.Omni) -> None:
    thread = EngineThread(omni.engine(2), queue=9)
    held = [submit(thread, "Tell me something about the sea.", speech=True)[0] for _ in range(6)]
    thread.close()
    for listener in held:
        assert isinstance(listener.last(), Finished | Failed)
    assert any(isinstance(listener.events[-1], Failed) for listener in held)
    with pytest.raises(muomni.UsageError, match="closed"):
        submit(thread, "Hello!")


def test_closing_may_wait_for_what_runs(omni: muomni.Omni) -> None:
    thread = EngineThread(omni.engine(2), queue=9)
    held = [submit(thread, "Hello!")[0] for _ in range(6)]
    thread.close(timeout_s=60)
    assert all(isinstance(listener.events[-1], Finished) for listener in held)
