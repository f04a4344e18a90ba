"""Clients that leave, wait, send nothing, read nothing, or come all at once."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import httpx2 as httpx
import openai
import pytest

from muomni.serve.server import allow_connections
from muomni.serve.settings import Limits, Settings

from .conftest import Running, serving
from .test_audio import sentences
from .test_security import figures

CHAT = {"model": "demo", "messages": [{"role": "user", "content": "Hello!"}]}
LONG_TEXT = "Seven green cups stand on the table. " * 100
SPEECH = {"model": "demo", "voice": "a", "input": LONG_TEXT, "response_format": "pcm"}
SOON_S = 1.0
"""A step takes milliseconds; the machine of the tests may be busy."""


def post(running: Running, path: str, body: Any) -> socket.socket:
    """Send a request of JSON and do not wait."""
    data = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {len(data)}"
    connection = socket.create_connection(("127.0.0.1", running.port), 30)
    connection.sendall(f"{head}\r\n\r\n".encode() + data)
    return connection


def wait_until_running(running: Running) -> None:
    until = time.perf_counter() + 20
    while not running.state.engine.running:
        assert time.perf_counter() < until
        time.sleep(0.001)


def wait_for_connections(running: Running, count: int) -> None:
    until = time.perf_counter() + 20
    while len(running.server.server_state.connections) != count:
        assert time.perf_counter() < until
        time.sleep(0.001)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", CHAT),
        ("/v1/chat/completions", {**CHAT, "n": 4}),
        ("/v1/chat/completions", {**CHAT, "stream": True}),
        ("/v1/chat/completions", {**CHAT, "modalities": ["text", "audio"]}),
        ("/v1/responses", {"model": "demo", "input": "Hello!"}),
        ("/v1/responses", {"model": "demo", "input": "Hello!", "stream": True}),
        ("/v1/audio/speech", SPEECH),
        ("/v1/audio/speech", {**SPEECH, "stream_format": "sse"}),
    ],
)
def test_a_client_that_leaves_gives_its_slot_back(slow: Running, path: str, body: Any) -> None:
    before = figures(slow).get('muomni:request_success_total{finished_reason="abort"}', 0)
    connection = post(slow, path, body)
    wait_until_running(slow)
    connection.close()
    slow.idle_within(0.05 + SOON_S)
    after = figures(slow)['muomni:request_success_total{finished_reason="abort"}']
    assert after - before == body.get("n", 1)


def test_a_transcript_whose_client_leaves_is_given_up(slow: Running) -> None:
    kind = "multipart/form-data; boundary=x"
    part = b'--x\r\ncontent-disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
    data = part + sentences(8) + b"\r\n--x--\r\n"
    head = f"POST /v1/audio/transcriptions HTTP/1.1\r\nhost: localhost\r\ncontent-type: {kind}\r\n"
    connection = socket.create_connection(("127.0.0.1", slow.port), 30)
    connection.sendall(f"{head}content-length: {len(data)}\r\n\r\n".encode() + data)
    wait_until_running(slow)
    connection.close()
    slow.idle_within(0.05 + SOON_S)
    time.sleep(0.2)
    slow.idle_within(0.01)  # no further piece was begun


def test_clients_that_are_killed_leave_nothing_behind(running: Running) -> None:
    code = f"""
import json, socket, time
body = json.dumps({{**{CHAT!r}, "stream": True, "modalities": ["text", "audio"]}}).encode()
head = f"POST /v1/chat/completions HTTP/1.1\\r\\nhost: localhost\\r\\ncontent-type: application/json\\r\\n"
head += f"content-length: {{len(body)}}\\r\\n\\r\\n"
held = []
for _ in range(8):
    held.append(socket.create_connection(("127.0.0.1", {running.port})))
    held[-1].sendall(head.encode() + body)
