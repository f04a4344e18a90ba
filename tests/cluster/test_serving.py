"""The server on Ray Serve: the same answers, streams and conversations, and what a lost replica looks like."""

from __future__ import annotations

import base64
import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx2 as httpx
import openai
import pytest
from tests.serve.running import as_spoken
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

import muomni
from muomni.errors import MissingPackageError

from .conftest import workers

QUESTION = "What is two plus three?"
CHAT = {"model": "demo", "messages": [{"role": "user", "content": QUESTION}]}
LONG = {"model": "demo", "voice": "a", "input": "Seven green cups stand on the table. " * 40}
SLOTS, GRACE_S = 4, 3


def deploy(name: str, prefix: str = "/", **arguments: Any) -> None:
    """Run the application as ``serve run`` does; arguments come as texts there."""
    from ray import serve
    from ray.serve._private.api import call_user_app_builder_with_args_if_necessary

    from muomni.cluster import app

    texts = {key: str(value) for key, value in {"max_replicas": 1, **arguments}.items()}
    serve.run(call_user_app_builder_with_args_if_necessary(app, texts), name=name, route_prefix=prefix)


@pytest.fixture(scope="module")
def url(cluster: int) -> Iterator[str]:
    """Where the application is; one replica."""
    deploy("default", slots=SLOTS, grace_s=GRACE_S)
    yield f"http://127.0.0.1:{cluster}"


def client(url: str, **options: Any) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{url}/v1", api_key="none", **{"max_retries": 0, "timeout": 30, **options})


def kill_the_replica() -> None:
    (replica,) = workers("ray::ServeReplica:default:")
    os.kill(replica, signal.SIGKILL)


def test_a_cluster_answers_as_one_machine_does(url: str, omni: muomni.Omni) -> None:
    from muomni.serve.sound import PcmChunks

    answer = client(url).chat.completions.create(
        **CHAT, logprobs=True, modalities=["text", "audio"], audio={"format": "pcm16", "voice": "a"}
    )  # type: ignore[call-overload]
    reply = as_spoken(omni, muomni.Request(QUESTION, speech=muomni.SpeechOptions(), logprobs=0))
    choice = answer.choices[0]
    assert choice.message.audio.transcript == reply.text
    assert len(choice.logprobs.content) in (len(reply.token_ids), len(reply.token_ids) - 1)  # without eos
    assert reply.speech is not None
    chunks = PcmChunks(reply.speech.sample_rate)
    expected = chunks.feed(reply.speech.samples) + chunks.finish()
    assert base64.b64decode(choice.message.audio.data) == expected


def test_a_stream_comes_through_the_proxy_piece_by_piece(url: str) -> None:
    times: list[float] = []
    body = {**LONG, "stream_format": "sse"}
    with httpx.stream("POST", f"{url}/v1/audio/speech", json=body, timeout=60) as response:
        for line in response.iter_lines():
            if line:
                times.append(time.perf_counter())
    assert len(times) > 10
    assert times[1] - times[0] < (times[-1] - times[0]) / 2


def test_a_conversation_comes_through_the_proxy(url: str) -> None:
    with connect(url.replace("http", "ws") + "/v1/realtime?model=demo") as socket:
        assert json.loads(socket.recv(20))["type"] == "session.created"
        content = [{"type": "input_text", "text": QUESTION}]
        item = {"type": "message", "role": "user", "content": content}
        socket.send(json.dumps({"type": "conversation.item.create", "item": item}))
        socket.send(json.dumps({"type": "response.create", "response": {"output_modalities": ["text"]}}))
        said = ""
        while (event := json.loads(socket.recv(20)))["type"] != "response.done":
            if event["type"] == "response.output_text.delta":
                said += event["delta"]
    assert said == "Two plus three is five."


def test_ray_asks_the_replica_for_its_health(url: str) -> None:
    from ray import serve

    assert serve.get_app_handle("default").check_health.remote().result(timeout_s=10) is None


