"""What no client would send: nothing is lost, nothing hangs, and no answer is a 500."""

from __future__ import annotations

import http.client
import json
import os
import random
import socket
import time
from contextlib import suppress
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance

from .conftest import Running, data_url, encoded

PICTURE = {"type": "image_url", "image_url": {"url": data_url("shapes.png", "image/png")}}
RECORDING = {"type": "input_audio", "input_audio": {"data": encoded("question.wav"), "format": "wav"}}
BODIES = int(os.environ.get("MUOMNI_FUZZ_BODIES", "120"))
"""Of each path; more are asked for by hand."""
VALID: dict[str, list[dict[str, Any]]] = {
    "/v1/chat/completions": [
        {
            "model": "demo",
            "messages": [
                {"role": "system", "content": "Be brief."},
                {
                    "role": "user",
                    "content": [{"type": "text", "text": "What do you see?"}, PICTURE, RECORDING],
                },
            ],
            "n": 1,
            "seed": 5,
            "stop": ["."],
            "temperature": 0.5,
            "top_p": 0.9,
            "logprobs": True,
            "top_logprobs": 2,
            "max_completion_tokens": 4,
            "presence_penalty": 0.5,
            "stream": False,
            "stream_options": {"include_usage": True},
            "modalities": ["text"],
        }
    ],
    "/v1/responses": [
        {
            "model": "demo",
            "instructions": "Be brief.",
            "input": [{"role": "user", "content": [{"type": "input_text", "text": "Hello!"}]}],
            "max_output_tokens": 3,
            "truncation": "auto",
            "text": {"format": {"type": "text"}},
        }
    ],
    "/v1/audio/speech": [
        {"model": "demo", "voice": "a", "input": "Hello.", "response_format": "wav", "speed": 1.5, "seed": 1}
    ],
}
STRANGE = [
    None, True, 0, -1, 1, 1e308, -0.0, 2**63, 2**70, "", "x", "\ud800", "\x00", "a" * 3000, [], {}, [[]], [None],
    {"type": "text"}, {"url": "data:;base64,AA=="}, {"url": "file:///etc/passwd"}, "data:image/png;base64,iVBORw0KGgo=",
]  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where something stands in a body."""
    found = [path] if path else []
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inner:
        found += places(one, (*path, key))
    return found


def changed(body: dict[str, Any], draw: random.Random) -> bytes:
    """The body with one to three things in it replaced or gone, and sometimes cut or with other bytes."""
    made = json.loads(json.dumps(body))
    for _ in range(draw.randint(1, 3)):
        *path, last = draw.choice(places(made))
        holder = made
        for key in path:
            holder = holder[key]
        if draw.random() < 0.3:
            del holder[last]
        else:
            holder[last] = json.loads(json.dumps(draw.choice(STRANGE)))
        if not places(made):
            break
    data = json.dumps(made).encode()
    if draw.random() < 0.1:
        data = data[: draw.randrange(len(data))]
    if draw.random() < 0.1:
        at = draw.randrange(len(data) or 1)
        data = data[:at] + draw.randbytes(4) + data[at + 4 :]
    return data


@pytest.mark.parametrize("path", sorted(VALID))
def test_changed_bodies_are_answered_or_refused(running: Running, path: str) -> None:
    draw = random.Random(path)
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=30)
    statuses = []
    for _ in range(BODIES // 3 if path == "/v1/audio/speech" else BODIES):
        body = changed(draw.choice(VALID[path]), draw)
        connection.request("POST", path, body, {"content-type": "application/json"})
        response = connection.getresponse()
        data = response.read()
        statuses.append(response.status)
        assert response.status == 200 or 400 <= response.status < 500, (body, data)
        if response.status != 200:
            error = json.loads(data)["error"]
            assert error["message"] and running.state.bundle_folder not in error["message"]
        else:
            assert b'"error"' not in data[:20]
    connection.close()
    assert 200 in statuses and 400 in statuses
    running.idle_within(5)


def test_broken_requests_of_http_hurt_nobody(running: Running) -> None:
    draw = random.Random(1)
    whole = (
        b"POST /v1/audio/transcriptions HTTP/1.1\r\nhost: localhost\r\ncontent-length: 150\r\n"
        b"content-type: multipart/form-data; boundary=x\r\n\r\n--x\r\ncontent-disposition: form-data; "
        b'name="file"; filename="a.wav"\r\n\r\nRIFFxxxxWAVE\r\n--x--\r\n'
    )
    for number in range(150):
        data = bytearray(whole)
        for _ in range(draw.randint(1, 8)):
            at = draw.randrange(len(data))
            data[at : at + draw.randint(0, 3)] = draw.randbytes(draw.randint(0, 3))
        if number % 3 == 0:
            data = bytearray(draw.randbytes(draw.randint(1, 300)))
        with socket.create_connection(("127.0.0.1", running.port), 10) as connection:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            connection.settimeout(10)
            answer = b""
            with suppress(ConnectionResetError):
                while piece := connection.recv(65536):
                    answer += piece
        assert not answer.startswith(b"HTTP/1.1 5"), (bytes(data), answer)
    assert running.client().models.list().data


def test_forms_that_are_none_are_refused(running: Running) -> None:
    draw = random.Random(2)
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=30)
    for _ in range(60):
        fields = draw.sample(
            ["file", "model", "temperature", "stream", "response_format", "language", "prompt"], 3
        )
        parts = []
        for name in fields:
            value = draw.choice([b"", b"nan", b"1e999", b"demo", b"\xff\xfe", b"RIFF", draw.randbytes(40)])
            kind = b'; filename="a.wav"' if draw.random() < 0.5 else b""
            head = b'content-disposition: form-data; name="' + name.encode() + b'"' + kind
            parts.append(b"--x\r\n" + head + b"\r\n\r\n" + value + b"\r\n")
        body = b"".join(parts) + draw.choice([b"--x--\r\n", b"--x", b""])
        connection.request(
            "POST", "/v1/audio/transcriptions", body, {"content-type": "multipart/form-data; boundary=x"}
        )
        response = connection.getresponse()
        data = response.read()
        assert 400 <= response.status < 500, (body, data)
        assert json.loads(data)["error"]["message"]
    connection.close()


@pytest.mark.parametrize("depth", [100, 40_000])
def test_nested_json_is_refused_at_once(running: Running, depth: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=30)
    start = time.perf_counter()
    body = '{"messages":' + "[" * depth + "]" * depth + "}"
    connection.request("POST", "/v1/chat/completions", body, {"content-type": "application/json"})
    assert connection.getresponse().status == 400
    assert time.perf_counter() - start < 5
    connection.close()


def test_the_interface_is_as_its_document_says(running: Running) -> None:
    """Requests that schemathesis makes of the OpenAPI document, right and wrong ones."""
    schema = schemathesis.openapi.from_url(f"{running.url}/openapi.json")
    checks = [not_a_server_error, content_type_conformance, response_schema_conformance]
    asked = set()
    for found in schema.get_all_operations():
        operation = found.ok()

        @seed(1)
        @settings(max_examples=12, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(st.one_of(operation.as_strategy(), operation.as_strategy(GenerationMode.NEGATIVE)))
        def hold(case: Case) -> None:
            case.call_and_validate(checks=checks, timeout=30)

        hold()
        asked.add(operation.path)
    assert {*VALID, "/v1/audio/transcriptions", "/v1/models", "/health"} <= asked
    running.idle_within(10)
