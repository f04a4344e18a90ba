"""One cluster of Ray on this machine for all tests of the group; on loopback, without a dashboard."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

import muomni

NEEDED = 'the tests of the cluster need Ray: pip install "muomni[ray]"'
ENVIRONMENT = {
    "RAY_AUTH_MODE": "disabled",  # else it writes a token into the home folder
    "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "muomni.cluster.proxy.middlewares",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
CORES = 2
OBJECT_STORE_BYTES = 200 << 20
SAMPLES = Path(__file__).parents[2] / "checkpoints" / "demo" / "samples"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs Ray, and skip it with a reason where there is none."""
    for item in items:
        if "cluster" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.ray)
            if find_spec("ray") is None:
                item.add_marker(pytest.mark.skip(reason=NEEDED))


@pytest.fixture(scope="session")
def cluster() -> Iterator[int]:
    """A cluster that this process has joined; the port of its proxy."""
    os.environ.update(ENVIRONMENT)  # before Ray is imported, which reads it then
    import ray
    from ray import serve

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    ray.init(
        "local",
        num_cpus=CORES,
        object_store_memory=OBJECT_STORE_BYTES,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="error",
    )
    serve.start(http_options={"host": "127.0.0.1", "port": port}, logging_config={"log_level": "ERROR"})
    yield port
    serve.shutdown()
    ray.shutdown()


@pytest.fixture(scope="session")
def omni() -> Iterator[muomni.Omni]:
    """The demo on this machine, as the actors have it."""
    with muomni.Omni.load(device="cpu", threads=1) as loaded:
        yield loaded


def workers(title: str) -> list[int]:
    """Processes of this process's cluster that have such a title."""
    parents, found = dict[int, int](), []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            name = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:  # it has ended
            continue
        if name.startswith(title):
            found.append(int(entry.name))

    def is_ours(number: int) -> bool:
        while number > 1:
            if number == os.getpid():
                return True
            number = parents.get(number, 0)
        return False

    return [number for number in found if is_ours(number)]
