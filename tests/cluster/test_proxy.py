"""What Ray's proxies say is turned into OpenAI's errors; what comes from a replica is left alone."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from muomni.cluster.proxy import TellsErrors

Said = list[dict[str, Any]]


def told(kind: str, said: Said, path: str = "/v1/x", heard: Said | None = None) -> list[Message]:
    """What reaches a client when the proxy says this, and then is at its end."""
    sent: list[Message] = []

    async def proxy(scope: Scope, receive: Receive, send: Send) -> None:
        for _ in heard or []:
            await receive()
        for message in said:
            await send(dict(message))

    async def receive() -> Message:
        return (heard or [{"type": "http.disconnect"}])[0]

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": kind, "path": path, "method": "POST", "headers": [(b"x-request-id", b"mine")]}
    asyncio.run(TellsErrors(proxy)(scope, receive, send))
    return sent


def start(status: int, kind: str, *headers: tuple[bytes, bytes]) -> dict[str, Any]:
    return {
        "type": "http.response.start",
        "status": status,
        "headers": [(b"content-type", kind.encode()), *headers],
    }


def body(data: bytes, more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": data, "more_body": more}


def error_of(sent: list[Message]) -> tuple[int, dict[bytes, bytes], dict[str, Any]]:
    begin, rest = sent
    return begin["status"], dict(begin["headers"]), json.loads(rest["body"])["error"]


def test_a_full_queue_is_an_error_of_the_api_with_a_time() -> None:
    status, headers, error = error_of(
        told("http", [start(429, "text/plain; charset=utf-8", (b"retry-after", b"2")), body(b"dropped")])
    )
    assert (status, error["type"], error["code"]) == (429, "rate_limit_error", "queue_full")
    assert headers[b"retry-after"] == b"2" and headers[b"retry-after-ms"] == b"2000"
    assert headers[b"x-request-id"] == b"mine"


def test_what_ray_says_of_its_inside_stays_there() -> None:
    status, _, error = error_of(told("http", [start(500, "text/plain"), body(b"/secret/path.py")]))
    assert status == 500 and "secret" not in error["message"]


def test_a_replica_that_is_gone_before_it_answered_is_an_error_that_clients_retry() -> None:
    status, headers, error = error_of(told("http", []))
    assert (status, error["code"]) == (503, "replica_lost")
    assert int(headers[b"retry-after-ms"]) < 1000


def test_a_stream_of_a_replica_that_is_gone_ends_with_an_error() -> None:
    begun = [start(200, "text/event-stream; charset=utf-8"), body(b"data: 1\n\n", more=True)]
    sent = told("http", begun)
    assert sent[:2] == begun
    assert json.loads(sent[2]["body"].removeprefix(b"data: "))["error"]["code"] == "replica_lost"
    assert not sent[2]["more_body"]


def test_a_file_that_is_cut_does_not_look_whole() -> None:
    begun = [start(200, "audio/mpeg"), body(b"1", more=True)]
    assert told("http", begun) == begun


@pytest.mark.parametrize(
    "said",
    [
        [start(200, "text/event-stream"), body(b"data: 1\n\n", more=True), body(b"")],
        [start(429, "application/json"), body(b'{"error": {}}')],
        [start(200, "text/plain"), body(b"a transcript")],
    ],
)
def test_what_a_replica_says_passes_as_it_is(said: Said) -> None:
    assert told("http", said) == said


def test_the_proxys_own_paths_pass_as_they_are() -> None:
    said = [start(503, "text/plain"), body(b"no replicas")]
    assert told("http", said, "/-/healthz") == said


def test_an_id_of_a_request_is_given_once() -> None:
    ids = ((b"x-request-id", b"mine"), (b"x-request-id", b"mine"))
    (begin, _) = told("http", [start(200, "application/json", *ids), body(b"{}")])
    assert [name for name, _ in begin["headers"]].count(b"x-request-id") == 1


def test_a_conversation_whose_replica_is_gone_hears_so_and_is_closed() -> None:
    accept, event, close = told("websocket", [{"type": "websocket.accept"}])
    assert accept["type"] == "websocket.accept" and close == {
        "type": "websocket.close",
        "code": 1012,
        "reason": close["reason"],
    }
    said = json.loads(event["text"])
    assert said["type"] == "error" and said["error"]["code"] == "replica_lost"
    assert "connect again" in said["error"]["message"]


def test_a_conversation_that_has_ended_hears_no_more() -> None:
    ended = [{"type": "websocket.accept"}, {"type": "websocket.close", "code": 1000}]
    assert told("websocket", ended) == ended
    left = [{"type": "websocket.disconnect", "code": 1001}]
    assert told("websocket", ended[:1], heard=left) == ended[:1]
