"""``/v1/realtime`` over the network: OpenAI's own client, and plain websockets."""

from __future__ import annotations

import asyncio
import base64
import json
import random
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import openai
import pytest
import soundfile
import websockets
from openai.types.realtime import RealtimeServerEvent
from pydantic import TypeAdapter
from tests.serve.running import address_of, running

import muomni
from muomni.live.rate import resampled
from muomni.serve.realtime.audio import AudioFormat
from muomni.serve.realtime.session import HANDLERS
from muomni.serve.server import Server
from muomni.serve.settings import Settings

SAMPLES = Path(__file__).parents[2] / "checkpoints" / "demo" / "samples"
PCM = AudioFormat("audio/pcm")
EVENT: TypeAdapter[Any] = TypeAdapter(RealtimeServerEvent)
LONG = "What are the months?"
pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running(Settings(port=0, threads=1)) as started:
        yield started


@pytest.fixture(scope="module")
def address(server: Server) -> str:
    return address_of(server)


def spoken(name: str, silence_s: float = 1.0) -> bytes:
    samples, rate = soundfile.read(SAMPLES / name, dtype="float32")
    quiet = np.zeros(int(silence_s * 24_000), np.float32)
    return PCM.encode(np.concatenate([resampled(samples, rate, 24_000), quiet]))


@asynccontextmanager
async def official(address: str, **options: Any) -> AsyncIterator[Any]:
    """A session of OpenAI's own client."""
    client = openai.AsyncOpenAI(base_url=f"http://{address}/v1", api_key=options.pop("api_key", "none"))
    async with client.realtime.connect(model="muomni") as connection:
        yield connection


async def until(connection: Any, name: str) -> list[Any]:
    """Events up to the first of this name."""
    events = []
    async with asyncio.timeout(60):
        async for event in connection:
            events.append(event)
            EVENT.validate_python(event.to_dict())  # as OpenAI's own types have it
            if event.type == name:
                return events
    raise AssertionError(f"no {name}")


async def test_the_official_client_asks_aloud(address: str) -> None:
    async with official(address) as connection:
        created = (await until(connection, "session.created"))[-1]
        assert created.session.audio.input.turn_detection.type == "server_vad"
        data = spoken("question.wav")
        for at in range(0, len(data), 4800):
            await connection.input_audio_buffer.append(audio=base64.b64encode(data[at : at + 4800]).decode())
        events = await until(connection, "response.done")
    response = events[-1].response
    assert response.status == "completed"
    with muomni.Omni.load(device="cpu", threads=1) as omni:
        expected = omni.generate("Answer the question.", audio=SAMPLES / "question.wav").text
    assert response.output[0].content[0].transcript == expected
    sound = b"".join(base64.b64decode(e.delta) for e in events if e.type == "response.output_audio.delta")
    assert np.abs(PCM.decode(sound)).max() > 0.05


async def test_the_official_client_writes_and_has_several_turns(address: str) -> None:
    async with official(address) as connection:
        await connection.session.update(session={"type": "realtime", "output_modalities": ["text"]})
        replies = []
        for text in ("My name is Ada.", "What is my name?"):
            item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
            await connection.conversation.item.create(item=item)
            await connection.response.create()
            replies.append((await until(connection, "response.done"))[-1].response.output[0].content[0].text)
    assert "Ada" in replies[1]


async def test_speech_interrupts_and_the_client_truncates(address: str, server: Server) -> None:
    async with official(address) as connection:
        item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": LONG}]}
        await connection.conversation.item.create(item=item)
        await connection.response.create()
        begun = await until(connection, "response.output_audio.delta")
        reply = next(event for event in begun if event.type == "response.output_item.added").item.id
        data = spoken("days.wav")
        await connection.input_audio_buffer.append(audio=base64.b64encode(data).decode())
        started = await until(connection, "input_audio_buffer.speech_started")
        await connection.conversation.item.truncate(item_id=reply, content_index=0, audio_end_ms=100)
        events = [*started, *await until(connection, "conversation.item.truncated")]
        while [event.type for event in events].count("response.done") < 2:
            events += await until(connection, "response.done")
        done = [event.response for event in events if event.type == "response.done"]
        assert done[0].status in ("cancelled", "completed") and done[1].status == "completed"
        assert "Tuesday" in done[1].output[0].content[0].transcript
    await settled(server)


