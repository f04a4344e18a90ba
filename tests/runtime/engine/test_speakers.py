"""Many that speak in real time: who gets frames, in which rows, and that nobody hears of the others."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import muomni
from muomni import ExecutionError, Finished, Request, SpeechDelta, SpeechOptions
from muomni.engine import speakers as room
from muomni.engine.sequence import Sequence
from muomni.engine.speakers import ENOUGH_AHEAD_S, GROUP_ROWS, Speakers
from muomni.models.talker import TalkerRows

SHARED = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
TEXTS = (
    "Yes.",
    "The sea is wide and blue. It has waves.",
    "Seven.",
    "I know seven days, and twelve months.",
    "Good morning to you, Ada!",
)


def spoken(omni: muomni.Omni, texts: list[str], leaving: dict[int, int] | None = None) -> list[Any]:
    """Codes and samples of each text, all spoken at once; ``leaving`` are cancelled after so many steps."""
    engine = omni.engine(2, real_time=True)
    sequences = [engine.say(text, SpeechOptions()) for text in texts]
    made: dict[Sequence, Any] = {}
    steps = 0
    while not engine.idle:
        for index, after in (leaving or {}).items():
            if after == steps:
                engine.cancel(sequences[index])
        for sequence, event in engine.step():
            if isinstance(event, Finished):
                assert event.reply.speech is not None
                made[sequence] = event.reply.speech
        steps += 1
    return [made.get(sequence) for sequence in sequences]


@pytest.fixture(scope="module")
def alone(omni: muomni.Omni) -> dict[str, Any]:
    return {text: spoken(omni, [text])[0] for text in TEXTS}


@given(
    texts=st.lists(st.sampled_from(TEXTS), min_size=1, max_size=11),
    leaving=st.dictionaries(st.integers(0, 10), st.integers(0, 40), max_size=4),
)
@SHARED
def test_speech_is_the_same_bits_whoever_speaks_and_stops_beside_it(
    omni: muomni.Omni, alone: dict[str, Any], texts: list[str], leaving: dict[int, int]
) -> None:
    gone = {index: after for index, after in leaving.items() if index < len(texts)}
    for index, (text, speech) in enumerate(zip(texts, spoken(omni, texts, gone), strict=True)):
        if speech is None:
            assert index in gone
            continue
        assert np.array_equal(speech.codes, alone[text].codes)
        assert np.array_equal(speech.samples, alone[text].samples)


def test_a_text_that_comes_in_pieces_is_spoken_as_at_once(omni: muomni.Omni) -> None:
    engine = omni.engine(4, real_time=True)
    requests = [Request(text, speech=SpeechOptions()) for text in ("Hello!", "My name is Ada.", "Hello!")]
    sequences = [engine.add(request) for request in requests]
    replies = {}
    while not engine.idle:
        replies |= {s: e.reply for s, e in engine.step() if isinstance(e, Finished)}
    for sequence in sequences:
        reply = replies[sequence]
        assert reply.speech is not None
        (again,) = spoken(omni, [reply.text])
        assert np.array_equal(reply.speech.codes, again.codes)


class Rows:
    """Rows of a Talker that compute nothing."""

    def copy(self, row: int, source: Rows, source_row: int) -> None:
        """Nothing is in them."""

    def clear(self, row: int) -> None:
        """Nothing is in them."""


class Voice:
    """Speech that can always go on, and is due at a time of its own."""

    reads_text = True
    started = True
    waits = False

    def __init__(self, due: float) -> None:
        self.due, self.settled = due, 0

    def query(self) -> None:
        """No frame is asked for."""

    def settle(self) -> np.ndarray[Any, Any]:
        self.settled += 1
        return np.zeros(0, np.float32)


class Member:
    """A sequence that says it."""

    may_speak = text_over = True
    done = False
    timings = SimpleNamespace(add=lambda name, seconds: None)

    def __init__(self, due: float) -> None:
        self.speech = Voice(due)


@pytest.fixture
def crowd(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Speakers, list[Any]]]:
    """Three groups, due in 3, 1 and 2 seconds; the clock stands at 0."""
    monkeypatch.setattr(room.time, "perf_counter", lambda: 0.0)
    talker = SimpleNamespace(rows=lambda count: Rows())
    speakers = Speakers(SimpleNamespace(talker=lambda: talker), real_time=True)  # type: ignore[arg-type]
    members = [Member(due) for due in [3.0] * GROUP_ROWS + [1.0] * GROUP_ROWS + [2.0] * GROUP_ROWS]
    for member in members:
        speakers.add(member)  # type: ignore[arg-type]
    yield speakers, members


def served(members: list[Any]) -> list[int]:
    return [sum(m.speech.settled for m in members[g : g + GROUP_ROWS]) for g in range(0, 24, GROUP_ROWS)]


def test_in_real_time_the_one_nearest_to_an_underrun_is_first(crowd: Any) -> None:
    speakers, members = crowd
    speakers.step(hold=False)
    assert served(members) == [0, 8, 0]
    members[3].speech.due = 0.5
    speakers.step(hold=False)
    assert served(members) == [8, 8, 0]


def test_a_first_sound_is_not_delayed_by_those_who_have_enough(crowd: Any) -> None:
    speakers, members = crowd
    assert speakers.step(hold=True) == []
    assert served(members) == [0, 0, 0]
    members[20].speech.due = ENOUGH_AHEAD_S / 2
    speakers.step(hold=True)
    assert served(members) == [0, 0, 8]


def test_who_waits_for_text_or_for_a_listener_is_nobodys_turn(crowd: Any) -> None:
    speakers, members = crowd
    for member in members[GROUP_ROWS : 2 * GROUP_ROWS - 1]:
        member.speech.waits = True
    members[2 * GROUP_ROWS - 1].may_speak = False
    speakers.step(hold=False)
    assert served(members) == [0, 0, 8]


def test_a_talker_that_fails_takes_only_those_it_spoke_for(
    omni: muomni.Omni, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = omni.engine(2, real_time=True)
    first = engine.say(TEXTS[1], SpeechOptions())
    engine.step()

    def fails(self: TalkerRows, queries: Any) -> Any:
        raise ExecutionError("the Talker failed")

    with monkeypatch.context() as patch:
        patch.setattr(TalkerRows, "step", fails)
        events = engine.step()
    assert first.done and any(
        "the speech failed" in e.reply.notes[-1] for _, e in events if isinstance(e, Finished)
    )
    second = engine.say(TEXTS[0], SpeechOptions())
    heard = []
    while not engine.idle:
        heard += [event for s, event in engine.step() if s is second and isinstance(event, SpeechDelta)]
    assert heard
