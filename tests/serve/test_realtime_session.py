"""The state machine of a realtime session, without a network."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.serve.realtime_host import SteppedHost, loud

import muomni
from muomni.live.rate import resampled
from muomni.serve.realtime.audio import AudioFormat
from muomni.serve.realtime.incoming import DECODED_BYTES, IncomingAudio
from muomni.serve.realtime.session import HANDLERS, Session

SAMPLES = Path(__file__).parents[2] / "checkpoints" / "demo" / "samples"
PCM = AudioFormat("audio/pcm")
LONG = "What can you do?"


@pytest.fixture(scope="module")
def omni() -> Iterator[muomni.Omni]:
    with muomni.Omni.load(device="cpu", threads=1) as loaded:
        yield loaded


class Client:
    """A session and what it has said."""

    def __init__(self, omni: muomni.Omni, **session: Any) -> None:
        self.host = SteppedHost(omni)
        self.events: list[dict[str, Any]] = []
        self.session = Session(
            self.host, lambda event: self.events.append(json.loads(json.dumps(event))), loud
        )
        self.session.open()
        if session:
            self.send("session.update", session=session)

    def send(self, name: str, **fields: Any) -> list[dict[str, Any]]:
        """Send an event; what was answered."""
        before = len(self.events)
        self.session.receive(json.dumps({"type": name, **fields}))
        while self.session.work():
            pass
        return self.events[before:]

    def say(self, name: str = "question.wav", **fields: Any) -> list[dict[str, Any]]:
        """Speech and half a second of silence, a hundredth of a second at a time."""
        samples, rate = soundfile.read(SAMPLES / name, dtype="float32")
        data = PCM.encode(np.concatenate([resampled(samples, rate, 24_000), np.zeros(15_000, np.float32)]))
        before = len(self.events)
        for at in range(0, len(data), 480):
            self.send(
                "input_audio_buffer.append", audio=base64.b64encode(data[at : at + 480]).decode(), **fields
            )
        return self.events[before:]

    def write(self, text: str) -> None:
        self.send(
            "conversation.item.create",
            item={"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]},
        )

    def ask(self, text: str, **response: Any) -> str:
        """Write, and read the whole reply."""
        self.write(text)
        self.send("response.create", response=response)
        self.host.finish()
        return str(self.last("response.done")["response"]["output"][0]["content"][0]["transcript"])

    def named(self, name: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["type"] == name]

    def last(self, name: str) -> dict[str, Any]:
        assert self.named(name), [event["type"] for event in self.events]
        return self.named(name)[-1]


def types(events: list[dict[str, Any]]) -> list[str]:
    """Their names, repetitions left out."""
    names = [event["type"] for event in events]
    return [name for at, name in enumerate(names) if at == 0 or names[at - 1] != name]


def test_a_spoken_question_is_answered_when_it_is_over(omni: muomni.Omni) -> None:
    client = Client(omni)
    events = client.say()
    assert types(events) == [
        "input_audio_buffer.speech_started",
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
        "response.created",
    ]
    start, stop = events[0]["audio_start_ms"], events[1]["audio_end_ms"]
    assert 0 <= start < stop and events[0]["item_id"] == events[2]["item_id"] == events[3]["item"]["id"]
    client.host.finish()
    told = types(client.events[len(events) + 1 :])
    assert told[:4] == [
        "response.output_item.added",
        "conversation.item.added",
        "response.content_part.added",
        "response.output_audio_transcript.delta",
    ]
    assert told[-7:] == [
        "response.output_audio.delta",
        "response.output_audio.done",
        "response.output_audio_transcript.done",
        "response.content_part.done",
        "response.output_item.done",
        "conversation.item.done",
        "response.done",
    ]
    done = client.last("response.done")["response"]
    assert done["status"] == "completed" and done["usage"]["input_token_details"]["audio_tokens"] > 0
    text = done["output"][0]["content"][0]["transcript"]
    assert text == omni.generate("Answer the question.", audio=SAMPLES / "question.wav").text
    assert "".join(e["delta"] for e in client.named("response.output_audio_transcript.delta")) == text


def test_the_sound_is_that_of_the_reply(omni: muomni.Omni) -> None:
    client = Client(omni)
    text = client.ask("What is two plus three?")
    # By an engine with one slot, as the host's: several rows round otherwise.
    expected = omni.generate("What is two plus three?", speech=True)
    assert expected.speech is not None and text == expected.text
    data = b"".join(base64.b64decode(e["delta"]) for e in client.named("response.output_audio.delta"))
    wanted = resampled(expected.speech.samples, expected.speech.sample_rate, 24_000)
    heard = PCM.decode(data)
    assert len(heard) == len(wanted)
    assert np.abs(heard - wanted).max() < 0.01


@pytest.mark.parametrize("name", ["audio/pcmu", "audio/pcma"])
def test_g711_in_and_out(omni: muomni.Omni, name: str) -> None:
    client = Client(
        omni,
        audio={
            "input": {"format": {"type": name}, "turn_detection": None},
            "output": {"format": {"type": name}},
        },
    )
    samples, rate = soundfile.read(SAMPLES / "days.wav", dtype="float32")
    data = AudioFormat(name).encode(resampled(samples, rate, 8000))
    client.send("input_audio_buffer.append", audio=base64.b64encode(data).decode())
    assert types(client.send("input_audio_buffer.commit"))[0] == "input_audio_buffer.committed"
    client.send("response.create")
    client.host.finish()
    sound = b"".join(base64.b64decode(e["delta"]) for e in client.named("response.output_audio.delta"))
    assert len(sound) > 4000
    text = client.last("response.done")["response"]["output"][0]["content"][0]["transcript"]
    assert "Tuesday" in text


def test_speech_cancels_the_reply_and_what_was_heard_stays(omni: muomni.Omni) -> None:
    client = Client(omni)
    client.write(LONG)
    client.send("response.create")
    while len(client.named("response.output_audio.delta")) < 2:
        client.host.step()
    item = client.last("response.output_item.added")["item"]["id"]
    client.say()
    done = client.named("response.done")[0]["response"]
    assert done["status"] == "cancelled" and done["status_details"]["reason"] == "turn_detected"
    assert types(client.events).count("response.created") == 1  # the next waits until the engine has let go
    client.host.step()
    assert client.events[-1]["type"] == "response.created"
    client.host.finish()
    assert client.last("response.done")["response"]["status"] == "completed"
    partial = client.send("conversation.item.retrieve", item_id=item)[-1]["item"]
    assert partial["status"] == "incomplete" and partial["content"][0]["transcript"]


def test_truncation_rolls_the_context_back_to_what_was_heard(omni: muomni.Omni) -> None:
    client = Client(omni)
    text = client.ask(LONG)
    item = client.last("response.output_item.added")["item"]["id"]
    full = client.session.context_positions
    answered = client.send("conversation.item.truncate", item_id=item, content_index=0, audio_end_ms=1200)
    assert types(answered) == ["conversation.item.truncated"]
    kept = client.send("conversation.item.retrieve", item_id=item)[-1]["item"]["content"][0]["transcript"]
    assert text.startswith(kept) and 3 < len(kept) < len(text) / 2 and not kept.endswith(" ")
    assert client.session.context_positions < full

    fresh = omni.chat()
    fresh.say(LONG, truncate=True)
    ids = omni.generate(LONG).token_ids
    count = max(n for n in range(len(ids)) if kept.startswith(omni.tokenizer.decode(ids[:n])))
    fresh.keep_only(count)
    assert fresh.positions == client.session.context_positions
    assert client.ask("What is two plus three?") == fresh.say("What is two plus three?").text


def test_a_reply_of_which_nothing_was_heard_is_forgotten(omni: muomni.Omni) -> None:
    client = Client(omni)
    client.ask(LONG)
    item = client.last("response.output_item.added")["item"]["id"]
    client.send("conversation.item.truncate", item_id=item, content_index=0, audio_end_ms=0)
    assert (
        client.send("conversation.item.retrieve", item_id=item)[-1]["item"]["content"][0]["transcript"] == ""
    )
    history = [(muomni.Request(LONG), "")]
    expected = omni.generate(muomni.Request("What is two plus three?", history=history, truncate=True))
    assert client.ask("What is two plus three?") == expected.text


def test_the_context_is_one_conversation(omni: muomni.Omni) -> None:
    client, chat = Client(omni), omni.chat()
    for text in ("My name is Ada.", "What is my name?", "Hello!"):
        assert client.ask(text) == chat.say(text, truncate=True).text
        assert client.session.context_positions == chat.positions


def test_items_of_a_client_are_what_the_model_remembers(omni: muomni.Omni) -> None:
    """A client that brings its own past, and one that deletes a part of it."""
    client = Client(omni)
    client.write("My name is Ada.")
    name = client.last("conversation.item.added")["item"]["id"]
    content = [{"type": "output_text", "text": "Nice to meet you, Ada."}]
    client.send("conversation.item.create", item={"type": "message", "role": "assistant", "content": content})
    assert "Ada" in client.ask("What is my name?")
    client.send("conversation.item.delete", item_id=name)
    assert client.last("conversation.item.deleted")["item_id"] == name
    assert not any(item.id == name for item in client.session.items)
    assert client.ask("What is two plus three?")


def test_a_picture_is_seen(omni: muomni.Omni) -> None:
    client = Client(omni)
    data = base64.b64encode((SAMPLES / "shapes.png").read_bytes()).decode()
    content = [{"type": "input_image", "image_url": f"data:image/png;base64,{data}"}]
    client.send("conversation.item.create", item={"type": "message", "role": "user", "content": content})
    text = client.ask("What do you see?")
    assert text == omni.generate("What do you see?", images=[SAMPLES / "shapes.png"], truncate=True).text


def test_a_film_is_watched(omni: muomni.Omni) -> None:
    client = Client(omni)
    data = base64.b64encode((SAMPLES / "film.gif").read_bytes()).decode()
    content = [{"type": "input_video", "video_url": f"data:image/gif;base64,{data}"}]
    client.send("conversation.item.create", item={"type": "message", "role": "user", "content": content})
    text = client.ask("What happens?")
    assert text == omni.generate("What happens?", video=SAMPLES / "film.gif", truncate=True).text
    shown = client.named("conversation.item.added")[0]["item"]["content"][0]
    assert shown["video_url"] == content[0]["video_url"]


def test_what_was_heard_is_written_down_when_asked_for(omni: muomni.Omni) -> None:
    client = Client(omni, audio={"input": {"transcription": {"model": "demo"}}})
    client.say("days.wav")
    client.host.finish()
    written = client.last("conversation.item.input_audio_transcription.completed")
    assert "monday" in written["transcript"].lower()
    names = [event["type"] for event in client.events]
    assert names.index("response.output_audio.delta") < names.index(written["type"])  # it delays nobody


def test_text_alone(omni: muomni.Omni) -> None:
    client = Client(omni, output_modalities=["text"])
    client.write("Hello!")
    client.send("response.create")
    client.host.finish()
    assert client.last("response.output_text.done")["text"] == omni.generate("Hello!").text
    assert not client.named("response.output_audio.delta")


def test_a_response_beside_the_conversation(omni: muomni.Omni) -> None:
    client = Client(omni)
    client.ask("My name is Ada.")
    items = [item.id for item in client.session.items]
    given = [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello!"}]}]
    client.send(
        "response.create",
        response={
            "conversation": "none",
            "input": given,
            "output_modalities": ["text"],
            "metadata": {"a": "b"},
        },
    )
    client.host.finish()
    done = client.last("response.done")["response"]
    assert done["conversation_id"] is None and done["metadata"] == {"a": "b"}
    assert done["output"][0]["content"][0]["text"] == omni.generate("Hello!").text
    assert [item.id for item in client.session.items] == items


def test_a_second_response_is_refused_while_one_is_in_progress(omni: muomni.Omni) -> None:
    client = Client(omni)
    client.write(LONG)
    client.send("response.create")
    error = client.send("response.create", event_id="mine")[-1]["error"]
    assert error["code"] == "conversation_already_has_active_response" and error["event_id"] == "mine"
    client.send("response.cancel")
    assert client.last("response.done")["response"]["status_details"]["reason"] == "client_cancelled"
    assert client.send("response.cancel")[-1]["error"]["code"] == "response_cancel_not_active"
    client.send("response.create")
    client.host.finish()
    assert client.last("response.done")["response"]["status"] == "completed"


def test_a_session_shows_what_is_in_force(omni: muomni.Omni) -> None:
    client = Client(omni)
    detection = {"type": "semantic_vad", "eagerness": "high"}
    shown = client.send(
        "session.update", session={"type": "realtime", "audio": {"input": {"turn_detection": detection}}}
    )
    turns = shown[-1]["session"]["audio"]["input"]["turn_detection"]
    assert turns["type"] == "server_vad" and turns["silence_duration_ms"] == 300
    client.send("session.update", session={"instructions": "Be kind."})
    session = client.last("session.updated")["session"]
    assert session["instructions"] == "Be kind."
    assert session["audio"]["input"]["turn_detection"] == turns  # what is left out stays


@pytest.mark.parametrize(
    ("event", "code"),
    [
        ("no JSON", "invalid_json"),
        ("[" * 40_000, "invalid_json"),
        ("[]", "invalid_event"),
        ('{"type": 3}', "invalid_event"),
        ('{"type": "hello"}', "unknown_event"),
        ('{"type": "session.update"}', "invalid_value"),
        ('{"type": "session.update", "session": {"audio": 5}}', "invalid_value"),
        ('{"type": "session.update", "session": {"tools": [{"type": "function"}]}}', "InputError"),
        (
            '{"type": "session.update", "session": {"audio": {"input": {"format": {"type": "mp3"}}}}}',
            "invalid_value",
        ),
        ('{"type": "input_audio_buffer.append", "audio": "no base64"}', "InputError"),
        ('{"type": "input_audio_buffer.append", "audio": "AAAA"}', "InputError"),
        ('{"type": "input_audio_buffer.append"}', "invalid_value"),
        ('{"type": "input_audio_buffer.commit"}', "input_audio_buffer_commit_empty"),
        ('{"type": "conversation.item.create", "item": {"type": "function_call"}}', "InputError"),
        ('{"type": "conversation.item.delete", "item_id": "none"}', "item_not_found"),
        ('{"type": "conversation.item.truncate", "item_id": {}}', "item_not_found"),
        ('{"type": "response.create"}', "InputError"),
        ('{"type": "response.create", "response": 5}', "invalid_value"),
        ('{"type": "response.cancel"}', "response_cancel_not_active"),
        ('{"type": "output_audio_buffer.clear"}', "unsupported_event"),
    ],
)
def test_what_cannot_be_followed_is_an_error_event(omni: muomni.Omni, event: str, code: str) -> None:
    client = Client(omni)
    client.session.receive(event)
    error = client.last("error")["error"]
    assert error["code"] == code, error
    assert len(error["message"]) < 600
    assert client.ask("Hello!")  # and the session goes on


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5000)
    | st.text(max_size=5)
    | st.sampled_from(["item_1", "auto", "none"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)
SOUND = base64.b64encode(PCM.encode(np.sin(np.arange(4800) / 5).astype(np.float32))).decode()
QUIET = base64.b64encode(bytes(24_000)).decode()
TEXT = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello!"}]}
EVENTS = st.one_of(
    st.sampled_from([SOUND, QUIET]).map(lambda sound: {"type": "input_audio_buffer.append", "audio": sound}),
    st.sampled_from([None, "item_1", "item_2", "root"]).map(
        lambda after: {"type": "conversation.item.create", "item": TEXT, "previous_item_id": after}
    ),
    st.sampled_from(["item_1", "item_2"]).map(
        lambda name: {"type": "conversation.item.create", "item": {**TEXT, "id": name}}
    ),
    st.tuples(
        st.sampled_from(
            ["conversation.item.delete", "conversation.item.retrieve", "conversation.item.truncate"]
        ),
        st.integers(-1, 3),
        st.integers(0, 900),
    ).map(lambda a: {"type": a[0], "at": a[1], "content_index": 0, "audio_end_ms": a[2]}),
    st.sampled_from([None, {"conversation": "none"}, {"input": [TEXT]}, {"max_output_tokens": 2}]).map(
        lambda response: {"type": "response.create", "response": response}
    ),
    st.sampled_from(
        [
            {"turn_detection": None},
            {"turn_detection": {"type": "server_vad", "silence_duration_ms": 200}},
            {"transcription": {"model": "demo"}},
            {"format": {"type": "audio/pcmu"}},
        ]
    ).map(lambda heard: {"type": "session.update", "session": {"audio": {"input": heard}}}),
    st.sampled_from(sorted(HANDLERS)).map(lambda name: {"type": name}),
    st.tuples(
        st.sampled_from(sorted(HANDLERS)),
        st.dictionaries(
            st.sampled_from(
                [
                    "session",
                    "audio",
                    "item",
                    "item_id",
                    "response",
                    "audio_end_ms",
                    "previous_item_id",
                    "response_id",
                ]
            ),
            ANYTHING,
        ),
    ).map(lambda pair: {"type": pair[0], **pair[1]}),
    st.integers(1, 30).map(lambda steps: steps),
)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(st.lists(EVENTS, min_size=1, max_size=14))
def test_any_order_of_events_is_answered(omni: muomni.Omni, events: list[Any]) -> None:
    """Numbers are steps of the engine. Nothing crashes, everything is answered, every response ends once."""
    client = Client(omni)
    for event in events:
        if isinstance(event, int):
            for _ in range(event):
                client.host.step()
            continue
        if "at" in event and client.session.items:
            event = {
                **event,
                "item_id": list(client.session.items)[event["at"] % len(client.session.items)].id,
            }
        waits = bool(client.session.replies.wanted is None and client.session.replies.running)
        answered = client.send(event["type"], **{k: v for k, v in event.items() if k != "type"})
        if event["type"] not in ("input_audio_buffer.append", "response.create") or (
            event["type"] == "response.create" and not waits
        ):
            assert answered, event
    client.host.finish()
    created = [e["response"]["id"] for e in client.named("response.created")]
    done = [e["response"]["id"] for e in client.named("response.done")]
    assert sorted(created) == sorted(done) and len(set(done)) == len(done)
    assert not client.session.replies.running
    client.send(
        "session.update",
        session={"audio": {"input": {"turn_detection": None}}, "output_modalities": ["text"]},
    )
    client.write("Hello!")
    client.send("response.create")
    client.host.finish()
    assert client.last("response.done")["response"]["status"] in ("completed", "incomplete")


def test_a_full_conversation_says_so_and_goes_on(omni: muomni.Omni, monkeypatch: pytest.MonkeyPatch) -> None:
    """Speech, and replies, that find no room are no end of the session."""
    monkeypatch.setattr("muomni.serve.realtime.item_list.MOST_ITEMS", 2)
    client = Client(omni)
    client.write("Hello!")
    client.write("Are you there?")
    client.send("response.create")
    assert client.last("error")["error"]["code"] == "too_many_items"
    assert not client.host.running
    before = len(client.named("error"))
    client.say()
    assert len(client.named("error")) == before + 1 and not client.host.running
    client.send("conversation.item.delete", item_id=next(iter(client.session.items)).id)
    client.send("response.create")
    client.host.finish()
    assert client.last("response.done")["response"]["status"] == "completed"


def test_texts_and_pictures_of_a_conversation_are_bounded(
    omni: muomni.Omni, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("muomni.serve.realtime.item_list.MOST_GIVEN_BYTES", 20)
    client = Client(omni)
    client.write("a" * 15)
    client.write("b" * 6)
    assert client.last("error")["error"]["code"] == "conversation_too_large"
    client.send("conversation.item.delete", item_id=next(iter(client.session.items)).id)
    client.write("b" * 6)
    assert len(client.session.items) == 1


def test_minutes_that_come_at_once_are_decoded_little_by_little(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    decode = AudioFormat.decode

    def counted(self: AudioFormat, data: bytes | memoryview) -> np.ndarray:
        sizes.append(len(data))
        return decode(self, data)

    sound = (np.random.default_rng(1).standard_normal(24_000 * 60) * 3000).astype("<i2").tobytes()
    heard = []
    for piece in (len(sound), 4800):
        incoming = IncomingAudio(None, None, AudioFormat("audio/pcm"))
        for at in range(0, len(sound), piece):
            incoming.push(sound[at : at + piece])
            if piece < len(sound):
                incoming.work()
        with monkeypatch.context() as patch:
            patch.setattr(AudioFormat, "decode", counted)
            while incoming.waiting:
                incoming.work()
        heard.append(incoming.take(0, incoming.end))
    assert max(sizes) <= DECODED_BYTES < len(sound)
    np.testing.assert_allclose(heard[0], heard[1], atol=1e-5)
