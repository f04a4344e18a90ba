"""Who may use the server, and what it never says."""

from __future__ import annotations

import asyncio
import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from muomni.errors import InputError
from muomni.serve.security import Guard, key_fits
from muomni.serve.settings import Limits, Settings

from .conftest import Running, serving

QUESTION = {"model": "demo", "messages": [{"role": "user", "content": "Hello!"}]}


@pytest.fixture(scope="module")
def guarded() -> Iterator[Running]:
    """Two keys, one origin, short bodies."""
    settings = Settings(
        slots=2,
        api_keys=("first-key", "second-key"),
        cors=("https://page.example",),
        limits=Limits(body_bytes=100_000),
    )
    with serving(settings) as running:
        yield running


def send(
    running: Running, method: str, path: str, body: Any = None, **headers: str
) -> tuple[int, dict[str, str], dict[str, Any]]:
    """Status, headers and JSON of one request."""
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=30)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if isinstance(body, dict):
        body = json.dumps(body)
        named.setdefault("content-type", "application/json")
    connection.request(method, path, body, named)
    response = connection.getresponse()
    data = response.read()
    connection.close()
    kind = response.getheader("content-type", "")
    return response.status, dict(response.getheaders()), json.loads(data) if "json" in kind else {}


def test_each_key_opens_and_no_other(guarded: Running) -> None:
    for key in guarded.state.settings.api_keys:
        assert guarded.client(key).models.list().data
    for key in ("other", "first-ke", "first-key2", "FIRST-KEY"):
        with pytest.raises(openai.AuthenticationError) as refusal:
            guarded.client(key).models.list()
        assert refusal.value.code == "invalid_api_key"
    for path in ("/v1/models", "/metrics", "/v1/none"):
        status, headers, body = send(guarded, "GET", path)
        assert (status, body["error"]["type"]) == (401, "authentication_error")
        assert headers["x-request-id"]
        assert "key" not in json.dumps(body).replace("a key of this server", "").replace("api_key", "")


def test_what_a_probe_asks_needs_no_key(guarded: Running) -> None:
    for path in ("/health", "/ready"):
        assert send(guarded, "GET", path)[0] == 200


def test_keys_are_compared_whole() -> None:
    assert key_fits("b", ["a", "b"]) and not key_fits("", ["a"]) and not key_fits("ä", ["a"])
    for bad in ("", " ", "schlüssel"):
        with pytest.raises(InputError):
            Settings(api_keys=(bad,))


def test_pages_of_other_origins_are_refused(guarded: Running, running: Running) -> None:
    key = {"authorization": "Bearer first-key"}
    fits = send(guarded, "POST", "/v1/chat/completions", QUESTION, origin="https://page.example", **key)
    assert fits[0] == 200 and fits[1]["access-control-allow-origin"] == "https://page.example"
    other = send(guarded, "POST", "/v1/chat/completions", QUESTION, origin="https://evil.example", **key)
    assert (other[0], other[2]["error"]["code"]) == (403, "unknown_origin")
    preflight = send(
        guarded,
        "OPTIONS",
        "/v1/chat/completions",
        origin="https://page.example",
        access_control_request_method="POST",
        access_control_request_headers="authorization,content-type",
    )
    assert preflight[0] == 200
    own = send(running, "POST", "/v1/chat/completions", QUESTION, origin=running.url)
    assert own[0] == 200
    assert send(running, "POST", "/v1/chat/completions", QUESTION, origin="null")[0] == 403


def test_a_strangers_name_for_this_machine_is_refused(running: Running) -> None:
    status, _, body = send(running, "GET", "/v1/models", host="rebound.example")
    assert (status, body["error"]["code"]) == (403, "unknown_host")
    for host in ("localhost", "127.0.0.1:8000", "[::1]:8000"):
        assert send(running, "GET", "/v1/models", host=host)[0] == 200


def test_long_bodies_are_refused_with_and_without_their_length(guarded: Running) -> None:
    long = json.dumps({**QUESTION, "padding": "x" * 200_000}).encode()
    headers = {"authorization": "Bearer first-key", "content_type": "application/json"}
    status, _, body = send(guarded, "POST", "/v1/chat/completions", long, **headers)
    assert (status, body["error"]["code"]) == (413, "body_too_long")
    pieces = (long[at : at + 10_000] for at in range(0, len(long), 10_000))
    status, _, body = send(guarded, "POST", "/v1/chat/completions", pieces, **headers)
    assert status == 413 and "too long" in body["error"]["message"]


