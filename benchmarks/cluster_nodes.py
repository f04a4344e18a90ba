"""A cluster of Ray nodes on this machine, each a tree of processes that can be killed, stopped and started again."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx

BIN = Path(sys.executable).parent
STORE_BYTES = 200 << 20
ENVIRONMENT = {
    "RAY_AUTH_MODE": "disabled",
    "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "muomni.cluster.proxy.middlewares",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",  # by itself 15, and then whatever else the machine does comes first
}


def free_port() -> int:
    """A port that nobody has."""
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        return int(place.getsockname()[1])


def processes() -> dict[int, tuple[int, str]]:
    """Of this machine: parent and command line by number."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                found[int(entry.name)] = parent, command
            except OSError:
                continue
    return found


def below(root: int, title: str = "") -> list[int]:
    """Descendants of a process whose command line begins so."""
    known = processes()

    def inside(number: int) -> bool:
        while number in known:
            if number == root:
                return True
            number = known[number][0]
        return False

    return [number for number, (_, line) in known.items() if line.startswith(title) and inside(number)]


def memory_mb(number: int) -> dict[str, float]:
    """Memory of a process: all that it touches, and its share of what others touch as well."""
    text = (Path("/proc") / str(number) / "smaps_rollup").read_text()
    values = {line.split(":")[0]: line.split()[1] for line in text.splitlines()[1:] if "kB" in line}
    return {"rss": int(values["Rss"]) / 1024, "pss": int(values["Pss"]) / 1024}


class Node:
    """One node: ``ray start --block`` and all below it."""

    def __init__(self, command: list[str], environment: dict[str, str], log: Path) -> None:
        self._output = log.open("ab")
        self._process = subprocess.Popen(
            command,
            env={**os.environ, **ENVIRONMENT, **environment},
            stdout=self._output,
            stderr=self._output,
        )

    def processes(self, title: str = "") -> list[int]:
        return below(self._process.pid, title)

    def kill(self) -> None:
        """The whole node at once, as when its machine loses power."""
        for number in self.processes():
            try:
                os.kill(number, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self._process.wait()
        self._output.close()


class Nodes:
    """A head and workers; a context manager that leaves nothing running.

    Args:
        cpus: of each node, head first; more than the machine has are allowed.
        storage: the head keeps its state in a folder and finds it again when it is started anew.
    """

    def __init__(self, cpus: tuple[int, ...] = (2, 2), storage: bool = False) -> None:
        # Sockets lie in it, whose names may not be long.
        self.folder = Path(tempfile.mkdtemp(prefix="muomni-ray-", dir="/tmp"))
        self.port, self.http = free_port(), [free_port() for _ in cpus]
        self.address = f"127.0.0.1:{self.port}"
        self._cpus = cpus
        self._state = {}
        if storage:
            self._state = {
                "RAY_gcs_storage": "rocksdb",
                "RAY_gcs_storage_path": str(self.folder / "state"),
            }
            (self.folder / "state").mkdir()
        self.nodes: list[Node] = []

    def __enter__(self) -> Nodes:
        self.nodes = [self._head()]
        self.wait(lambda: self._is_listening())
        self.nodes += [self._worker(index) for index in range(1, len(self._cpus))]
        code = f"assert len([n for n in ray.nodes() if n['Alive']]) == {len(self._cpus)}"
        self.wait(lambda: self.python(code, check=False).returncode == 0)
        return self

    def __exit__(self, *_: object) -> None:
        for node in self.nodes:
            node.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def head(self) -> Node:
        return self.nodes[0]

    def url(self, node: int = 0) -> str:
        """Of a node's proxy."""
        return f"http://127.0.0.1:{self.http[node]}"

    def restart_head(self) -> None:
        """Start the head again that was killed."""
        # Else Ray takes the node that still runs here for a head at this address.
        (self.folder / "ray_current_cluster").unlink(missing_ok=True)
        self.nodes[0] = self._head()
        self.wait(lambda: self._is_listening())

    def replicas(self) -> list[int]:
        """Processes of replicas, on all nodes."""
        return [number for node in self.nodes for number in node.processes("ray::ServeReplica:")]

    def python(self, code: str, check: bool = True, timeout_s: float = 120) -> Any:
        """Run some lines in a process of their own that has joined the cluster."""
        begin = f"import ray\nray.init({self.address!r}, log_to_driver=False, logging_level='error')\n"
        result = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", begin + code],
            env={**os.environ, **ENVIRONMENT},
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_s,
        )
        if check and result.returncode:
            raise RuntimeError(result.stderr[-3000:])
        return result

    def deploy(self, location: str = "HeadOnly", **arguments: Any) -> float:
        """Run the application, or replace it by one with other arguments; seconds until it is ready."""
        options = {"host": "127.0.0.1", "port": self.http[0]}
        code = f"""
import time
from ray import serve
from muomni.cluster import Arguments, app
serve.start(proxy_location={location!r}, http_options={options!r})
start = time.perf_counter()
serve.run(app(Arguments.model_validate({arguments!r})))
print(time.perf_counter() - start)
"""
        seconds = float(self.python(code).stdout.split()[-1])
        self.wait(lambda: self.answers())
        return seconds

    def answers(self, node: int = 0) -> bool:
        """Whether the application answers at a node's proxy."""
        try:
            return bool(httpx.get(f"{self.url(node)}/ready", timeout=2).status_code == 200)
        except httpx.HTTPError:
            return False

    @staticmethod
    def wait(is_true: Any, seconds: float = 90.0) -> float:
        """Seconds until something is true.

        Raises:
            TimeoutError: it is not.
        """
        start = time.monotonic()
        while not is_true():
            if time.monotonic() - start > seconds:
                raise TimeoutError("it did not come about")
            time.sleep(0.2)
        return time.monotonic() - start

    def _is_listening(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def _head(self) -> Node:
        arguments = [
            "--head",
            f"--port={self.port}",
            "--include-dashboard=false",
            f"--temp-dir={self.folder}",
        ]
        return self._start(0, arguments, self._state)

    def _worker(self, index: int) -> Node:
        port = {"RAY_SERVE_WORKER_PROXY_HTTP_PORT": str(self.http[index])}
        return self._start(index, [f"--address={self.address}"], port)

    def _start(self, index: int, arguments: list[str], environment: dict[str, str]) -> Node:
        command = [
            str(BIN / "ray"),
            "start",
            "--block",
            *arguments,
            "--node-ip-address=127.0.0.1",
            f"--num-cpus={self._cpus[index]}",
            f"--object-store-memory={STORE_BYTES}",
            f"--resources={json.dumps({f'node{index}': 100})}",
            "--disable-usage-stats",
        ]
        return Node(command, environment, self.folder / f"node{index}.log")


def alive(numbers: Iterator[int] | list[int]) -> list[int]:
    """Those that still run."""
    return [number for number in numbers if (Path("/proc") / str(number)).exists()]
