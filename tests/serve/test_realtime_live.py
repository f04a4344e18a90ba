"""``/v1/live/sessions``: OpenAI's own Live client, and the session without a network."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import openai
import pytest
import soundfile
from openai.types.live import ServerEvent
from pydantic import TypeAdapter
from tests.serve.realtime_host import SteppedHost, loud
from tests.serve.running import address_of, running

import muomni
from muomni.serve.realtime.audio import AudioFormat
from muomni.serve.realtime.live import LiveSession
from muomni.serve.server import Server
from muomni.serve.settings import Settings

SAMPLES = Path(__file__).parents[2] / "checkpoints" / "demo" / "samples"
PCM16 = AudioFormat("audio/pcm", 16_000)
EVENT: TypeAdapter[Any] = TypeAdapter(ServerEvent)
START = {"model": "muomni", "audio": {"format": {"type": "audio/pcm", "rate": 16_000}}}
pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running(Settings(port=0, threads=1)) as started:
        yield started


@pytest.fixture(scope="module")
def omni() -> Iterator[muomni.Omni]:
    with muomni.Omni.load(device="cpu", threads=1) as loaded:
        yield loaded


def spoken(name: str) -> bytes:
    samples, rate = soundfile.read(SAMPLES / name, dtype="float32")
    assert rate == 16_000
    return PCM16.encode(np.concatenate([samples, np.zeros(16_000, np.float32)]))


class Client:
    """A Live session and what it has said."""

    def __init__(self, omni: muomni.Omni, **session: Any) -> None:
        self.host, self.events, self.ended, self.now = SteppedHost(omni), [], False, 0.0
        self.events: list[dict[str, Any]] = []
        self.session = LiveSession(
            self.host, self.events.append, loud, self.check, self.end, lambda: self.now
        )
        if session:
            self.send("session.start", session=session)

    def check(self, model: str) -> None:
        if model != "muomni":
            raise muomni.InputError(f"no model {model}")

    def end(self) -> None:
        self.ended = True

    def send(self, name: str, **fields: Any) -> list[dict[str, Any]]:
        before = len(self.events)
        self.session.receive(json.dumps({"type": name, **fields}))
        while self.session.work():
            pass
        return self.events[before:]

    def say(self, name: str) -> None:
        data = spoken(name)
        for at in range(0, len(data), 640):
            self.send("session.input_audio.append", audio=base64.b64encode(data[at : at + 640]).decode())

    def joined(self, name: str) -> str:
        return "".join(event["delta"] for event in self.events if event["type"] == name)


async def test_the_official_client_talks(server: Server) -> None:
    client = openai.AsyncOpenAI(base_url=f"http://{address_of(server)}/v1", api_key="none")
    async with client.live.connect() as connection:
        await connection.send({"type": "session.start", "session": START})
        events: list[Any] = []

        async def until(name: str) -> Any:
            async with asyncio.timeout(60):
                async for event in connection:
                    EVENT.validate_python(event.to_dict())
                    events.append(event)
                    if event.type == name:
                        return event
            raise AssertionError(name)

        started = await until("session.started")
        assert started.session.audio.format.rate == 16_000
        data = spoken("days.wav")
        for at in range(0, len(data), 3200):
            audio = base64.b64encode(data[at : at + 3200]).decode()
            await connection.send({"type": "session.input_audio.append", "audio": audio})
        await until("session.usage.updated")
        said = "".join(event.delta for event in events if event.type == "session.output_transcript.delta")
        assert said == "Tuesday comes after Monday."
        sound = b"".join(base64.b64decode(e.delta) for e in events if e.type == "session.output_audio.delta")
        assert np.abs(PCM16.decode(sound)).max() > 0.05
        if not any(event.type == "session.input_transcript.delta" for event in events):
            await until("session.input_transcript.delta")
        await connection.send({"type": "session.close", "event_id": "mine"})
        closed = await until("session.closed")
        assert closed.reason == "close_requested" and closed.client_event_id == "mine"
    assert server.state.engine.running == 0


async def test_speech_comes_at_the_pace_at_which_it_is_played(server: Server) -> None:
    """A Live client says nothing of what was heard: what was sent was."""
    client = openai.AsyncOpenAI(base_url=f"http://{address_of(server)}/v1", api_key="none")
    async with client.live.connect() as connection:
        start = {**START, "input": [{"role": "user", "content": [{"text": "Hello!"}]}]}
        await connection.send({"type": "session.start", "session": start})
        await connection.recv()
        audio = base64.b64encode(spoken("days.wav")).decode()
        await connection.send({"type": "session.input_audio.append", "audio": audio})
        first, last, sent = 0.0, 0.0, 0
        loop = asyncio.get_running_loop()
        while True:
            event = await asyncio.wait_for(connection.recv(), 60)
            if event.type == "session.output_audio.delta":
                first, last = first or loop.time(), loop.time()
                sent += len(base64.b64decode(event.delta)) // 2
            elif event.type == "session.usage.updated":
                break
        assert last - first > sent / 16_000 - 1.5 and sent > 16_000


async def test_who_interrupts_cuts_off_what_was_not_sent(omni: muomni.Omni) -> None:
    client = Client(omni, **START)
    client.say("days.wav")
    while sum(event["type"] == "session.output_audio.delta" for event in client.events) < 1:
        client.host.step()
    client.say("question.wav")
    client.host.finish()
    inner = client.session._inner
    assert inner is not None
    replies = [item for item in inner.items if item.role == "assistant"]
    assert replies[0].status == "incomplete" and len(replies[0].text) < len("Tuesday comes after Monday.")
    assert replies[1].status == "completed" and replies[1].text
    assert client.joined("session.output_transcript.delta").endswith(replies[1].text)


async def test_a_muted_session_hears_silence(omni: muomni.Omni) -> None:
    client = Client(omni, **START)
    assert [event["type"] for event in client.send("session.input_audio.mute")] == [
        "session.input_audio.muted"
    ]
    client.say("days.wav")
    client.host.finish()
    assert not client.joined("session.output_transcript.delta")
    client.send("session.input_audio.unmute")
    client.say("days.wav")
    client.host.finish()
    assert client.joined("session.output_transcript.delta") == "Tuesday comes after Monday."
    assert client.joined("session.input_transcript.delta") == "what day comes after monday "
    client.now = 7.0
    closed = client.send("session.close")[-1]
    assert closed["usage"]["seconds"] == 7 and client.ended


@pytest.mark.parametrize(
    "event",
    [
        {"type": "session.input_audio.append", "audio": "AAAA"},
        {"type": "session.close"},
        {"type": "session.start"},
        {"type": "session.start", "session": {"model": "gpt-live-1"}},
        {"type": "session.start", "session": {**START, "store": True}},
        {"type": "session.start", "session": {**START, "delegation": {"type": "client"}}},
        {
            "type": "session.start",
            "session": {**START, "audio": {"format": {"type": "audio/pcm", "rate": 8000}}},
        },
        {"type": "session.start", "session": {**START, "audio": 5}},
        {"type": "thinking.append"},
    ],
    ids=lambda event: json.dumps(event)[:60],
)
async def test_what_cannot_be_followed_is_an_error_event(omni: muomni.Omni, event: dict[str, Any]) -> None:
    client = Client(omni)
    answered = client.send(event["type"], event_id="mine", **{k: v for k, v in event.items() if k != "type"})
    assert [one["type"] for one in answered] == ["error"]
    assert answered[0]["error"]["client_event_id"] == "mine"
    assert client.send("session.start", session=START)[-1]["type"] == "session.started"
    assert client.send("session.start", session=START)[-1]["type"] == "error"