def test_the_page_stands_in_no_frame_of_strangers(running: Running) -> None:
    assert send(running, "GET", "/")[1]["x-frame-options"] == "SAMEORIGIN"


@pytest.mark.parametrize(
    "path",
    [
        "/../app.py",
        "/..%2fapp.py",
        "/%2e%2e/app.py",
        "//etc/passwd",
        "/%2fetc/passwd",
        "/%00",
        "/a\\..\\..\\app.py",
    ],
)
def test_no_file_but_the_pages_is_given(running: Running, path: str) -> None:
    assert send(running, "GET", path)[0] == 404


def test_every_answer_has_an_id(running: Running) -> None:
    given = send(running, "GET", "/health", x_request_id="mine-1")[1]["x-request-id"]
    made = {send(running, "GET", "/nowhere")[1]["x-request-id"] for _ in range(3)}
    assert given == "mine-1" and len(made) == 3
    assert send(running, "GET", "/health", x_request_id="x" * 500)[1]["x-request-id"] != "x" * 500


def test_errors_have_one_shape_and_name_no_path(running: Running) -> None:
    folder = running.state.bundle_folder
    for method, path, body in (
        ("GET", "/nowhere", None),
        ("DELETE", "/v1/models", None),
        ("POST", "/v1/chat/completions", "{"),
        ("POST", "/v1/chat/completions", {"messages": [{"role": "user", "content": ""}]}),
        ("POST", "/v1/audio/speech", {"input": "\ud800"}),
        ("POST", "/v1/audio/transcriptions", "no form"),
    ):
        status, _, answer = send(
            running, method, path, body, **({"content_type": "application/json"} if body else {})
        )
        assert 400 <= status < 500, (path, answer)
        assert set(answer["error"]) == {"message", "type", "param", "code"}
        said = json.dumps(answer)
        assert folder not in said and str(Path.home()) not in said and "Traceback" not in said


def test_the_documents_load_nothing_from_elsewhere(running: Running) -> None:
    assert send(running, "GET", "/docs")[0] == send(running, "GET", "/redoc")[0] == 404
    assert send(running, "GET", "/openapi.json")[2]["info"]["title"] == "muomni"


def test_metrics_say_what_was_done(running: Running) -> None:
    before = figures(running)
    running.client().chat.completions.create(
        model="demo", messages=[{"role": "user", "content": "Hello!"}], modalities=["text", "audio"]
    )
    running.idle_within(5)
    after = figures(running)

    def gained(name: str) -> float:
        return after[name] - before.get(name, 0.0)

    assert gained("muomni:generation_tokens_total") > 1
    assert gained("muomni:time_to_first_token_seconds_count") == 1
    assert gained("muomni:audio_ttfp_seconds_count") == gained("muomni:audio_rtf_count") == 1
    assert gained('muomni:request_success_total{finished_reason="stop"}') == 1
    assert gained("muomni:audio_duration_seconds_total") > 0.5
    assert after["muomni:num_requests_running"] == after["muomni:num_requests_waiting"] == 0


def figures(running: Running) -> dict[str, float]:
    """``/metrics`` by name and labels."""
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=30)
    connection.request("GET", "/metrics")
    lines = connection.getresponse().read().decode().splitlines()
    connection.close()
    pairs = (line.rpartition(" ") for line in lines if not line.startswith("#"))
    return {name: float(value) for name, _, value in pairs}


@pytest.mark.parametrize(
    ("path", "prefix"),
    [("/small/v1/models", "/small"), ("/v1/models", "/v"), ("/v1/models", "/v1"), ("/v1/models", "")],
)
def test_a_key_is_needed_below_a_prefix_as_well(path: str, prefix: str) -> None:
    """Ray Serve, or a mount, leaves the prefix in the path and names it beside it."""
    sent: list[Any] = []

    async def inside(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("it came through")

    async def nothing() -> Any:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "root_path": prefix,
        "headers": [],
    }
    asyncio.run(Guard(inside, Settings(api_keys=("secret",)))(scope, nothing, send))
    assert sent[0]["status"] == 401
