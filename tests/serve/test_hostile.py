"""Clients that mean harm: what they hold is small, what they stop goes on, and the answer is no 500."""

from __future__ import annotations

import base64
import http.client
import io
import json
import socket
import struct
import time
import zlib
from collections.abc import Iterator
from contextlib import suppress

import numpy as np
import openai
import pytest
import soundfile
from pydantic import ValidationError
from tests.serve.conftest import Running, serving
from tests.serve.test_load import CHAT, SPEECH, ended, post, wait_for_connections

from muomni.engine.thread import QueueFullError
from muomni.media.wav import wav_bytes
from muomni.serve.connections import MOST_FRAGMENTS, MOST_PINGS, STEADY_BYTES
from muomni.serve.json_size import MOST_PARTS
from muomni.serve.openai.recording import Recordings
from muomni.serve.openai.response_types import ResponseRequest
from muomni.serve.openai.types import MOST_STOPS, ChatRequest
from muomni.serve.settings import Limits, Settings

HOST = "host: localhost\r\n"
UPGRADE = (
    "upgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-version: 13\r\n"
    "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
MANY = "".join(f"x-{number}: a\r\n" for number in range(200))
MORE, TEXT, CLOSE, PING = 0, 1, 8, 9


@pytest.fixture(scope="module")
def short() -> Iterator[Running]:
    """Short times, and little room for bodies."""
    limits = Limits(idle_s=0.5, slow_reader_s=0.5, buffered_speech_s=2.0, bodies_bytes=1_000_000)
    with serving(Settings(slots=2, queue=8, limits=limits)) as running:
        yield running


@pytest.fixture
def watched(running: Running) -> Iterator[Running]:
    """The shared server; no connection of the test is left."""
    before = len(running.server.server_state.connections)
    yield running
    until = time.perf_counter() + 10
    while len(running.server.server_state.connections) > before:
        assert time.perf_counter() < until
        time.sleep(0.001)


def connected(running: Running, text: str = "") -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", running.port), 10)
    connection.sendall(text.encode("latin-1"))
    return connection


def websocket(running: Running, path: str = "/v1/realtime", head: str = "") -> socket.socket:
    """An open websocket, without a library that would not do what follows."""
    connection = connected(running, f"GET {path} HTTP/1.1\r\n{HOST}{UPGRADE}{head}\r\n")
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += connection.recv(1)
    assert answer.startswith(b"HTTP/1.1 101"), answer
    assert b"extensions" not in answer.lower()
    return connection


def frame(kind: int, data: bytes, last: bool = True, reserved: int = 0) -> bytes:
    assert len(data) < 126
    return bytes([128 * last | reserved | kind, 128 | len(data), 0, 0, 0, 0]) + data


def closing_code(connection: socket.socket) -> int:
    """Of the close frame, which comes after others."""
    connection.settimeout(10)
    with connection.makefile("rb") as stream:
        while True:
            kind, size = stream.read(2)
            if size == 126:
                size = int.from_bytes(stream.read(2), "big")
            data = stream.read(size)
            if kind & 15 == CLOSE:
                return int.from_bytes(data[:2], "big")


@pytest.mark.parametrize(
    "request_",
    [
        f"GET /v1/realtime HTTP/1.1\r\n{HOST}{UPGRADE}x-long: {'a' * 9000}\r\n\r\n",
        f"GET /v1/realtime HTTP/1.1\r\n{HOST}{UPGRADE}{MANY}\r\n",
        f"POST /v1/realtime HTTP/1.1\r\n{HOST}{UPGRADE}\r\n",
        f"GET /v1/realtime HTTP/1.1\r\n{HOST}{UPGRADE}content-length: 3\r\n\r\nabc",
    ],
)
def test_handshakes_that_are_none_are_refused_and_closed(watched: Running, request_: str) -> None:
    with connected(watched, request_) as connection:
        assert ended(connection, 5).startswith(b"HTTP/1.1 4")


def test_an_origin_that_is_no_address_is_refused(running: Running) -> None:
    for head in (
        "POST /v1/responses HTTP/1.1\r\ncontent-length: 0\r\nconnection: close\r\n",
        f"GET /v1/realtime HTTP/1.1\r\n{UPGRADE}",
    ):
        with connected(running, f"{head}{HOST}origin: http://[\r\n\r\n") as connection:
            assert connection.recv(100).startswith(b"HTTP/1.1 403")


def test_a_model_of_many_bytes_is_refused_on_a_websocket_as_well(watched: Running) -> None:
    with websocket(watched, "/v1/realtime?model=" + "%E2%82%AC" * 110) as connection:
        assert closing_code(connection) == 1008


@pytest.mark.parametrize("value", ["[]", "1", '{"role":"user","content":"a"}'])
def test_json_of_very_many_values_is_refused_unread(running: Running, value: str) -> None:
    body = f'{{"messages":[{value}{f",{value}" * MOST_PARTS}]}}'
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=30)
    connection.request("POST", "/v1/chat/completions", body, {"content-type": "application/json"})
    response = connection.getresponse()
    assert response.status == 413 and "values of JSON" in json.loads(response.read())["error"]["message"]
    connection.close()


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (ChatRequest, {"messages": [[]] * 1000}),
        (ChatRequest, {"messages": [{"role": "user", "content": [{}] * 1000}]}),
        (ChatRequest, {"messages": [{"role": "user", "content": "a"}], "stop": [1] * 1000}),
        (ResponseRequest, {"input": [[]] * 1000}),
        (ResponseRequest, {"input": [{"content": [1] * 1000}]}),
    ],
)
def test_of_many_errors_the_first_is_enough(kind: type[ChatRequest | ResponseRequest], body: object) -> None:
    with pytest.raises(ValidationError) as refusal:
        kind.model_validate(body)
    assert len(refusal.value.errors()) < 5


