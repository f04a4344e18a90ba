"""A small run of the fuzzer, and proof that it sees what it looks for."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.fuzz.driver import Worker, fuzz
from tests.fuzz.kind import mutated
from tests.fuzz.kinds import KINDS

if sys.platform == "win32":
    pytest.skip("the driver waits with select, which knows no pipes there", allow_module_level=True)


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    worker = Worker()
    yield worker
    worker.stop()


@pytest.fixture(params=sorted(KINDS))
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    for package in KINDS[name].needs:
        pytest.importorskip(package)
    return name


def test_mutated_files_are_read_or_refused(kind: str, worker: Worker) -> None:
    result = fuzz(worker, kind, 25)
    assert result.findings == []
    assert result.read + result.refused == 25
    assert result.refused > 0 or kind == "speech"  # of which everything is said


def test_the_samples_themselves_are_read(kind: str, worker: Worker, tmp_path: Path) -> None:
    path = tmp_path / "sample"
    samples = KINDS[kind].samples()
    assert samples
    for sample in samples:
        path.write_bytes(sample)
        assert worker.ask(kind, path) == "read"
        if KINDS[kind].repair is not None:  # whose checksums are right
            assert KINDS[kind].repair(sample) == sample


def test_a_number_and_a_seed_make_the_same_file() -> None:
    samples = KINDS["png"].samples()
    files = [mutated(KINDS["png"], samples, 1, index) for index in range(20)]
    assert files == [mutated(KINDS["png"], samples, 1, index) for index in range(20)]
    assert len(set(files)) == 20


@pytest.mark.parametrize(
    ("does", "says"),
    [
        ("raise KeyError(1)", "not a MuomniError"),
        ("os._exit(3)", "ended with 3"),
        ("os.kill(os.getpid(), 11)", "ended with -11"),
        ("time.sleep(60)", "no answer"),
        ("bytearray(1_100_000_000)", "GB of memory"),
        ("open('left', 'w').close()", "files were left"),
    ],
)
def test_the_driver_sees_what_it_looks_for(
    does: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = (
        "import os, time\nimport tests.fuzz.worker as worker\nfrom tests.fuzz.kind import Kind\n"
        f"def read(path):\n    {does}\n"
        "worker.KINDS = {'bad': Kind(list, read)}\nworker.main()\n"
    )
    monkeypatch.setattr("tests.fuzz.driver.COMMAND", ["-c", script])
    monkeypatch.setattr("tests.fuzz.driver.FIRST_SECONDS", 0 if says == "no answer" else 60)
    path = tmp_path / "input"
    path.touch()
    worker = Worker()
    try:
        assert says in worker.ask("bad", path, 1)
    finally:
        worker.stop()
