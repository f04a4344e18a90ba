"""Servers of the same weights: muomni's, and those of its peers."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from models import Work, in_new_folder

from .server import Running, ServerError, serving

STARTS_WITHIN_S = 120
SLOTS = 32
CONTEXT = 512
"""Positions for each of the slots, as the Thinker has."""
FRONT = Path(__file__).with_name("front.py")


@dataclass(frozen=True)
class Peer:
    """Another server.

    Attributes:
        packages: that must be there.
        command: makes its files, and gives its command for a port.
        most_connections: beyond that more bring nothing but waiting.
    """

    packages: tuple[str, ...]
    command: Callable[[Work, int, int], list[str]]
    most_connections: int = 1024


def llama_server(work: Work, port: int, cores: int) -> list[str]:
    """llama.cpp's own, with continuous batching."""
    found = shutil.which("llama-server")
    if found is None:
        raise ServerError("llama-server is not on the PATH")
    return [
        *(found, "--model", str(work.chat_gguf("int8")), "--host", "127.0.0.1", "--port", str(port)),
        *("--parallel", str(SLOTS), "--ctx-size", str(SLOTS * CONTEXT), "--threads", str(cores)),
        *("--threads-http", str(4), "--no-webui", "--log-disable"),
    ]


def llama_cpp_python(work: Work, port: int, cores: int) -> list[str]:
    """One request at a time: a second one would break off the first."""
    return [
        *(sys.executable, "-m", "llama_cpp.server", "--model", str(work.chat_gguf("int8"))),
        *("--model_alias", "tiny", "--port", str(port), "--n_ctx", str(CONTEXT), "--n_threads", str(cores)),
        *("--interrupt_requests", "False", "--verbose", "False"),
    ]


def openvino(work: Work, port: int, cores: int) -> list[str]:
    """Its continuous batching of the GGUF file."""

    def make(target: Path) -> None:
        import openvino
        from openvino_tokenizers import convert_tokenizer

        from llama_form import nominal_tokenizer_of

        nominal = nominal_tokenizer_of(work.tokenizer())
        for model, name in zip(convert_tokenizer(nominal, with_detokenizer=True), ("", "de"), strict=True):
            openvino.save_model(model, target / f"openvino_{name}tokenizer.xml")

    folder = in_new_folder(work.root / "openvino-tokenizer", make)
    return front("openvino", f"{folder}|{work.chat_gguf('int8')}", work, port)


def genai(work: Work, port: int, cores: int) -> list[str]:
    """Its Engine, with blocks as large as muomni's."""
    from contenders.genai import Genai128

    Genai128.prepare(work, "int8")
    return front("onnxruntime-genai", str(Genai128.folder(work, "int8")), work, port)


def front(engine: str, model: str, work: Work, port: int) -> list[str]:
    return [sys.executable, str(FRONT), engine, model, str(work.tokenizer()), str(port)]


OURS = "muomni"
PEERS: dict[str, Peer] = {
    "llama.cpp, llama-server": Peer((), llama_server),
    "llama-cpp-python's server": Peer(("llama_cpp", "sse_starlette"), llama_cpp_python, 1),
    "openvino-genai": Peer(("openvino_genai", "openvino_tokenizers", "transformers"), openvino),
    "onnxruntime-genai": Peer(("onnxruntime_genai",), genai),
}


@contextmanager
def peer_serving(name: str, work: Work, cores: int) -> Iterator[Running]:
    """A peer's server, or muomni's, until the block ends.

    Raises:
        ServerError: a package is missing, or it does not start.
    """
    if name == OURS:
        with serving(work.bundle("int8"), "--slots", str(SLOTS), "--queue", "256") as running:
            yield running
        return
    peer = PEERS[name]
    missing = [package for package in peer.packages if find_spec(package) is None]
    if missing:
        raise ServerError(f"not installed: {', '.join(missing)}")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = peer.command(work, port, cores)
    begun = time.perf_counter()
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(command, stdout=said, stderr=said)
        try:
            url = f"http://127.0.0.1:{port}"
            while not answers(url):
                if process.poll() is not None or time.perf_counter() - begun > STARTS_WITHIN_S:
                    said.seek(0)
                    lines = said.read().strip().splitlines()
                    raise ServerError(lines[-1] if lines else "it did not start")
                time.sleep(0.1)
            yield Running(url, process.pid, time.perf_counter() - begun)
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def answers(url: str) -> bool:
    """Whether a server is there, and loaded."""
    for path in ("/health", "/v1/models"):
        try:
            with urllib.request.urlopen(url + path, timeout=2) as answer:
                if answer.status == 200:
                    return True
        except OSError:
            continue
    return False