print("sent", flush=True)
time.sleep(60)
"""
    for _ in range(3):
        client = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
        assert client.stdout is not None and client.stdout.readline() == b"sent\n"
        os.kill(client.pid, signal.SIGKILL)
        client.wait()
        client.stdout.close()
        running.idle_within(10)
    assert running.client().chat.completions.create(**CHAT).choices[0].message.content  # type: ignore[call-overload]


def test_past_the_queue_requests_are_refused_with_a_time(slow: Running) -> None:
    most = slow.state.settings.slots + slow.state.settings.queue
    held = [post(slow, "/v1/chat/completions", CHAT) for _ in range(most + 4)]
    answers = [connection.recv(65536).decode() for connection in held]
    refused = [answer for answer in answers if answer.startswith("HTTP/1.1 429")]
    assert len(refused) >= 4
    assert all("retry-after-ms: 1000" in answer and "queue_full" in answer for answer in refused)
    assert sum(answer.startswith("HTTP/1.1 200") for answer in answers) == len(answers) - len(refused)
    for connection in held:
        connection.close()


def test_the_client_tries_again_when_it_is_told(slow: Running) -> None:
    most = slow.state.settings.slots + slow.state.settings.queue
    held = [post(slow, "/v1/chat/completions", CHAT) for _ in range(most)]
    while slow.state.engine.running + slow.state.engine.waiting < most:
        time.sleep(0.001)
    with pytest.raises(openai.RateLimitError):
        slow.client().chat.completions.create(**CHAT)  # type: ignore[call-overload]
    answer = slow.client(max_retries=4).chat.completions.create(**CHAT)  # type: ignore[call-overload]
    assert answer.choices[0].message.content
    for connection in held:
        connection.close()


@pytest.fixture(scope="module")
def impatient() -> Iterator[Running]:
    """Few connections, and short times."""
    limits = Limits(connections=40, idle_s=0.5, slow_reader_s=0.5, buffered_speech_s=2.0, grace_s=0.5)
    with serving(Settings(slots=2, queue=8, limits=limits)) as running:
        yield running


def ended(connection: socket.socket, seconds: float) -> bytes:
    """What still comes until the other side closes."""
    connection.settimeout(seconds)
    data = b""
    with suppress(ConnectionResetError):
        while piece := connection.recv(65536):
            data += piece
    return data


def test_connections_that_send_nothing_are_closed(impatient: Running) -> None:
    silent = [socket.create_connection(("127.0.0.1", impatient.port)) for _ in range(20)]
    half = post(impatient, "/v1/chat/completions", CHAT)  # a body that does not go on
    data = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: 500\r\n\r\n{"
    slow_body = socket.create_connection(("127.0.0.1", impatient.port))
    slow_body.sendall(data)
    assert b"200 OK" in half.recv(65536)
    for connection in [*silent, half, slow_body]:
        ended(connection, 5)
        connection.close()
    wait_for_connections(impatient, 0)


@pytest.mark.parametrize("line", [b"x-filler: " + b"x" * 1000 + b"\r\n", b"x" * 1000])
def test_heads_without_an_end_are_refused(running: Running, line: bytes) -> None:
    with socket.create_connection(("127.0.0.1", running.port), 10) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nhost: localhost\r\nx-begun: ")
        answer = b""
        with pytest.raises(OSError):  # it is closed; what the system's own buffers take is a few MB
            for _ in range(64_000):
                connection.sendall(line)
        with suppress(ConnectionResetError):
            answer = connection.recv(1000)
        assert answer[:12] in (b"", b"HTTP/1.1 431")


def test_more_connections_than_may_be_are_turned_away(impatient: Running) -> None:
    held = [socket.create_connection(("127.0.0.1", impatient.port)) for _ in range(40)]
    wait_for_connections(impatient, 40)
    one_more = socket.create_connection(("127.0.0.1", impatient.port))
    assert ended(one_more, 5).startswith(b"HTTP/1.1 503")
    for connection in [*held, one_more]:
        connection.close()
    wait_for_connections(impatient, 0)
    assert httpx.get(f"{impatient.url}/health").status_code == 200


def test_a_reader_that_takes_nothing_is_dropped(impatient: Running) -> None:
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect(("127.0.0.1", impatient.port))
    data = json.dumps(SPEECH).encode()
    head = "POST /v1/audio/speech HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    connection.sendall(f"{head}content-length: {len(data)}\r\n\r\n".encode() + data)
    wait_until_running(impatient)
    impatient.idle_within(20)
    wait_for_connections(impatient, 0)
    assert figures(impatient)['muomni:request_success_total{finished_reason="abort"}'] >= 1
    connection.close()


def test_a_slow_reader_gets_all_and_the_talker_waits_for_it(impatient: Running) -> None:
    body = {**SPEECH, "input": "Seven green cups stand on the table. " * 12}
    made = [impatient.client().audio.speech.create(**body).read()]
    with httpx.stream("POST", f"{impatient.url}/v1/audio/speech", json=body, timeout=60) as response:
        data = b""
        for piece in response.iter_bytes(48_000):
            data += piece
            time.sleep(0.02)
    assert data == made[0]


def test_other_requests_go_on_beside_a_thousand_silent_connections() -> None:
    with serving(Settings(slots=2, limits=Limits(connections=2000))) as running:
        silent = [socket.create_connection(("127.0.0.1", running.port)) for _ in range(1000)]
        start = time.perf_counter()
        for _ in range(5):
            assert running.client().chat.completions.create(**CHAT).choices  # type: ignore[call-overload]
        assert time.perf_counter() - start < 5
        for connection in silent:
            connection.close()


@pytest.mark.parametrize(("soft", "hard", "set_to"), [(256, 9000, 1256), (256, 500, 500), (5000, 9000, None)])
def test_the_files_that_may_be_open_are_enough_for_the_connections(
    monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, set_to: int | None
) -> None:
    resource = pytest.importorskip("resource")
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (soft, hard))
    monkeypatch.setattr(resource, "setrlimit", lambda kind, limits: asked.append(limits))
    allow_connections(1000)
    assert asked == ([] if set_to is None else [(set_to, hard)])


def test_a_stop_lets_replies_end_and_takes_no_more() -> None:
    with serving(Settings(slots=2, limits=Limits(grace_s=20.0))) as running:
        lines: list[str] = []
        body = {**CHAT, "stream": True, "modalities": ["text", "audio"]}
        with httpx.stream("POST", f"{running.url}/v1/chat/completions", json=body, timeout=60) as response:
            running.server.should_exit = True
            lines += [line for line in response.iter_lines() if line]
        assert lines[-1] == "data: [DONE]"
        running.thread.join(10)
        assert not running.thread.is_alive()
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{running.url}/health")


def test_a_stop_tells_those_that_it_does_not_wait_for() -> None:
    with serving(Settings(slots=2, limits=Limits(grace_s=0.1))) as running:
        body = {**SPEECH, "stream_format": "sse"}
        start = time.perf_counter()
        with httpx.stream("POST", f"{running.url}/v1/audio/speech", json=body, timeout=60) as response:
            running.server.should_exit = True
            lines = [line for line in response.iter_lines() if line]
        assert json.loads(lines[-1].removeprefix("data: "))["error"]["code"] == "stopping"
        running.thread.join(10)
        assert not running.thread.is_alive() and time.perf_counter() - start < 10


def test_an_engine_that_failed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> Any:
        raise RuntimeError("/secret/path")

    with serving(Settings(slots=2)) as running:
        monkeypatch.setattr(running.state.engine._engine, "step", broken)
        answer = httpx.post(f"{running.url}/v1/chat/completions", json=CHAT)
        assert answer.status_code == 500
        assert "secret" not in answer.text and answer.json()["error"]["type"] == "server_error"
        assert httpx.get(f"{running.url}/health").status_code == 503
        assert httpx.get(f"{running.url}/ready").status_code == 503
        refused = httpx.post(f"{running.url}/v1/chat/completions", json=CHAT)
        assert refused.status_code == 503 and refused.headers["x-should-retry"] == "false"


def test_many_clients_at_once_are_all_answered(running: Running) -> None:
    answers: list[str] = []

    def ask() -> None:
        client = running.client(max_retries=8)
        for _ in range(3):
            answers.append(client.chat.completions.create(**CHAT).choices[0].message.content)  # type: ignore[call-overload]

    threads = [threading.Thread(target=ask) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(answers) == 48 and len(set(answers)) == 1