def test_a_lost_replica_is_said_and_a_client_that_tries_again_notices_nothing(url: str) -> None:
    """In one test, for a replica takes seconds to come back: a stream, a conversation, a sound, a whole answer."""
    begun = threading.Barrier(4)
    found: dict[str, Any] = {}

    def stream() -> None:
        body = {**LONG, "stream_format": "sse"}
        with httpx.stream("POST", f"{url}/v1/audio/speech", json=body, timeout=60) as response:
            lines = response.iter_lines()
            next(lines)
            begun.wait(30)
            found["stream"] = [line for line in lines if line][-1]

    def sound() -> None:
        body = {**LONG, "response_format": "pcm"}
        with httpx.stream("POST", f"{url}/v1/audio/speech", json=body, timeout=60) as response:
            pieces = response.iter_bytes()
            next(pieces)
            begun.wait(30)
            try:
                found["sound"] = len(b"".join(pieces))
            except httpx.RemoteProtocolError as error:
                found["sound"] = error

    def conversation() -> None:
        address = url.replace("http", "ws") + "/v1/realtime?model=demo"
        with connect(address) as socket:
            socket.recv(20)
            begun.wait(30)
            found["event"] = json.loads(socket.recv(20))
            with pytest.raises(ConnectionClosed) as closed:
                socket.recv(20)
            found["code"] = closed.value.rcvd.code if closed.value.rcvd else None
        with connect(address) as socket:
            found["again"] = json.loads(socket.recv(20))["type"]

    threads = [threading.Thread(target=each) for each in (stream, sound, conversation)]
    for thread in threads:
        thread.start()
    begun.wait(30)
    kill_the_replica()
    answer = client(url, max_retries=8).chat.completions.create(**CHAT)  # type: ignore[call-overload]
    assert answer.choices[0].message.content
    for thread in threads:
        thread.join(40)
    assert json.loads(found["stream"].removeprefix("data: "))["error"]["code"] == "replica_lost"
    assert isinstance(found["sound"], httpx.RemoteProtocolError)  # a sound that is cut does not look whole
    assert found["event"]["type"] == "error" and found["event"]["error"]["code"] == "replica_lost"
    assert found["code"] == 1012 and found["again"] == "session.created"


def test_beyond_what_waits_requests_are_refused_with_a_time_and_below_a_prefix_keys_count(
    cluster: int, url: str
) -> None:
    deploy("small", "/small", slots=1, queue=0, waiting=1, api_key="secret")
    small = f"http://127.0.0.1:{cluster}/small"
    assert httpx.get(f"{small}/v1/models").status_code == 401
    key = {"authorization": "Bearer secret"}
    assert httpx.get(f"{small}/v1/models", headers=key).status_code == 200
    answers: list[httpx.Response] = []

    def ask() -> None:
        answers.append(httpx.post(f"{small}/v1/audio/speech", json=LONG, headers=key, timeout=60))

    threads = [threading.Thread(target=ask) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    refused = [answer for answer in answers if answer.status_code == 429]
    assert len(refused) >= 2 and any(answer.status_code == 200 for answer in answers)
    assert all(answer.headers["retry-after-ms"] == "1000" for answer in refused)
    assert all(answer.json()["error"]["code"] == "queue_full" for answer in refused)
    assert all(answer.headers["x-request-id"] for answer in refused)
    from ray import serve

    serve.delete("small")


def test_an_upgrade_loses_no_request_and_tells_conversations_that_last_too_long(url: str) -> None:
    failed: list[Exception] = []
    answered, over = [0], threading.Event()

    def ask() -> None:
        with client(url) as asking:  # without a second try
            while not over.is_set():
                try:
                    asking.chat.completions.create(**CHAT)  # type: ignore[call-overload]
                    answered[0] += 1
                except openai.APIError as error:
                    failed.append(error)

    before = set(workers("ray::ServeReplica:default:"))
    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    with connect(url.replace("http", "ws") + "/v1/realtime?model=demo") as socket:
        assert json.loads(socket.recv(20))["type"] == "session.created"
        deploy("default", slots=SLOTS + 1, grace_s=GRACE_S)
        assert json.loads(socket.recv(30))["error"]["code"] == "replica_lost"
        with pytest.raises(ConnectionClosed):
            socket.recv(20)
    until = time.monotonic() + 20
    while before & set(workers("ray::ServeReplica:default:")):
        assert time.monotonic() < until
        time.sleep(0.1)
    over.set()
    for thread in threads:
        thread.join(30)
    assert not failed and answered[0] > 10
    assert httpx.get(f"{url}/health").json()["slots"] == SLOTS + 1


def test_arguments_become_the_settings_of_a_server(cluster: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from pydantic import ValidationError

    from muomni.cluster import Arguments

    monkeypatch.setenv("MUOMNI_API_KEY", "from-the-environment")
    settings = Arguments(slots=3, num_cpus=2.5, cors="https://a.example").settings()  # type: ignore[arg-type]
    assert (settings.slots, settings.threads, settings.cors) == (3, 2, ("https://a.example",))
    assert settings.api_keys == ("from-the-environment",)
    assert Arguments(api_key=["a", "b"]).settings().api_keys == ("a", "b")
    assert "secret" not in repr(Arguments(api_key="secret"))
    with pytest.raises(ValidationError, match="max_replicas: expected at least 5, got 4"):
        Arguments(min_replicas=5)
    with pytest.raises(ValidationError, match="slot"):
        Arguments.model_validate({"slot": 3})


def test_without_ray_the_install_line_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    import muomni.cluster

    for name in [name for name in sys.modules if name.startswith("muomni.cluster.serving")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingPackageError, match=r'pip install "muomni\[ray,cpu\]"'):
        muomni.cluster.app  # noqa: B018
    with pytest.raises(AttributeError):
        muomni.cluster.ap  # noqa: B018