def test_many_stop_strings_are_refused(running: Running) -> None:
    with post(running, "/v1/chat/completions", {**CHAT, "stop": ["a"] * (MOST_STOPS + 1)}) as connection:
        assert connection.recv(100).startswith(b"HTTP/1.1 400")


def test_events_of_very_many_values_are_refused_and_the_session_goes_on(running: Running) -> None:
    from websockets.sync.client import connect

    with connect(f"ws://127.0.0.1:{running.port}/v1/realtime") as session:
        session.recv()
        session.send('{"type":"session.update","x":[' + "[]," * MOST_PARTS + "[]]}")
        assert json.loads(session.recv())["error"]["code"] == "event_too_large"
        session.send('{"type":"input_audio_buffer.clear"}')
        assert json.loads(session.recv())["type"] == "input_audio_buffer.cleared"


def test_text_far_beyond_the_context_is_refused_before_it_is_read(running: Running) -> None:
    for messages in ([1_000_001], [600_000, 600_000]):
        body = {"messages": [{"role": "user", "content": "a" * size} for size in messages]}
        with post(running, "/v1/chat/completions", body) as connection:
            answer = connection.recv(2000)
            assert answer.startswith(b"HTTP/1.1 400") and b"context_length_exceeded" in answer


def dripped(connection: socket.socket, piece: bytes, seconds: float) -> float:
    """Send a little every 50 ms; after how many seconds the other side has closed."""
    start = time.perf_counter()
    connection.settimeout(0.001)
    while (passed := time.perf_counter() - start) < seconds:
        try:
            connection.sendall(piece)
            if connection.recv(65536) == b"":
                return passed
        except TimeoutError:
            pass
        except OSError:
            return passed
        time.sleep(0.05)
    return passed


LONG_BODY = (
    f"POST /v1/responses HTTP/1.1\r\n{HOST}content-type: application/json\r\ncontent-length: 900000\r\n\r\n"
)


@pytest.mark.parametrize(
    ("begun", "piece"),
    [
        ("GET /health HTTP/1.1\r\n", b"x: y\r\n"),
        ("", b"\r\n"),
        (f"GET /health HTTP/1.1\r\n{HOST}\r\n", b"\r\n"),
        (LONG_BODY, b" "),
        (LONG_BODY.replace("localhost", "other.example"), b" "),
    ],
)
def test_requests_that_come_in_drops_are_closed(short: Running, begun: str, piece: bytes) -> None:
    with connected(short, begun) as connection:
        assert dripped(connection, piece, 10) < 5
    wait_for_connections(short, 0)