async def test_a_session_is_counted_as_requests_are(address: str, server: Server) -> None:
    def figure(name: str, **labels: str) -> float:
        return server.state.metrics.registry.get_sample_value(f"muomni:{name}", labels or None) or 0.0

    here = {"handler": "/v1/realtime"}
    names = ("audio_ttfp_seconds_count", "audio_rtf_count", "audio_duration_seconds_total")
    before = [figure(name) for name in names]
    frames = figure("websocket_frames_total", direction="in", **here)
    async with official(address) as connection:
        item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello!"}]}
        await connection.conversation.item.create(item=item)
        await connection.response.create()
        await until(connection, "response.done")
        assert figure("num_websocket_connections", **here) >= 1
        assert figure("websocket_frames_total", direction="in", **here) == frames + 2
        assert figure("websocket_frames_total", direction="out", **here) > 8
    assert all(figure(name) > old for name, old in zip(names, before, strict=True))
    interrupted = figure("barge_ins_total")
    async with official(address) as connection:
        item["content"][0]["text"] = LONG  # type: ignore[index]
        await connection.conversation.item.create(item=item)
        await connection.response.create()
        await until(connection, "response.output_audio.delta")
        await connection.input_audio_buffer.append(audio=base64.b64encode(spoken("days.wav")).decode())
        done = (await until(connection, "response.done"))[-1].response
        assert figure("barge_ins_total") - interrupted == (done.status == "cancelled")


async def settled(server: Server) -> None:
    """Nothing runs, soon."""
    async with asyncio.timeout(5):
        while server.state.engine.running or server.state.engine.waiting:
            await asyncio.sleep(0.01)


async def test_a_client_that_leaves_frees_its_slot(address: str, server: Server) -> None:
    for _ in range(3):
        async with official(address) as connection:
            item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": LONG}]}
            await connection.conversation.item.create(item=item)
            await connection.response.create()
            await until(connection, "response.created")
    await settled(server)


async def test_frames_of_any_kind(address: str, server: Server) -> None:
    async with websockets.connect(f"ws://{address}/v1/realtime") as socket:
        assert json.loads(await socket.recv())["type"] == "session.created"
        for frame in (
            "",
            "{",
            "[" * 50_000,
            b"\xff\x00",
            "null",
            '{"type":"response.create"}',
            "\u0000",
            "1e999",
        ):
            await socket.send(frame)
            assert json.loads(await asyncio.wait_for(socket.recv(), 20))["type"] == "error"
        await socket.send('{"type":"input_audio_buffer.clear"}')
        assert json.loads(await socket.recv())["type"] == "input_audio_buffer.cleared"
    await settled(server)


async def test_another_model_is_refused(address: str) -> None:
    async with websockets.connect(f"ws://{address}/v1/realtime?model=gpt-realtime") as socket:
        assert json.loads(await socket.recv())["error"]["code"] == "model_not_found"
        with pytest.raises(websockets.ConnectionClosed):
            await socket.recv()


async def test_pages_of_strangers_are_refused(address: str) -> None:
    with pytest.raises(websockets.InvalidStatus):
        async with websockets.connect(f"ws://{address}/v1/realtime", origin="https://example.org"):  # type: ignore[arg-type]
            pass
    async with websockets.connect(f"ws://{address}/v1/realtime", origin=f"http://{address}") as socket:  # type: ignore[arg-type]
        assert json.loads(await socket.recv())["type"] == "session.created"


