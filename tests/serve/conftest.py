"""A real server on a free port of this machine, in a thread."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openai
import pytest

from muomni.serve.server import Server, bound_socket
from muomni.serve.settings import Settings
from muomni.serve.state import ServerState

SAMPLES = Path(__file__).parents[2] / "checkpoints" / "demo" / "samples"
LONG = "Tell me something about the sea."


@dataclass(frozen=True)
class Running:
    """A server that runs."""

    server: Server
    thread: threading.Thread
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def state(self) -> ServerState:
        return self.server.state

    def client(self, key: str = "none", **options: Any) -> openai.OpenAI:
        return openai.OpenAI(
            base_url=f"{self.url}/v1", api_key=key, **{"max_retries": 0, "timeout": 60, **options}
        )

    def idle_within(self, seconds: float) -> float:
        """Seconds until no request runs or waits; fails when it takes longer than that."""
        start = time.perf_counter()
        while self.state.engine.running or self.state.engine.waiting:
            assert time.perf_counter() - start < seconds, (
                self.state.engine.running,
                self.state.engine.waiting,
            )
            time.sleep(0.001)
        return time.perf_counter() - start


@contextmanager
def serving(settings: Settings) -> Iterator[Running]:
    """Serve until the block ends."""
    with bound_socket("127.0.0.1", 0) as place:
        server = Server(settings)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [place]})
        thread.start()
        try:
            while not server.started:
                assert thread.is_alive()
                time.sleep(0.005)
            yield Running(server, thread, place.getsockname()[1])
        finally:
            server.should_exit = True
            thread.join(30)
            assert not thread.is_alive()


@pytest.fixture(scope="session")
def running() -> Iterator[Running]:
    """A server with the demo, shared by all tests that leave it as it was."""
    with serving(Settings(slots=4, queue=16)) as running:
        yield running


@pytest.fixture
def client(running: Running) -> Iterator[openai.OpenAI]:
    """OpenAI's own client of that server."""
    with running.client() as client:
        yield client
    running.idle_within(10)


@pytest.fixture
def slow(running: Running, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    """Every step of the engine takes a twentieth of a second."""
    engine = running.state.engine._engine
    step = engine.step

    def slowly() -> Any:
        time.sleep(0.05)
        return step()

    monkeypatch.setattr(engine, "step", slowly)
    yield running
    running.idle_within(10)


Ask = Callable[..., Any]


@pytest.fixture
def ask(client: openai.OpenAI) -> Ask:
    """One chat completion; the content is a text, or parts."""

    def call(content: Any, **options: Any) -> Any:
        messages = content if isinstance(content, list) and "role" in content[0] else None
        messages = messages or [{"role": "user", "content": content}]
        return client.chat.completions.create(model="demo", messages=messages, **options)

    return call


def data_url(name: str, kind: str) -> str:
    """A sample as a data URL."""
    return f"data:{kind};base64,{encoded(name)}"


def encoded(name: str) -> str:
    """A sample in base64."""
    return base64.b64encode((SAMPLES / name).read_bytes()).decode()