def test_a_body_that_comes_steadily_has_its_time(short: Running) -> None:
    with connected(short, LONG_BODY) as connection:
        assert dripped(connection, b" " * (STEADY_BYTES // 5), 1.2) >= 1.2


def test_a_reader_that_takes_nothing_gains_no_time_by_sending(short: Running) -> None:
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect(("127.0.0.1", short.port))
    body = json.dumps(SPEECH).encode()
    head = f"POST /v1/audio/speech HTTP/1.1\r\n{HOST}content-type: application/json\r\ncontent-length: {len(body)}\r\n"
    connection.sendall(head.encode() + b"\r\n" + body)
    until = time.perf_counter() + 20
    with suppress(OSError):
        while time.perf_counter() < until:
            connection.sendall(b"\r\n")
            time.sleep(0.05)
    assert time.perf_counter() < until
    connection.close()
    short.idle_within(5)
    wait_for_connections(short, 0)


def test_bodies_of_all_requests_together_are_bounded(short: Running) -> None:
    held = [connected(short, LONG_BODY + " " * 400_000) for _ in range(2)]
    with connected(short, LONG_BODY + " " * 400_000) as one_more:
        one_more.settimeout(10)
        assert one_more.recv(100).startswith(b"HTTP/1.1 429")
    for connection in held:
        connection.close()
    wait_for_connections(short, 0)
    with post(short, "/v1/chat/completions", CHAT) as after:
        assert after.recv(100).startswith(b"HTTP/1.1 200")


def test_messages_of_all_websockets_that_have_begun_are_bounded(short: Running) -> None:
    begun = bytes([128 | TEXT, 128 | 127]) + (900_000).to_bytes(8, "big") + bytes(4) + b" " * 400_000
    held = [websocket(short) for _ in range(2)]
    for connection in held:
        connection.sendall(begun)
    with websocket(short) as one_more:
        one_more.sendall(begun)
        assert closing_code(one_more) == 1013
    for connection in held:
        connection.close()
    wait_for_connections(short, 0)
    with websocket(short) as after:
        after.sendall(frame(TEXT, b"{}"))
        assert b"session.created" in after.recv(2000)


def flood(connection: socket.socket, data: bytes, count: int) -> None:
    with suppress(OSError):  # it is closed meanwhile
        for _ in range(count):
            connection.sendall(data)


@pytest.mark.parametrize(
    ("first", "then", "count", "code"),
    [
        (b"", frame(PING, b"x" * 100), 2 * MOST_PINGS, 1008),
        (frame(TEXT, b"{", last=False), frame(MORE, b"", last=False) * 100, MOST_FRAGMENTS // 100 + 1, 1009),
        (b"", frame(TEXT, b"abc", reserved=64), 1, 1002),  # compressed, which was not agreed on
    ],
)
def test_floods_of_small_frames_end_a_websocket(
    watched: Running, first: bytes, then: bytes, count: int, code: int
) -> None:
    with websocket(watched, head="sec-websocket-extensions: permessage-deflate\r\n") as connection:
        connection.sendall(first)
        flood(connection, then, count)
        assert closing_code(connection) == code


def test_others_are_answered_beside_a_flood_of_events(running: Running) -> None:
    with websocket(running) as connection:
        connection.settimeout(5)
        event = frame(TEXT, b'{"type":"input_audio_buffer.append","audio":"AAAA"}')
        flood(connection, event * 5000, 1)
        start = time.perf_counter()
        client = http.client.HTTPConnection("127.0.0.1", running.port, timeout=30)
        client.request("GET", "/health")
        assert client.getresponse().status == 200
        assert time.perf_counter() - start < 2
        client.close()


def test_recordings_are_counted_until_they_are_let_go() -> None:
    recordings = Recordings(most_bytes=100)
    data = wav_bytes(np.zeros(1600, np.float32), 16_000)
    held = recordings.load_now(data, 16_000)
    with pytest.raises(QueueFullError):
        recordings.load_now(data, 16_000)
    del held
    assert len(recordings.load_now(data, 16_000)) == 1600
    recordings.close()


def picture(width: int, height: int) -> bytes:
    """A black PNG that takes a thousandth of its pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    pixels = zlib.compress(bytes((1 + width // 8) * height), 9)
    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def test_pictures_that_unfold_are_refused(running: Running) -> None:
    url = f"data:image/png;base64,{base64.b64encode(picture(40_000, 20_000)).decode()}"
    body = {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]}
    with post(running, "/v1/chat/completions", body) as connection:
        answer = connection.recv(2000)
        assert answer.startswith(b"HTTP/1.1 400") and b"800000000 pixels" in answer, answer


def test_recordings_that_unfold_are_refused(running: Running) -> None:
    file = io.BytesIO()
    soundfile.write(file, np.zeros(1000 * 3700, np.int16), 1000, format="FLAC")
    assert len(file.getvalue()) < 50_000
    with pytest.raises(openai.BadRequestError, match="at most 3600 s"):
        running.client().audio.transcriptions.create(model="demo", file=("a.flac", file.getvalue()))