async def test_browsers_give_their_key_as_a_subprotocol() -> None:
    with running(Settings(port=0, threads=1, api_keys=("secret",))) as guarded:
        address = address_of(guarded)
        protocols = ["realtime", "openai-insecure-api-key.secret"]
        async with websockets.connect(f"ws://{address}/v1/realtime", subprotocols=protocols) as socket:  # type: ignore[arg-type]
            assert socket.subprotocol == "realtime"
            assert json.loads(await socket.recv())["type"] == "session.created"
        for wrong in (["realtime"], ["realtime", "openai-insecure-api-key.other"]):
            with pytest.raises(websockets.InvalidStatus):
                async with websockets.connect(f"ws://{address}/v1/realtime", subprotocols=wrong):  # type: ignore[arg-type]
                    pass
        async with official(address, api_key="secret") as connection:
            assert (await until(connection, "session.created"))[-1].session.id


async def test_many_conversations_at_once(address: str, server: Server) -> None:
    async def one() -> str:
        async with official(address) as connection:
            await connection.input_audio_buffer.append(audio=base64.b64encode(spoken("days.wav")).decode())
            return str(
                (await until(connection, "response.done"))[-1].response.output[0].content[0].transcript
            )

    replies = await asyncio.gather(*(one() for _ in range(8)))
    assert len(set(replies)) == 1 and "Tuesday" in replies[0]
    await settled(server)


VALUES = (
    None,
    1,
    -1,
    1e300,
    True,
    "",
    "x",
    "A" * 3000,
    [],
    [[[]]],
    {},
    {"type": "message"},
    {"audio": {"input": None}},
)
FIELDS = (
    "session",
    "audio",
    "item",
    "item_id",
    "response",
    "audio_end_ms",
    "previous_item_id",
    "content_index",
)


async def test_malformed_frames_and_clients_that_vanish(address: str, server: Server) -> None:
    """Two thousand frames that mean nothing, and connections that break in the middle of a reply."""

    async def torment(seed: int) -> None:
        draw = random.Random(seed)
        socket = await websockets.connect(f"ws://{address}/v1/realtime", max_size=None)
        answers: list[dict[str, Any]] = []

        async def read() -> None:
            async for message in socket:
                answers.append(json.loads(message))

        reading = asyncio.create_task(read())
        for _ in range(500):
            event: dict[str, Any] = {name: draw.choice(VALUES) for name in FIELDS if draw.random() < 0.3}
            frame: str | bytes = json.dumps({"type": draw.choice(sorted(HANDLERS)), **event})
            if draw.random() < 0.1:
                frame = frame[: draw.randrange(len(frame))]
            await socket.send(draw.randbytes(50) if draw.random() < 0.05 else frame)
        await socket.send('{"type": "response.cancel", "response_id": "none", "event_id": "last"}')
        async with asyncio.timeout(60):
            while not answers or answers[-1].get("error", {}).get("event_id") != "last":
                await asyncio.sleep(0.01)
        assert len(answers) > 400
        item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": LONG}]}
        await socket.send(json.dumps({"type": "conversation.item.create", "item": item}))
        await socket.send('{"type": "response.create"}')
        await asyncio.sleep(draw.random() * 0.2)
        socket.transport.abort()
        reading.cancel()

    await asyncio.gather(*(torment(seed) for seed in range(4)))
    await settled(server)
    async with official(address) as connection:
        await until(connection, "session.created")


async def test_a_session_that_waits_holds_nothing(address: str, server: Server) -> None:
    before = threading.active_count()
    sockets = [await websockets.connect(f"ws://{address}/v1/realtime") for _ in range(30)]
    assert server.state.engine.running == 0 and threading.active_count() <= before + 1
    begun = time.perf_counter()
    async with official(address) as connection:
        await until(connection, "session.created")
    assert time.perf_counter() - begun < 5
    for socket in sockets:
        await socket.close()
