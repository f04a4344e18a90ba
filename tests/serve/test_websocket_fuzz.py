"""Frames that no client would send, to Realtime and to Live: each is answered or ignored, and nothing dies."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import random
import time
from collections.abc import Iterator
from typing import Any

import pytest
import websockets
from tests.serve.running import address_of, running
from tests.serve.test_malformed import STRANGE, places

from muomni.serve.realtime import live, session
from muomni.serve.server import Server
from muomni.serve.settings import Settings

FRAMES = int(os.environ.get("MUOMNI_FUZZ_FRAMES", "200"))
"""Of each interface; more are asked for by hand."""
SOUND = base64.b64encode(bytes(480)).decode()
MESSAGE = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello!"}]}
FORMAT = {"type": "audio/pcm", "rate": 16_000}
VALID: dict[str, list[dict[str, Any]]] = {
    "/v1/realtime": [
        {
            "type": "session.update",
            "session": {
                "instructions": "Be brief.",
                "output_modalities": ["text"],
                "max_output_tokens": 4,
                "audio": {
                    "input": {"turn_detection": {"type": "server_vad", "threshold": 0.5}},
                    "output": {"format": {"type": "audio/pcmu"}, "speed": 1.5},
                },
            },
        },
        {"type": "input_audio_buffer.append", "audio": SOUND},
        {"type": "conversation.item.create", "item": MESSAGE, "previous_item_id": "root"},
        {"type": "response.create", "response": {"max_output_tokens": 2, "output_modalities": ["text"]}},
        {
            "type": "response.create",
            "response": {"conversation": "none", "input": [MESSAGE], "max_output_tokens": 2},
        },
        {"type": "conversation.item.truncate", "item_id": "x", "content_index": 0, "audio_end_ms": 5},
        *({"type": name, "item_id": "x", "response_id": "x"} for name in session.HANDLERS),
    ],
    "/v1/live/sessions": [
        {
            "type": "session.start",
            "session": {
                "model": "muomni",
                "audio": {"format": FORMAT},
                "input": [{"role": "user", "content": [{"text": "Hello!"}]}],
            },
        },
        {"type": "session.input_audio.append", "audio": SOUND},
        *({"type": name} for name in live.HANDLERS if name != "session.close"),
    ],
}
RAW = [
    "", "{", "NaN", "[" * 50_000, '{"type":' * 5000, '"' + "\\ud800" * 9, '{"type":"response.create","response":NaN}',
    '{"type":"\\ud800"}', '{"type":"conversation.item.delete","item_id":"\\ud800"}', '{"type":1e999}', "9" * 5000,
    '{"type":"conversation.item.truncate","item_id":"x","audio_end_ms":-Infinity}', b"\xff\xfe\x00", b"{\xc3",
    '{"type":"session.update","session":{"audio":{"output":{"speed":NaN}}}}',
    '{"type":"input_audio_buffer.append","audio":"AAA"}', '{"type":"input_audio_buffer.append","audio":"AA=="}',
]  # fmt: skip


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running(Settings(port=0, threads=1)) as started:
        yield started


def frame(draw: random.Random, path: str) -> str | bytes:
    """A valid event, changed in one or two places, cut, or none at all."""
    if draw.random() < 0.15:
        return draw.choice(RAW)
    made: dict[str, Any] = json.loads(json.dumps(draw.choice(VALID[path])))
    for _ in range(draw.randint(0, 2)):
        if not (found := places(made)):
            break
        *way, last = draw.choice(found)
        holder: Any = made
        for key in way:
            holder = holder[key]
        if draw.random() < 0.3:
            del holder[last]
        else:
            holder[last] = json.loads(json.dumps(draw.choice(STRANGE)))
    data = json.dumps(made)
    if draw.random() < 0.1:
        data = data[: draw.randrange(len(data) + 1)]
    return data.encode()[: draw.randrange(len(data) + 1)] if draw.random() < 0.05 else data


async def torment(address: str, path: str, seed: int, count: int) -> None:
    """Send frames to one connection; in the end it must still answer."""
    draw = random.Random(seed)
    async with (
        websockets.connect(f"ws://{address}{path}", max_size=None, max_queue=None) as socket,
        asyncio.timeout(60),
    ):
        for _ in range(count):
            await socket.send(frame(draw, path))
        await socket.send(json.dumps({"type": "nothing", "event_id": "last"}))
        while True:
            answer = json.loads(await socket.recv())
            error = answer.get("error") or {}
            if "last" in (error.get("event_id"), error.get("client_event_id")):
                return


@pytest.mark.parametrize("path", sorted(VALID))
def test_strange_frames_end_no_session(server: Server, path: str) -> None:
    address = address_of(server)
    for seed in range(FRAMES // 100):
        asyncio.run(torment(address, path, seed, 100))
        assert server.state.ready
    figures = server.state.metrics
    until = time.monotonic() + 10  # the server hears of the last one's end after its client does
    while figures.websockets.labels(path)._value.get():
        assert time.monotonic() < until
        time.sleep(0.01)
    assert figures.frames.labels(path, "in")._value.get() >= FRAMES
