"""The commands, in this process or as a user starts them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from muomni.cli.run import main


@dataclass(frozen=True)
class Result:
    """What a command left behind."""

    code: int
    out: str
    err: str


InProcess = Callable[..., Result]
Installed = Callable[..., Result]


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A developer's own settings must not decide a test."""
    for name in ("MUOMNI_MODEL", "MUOMNI_THREADS"):
        monkeypatch.delenv(name, raising=False)
    yield


@pytest.fixture
def muomni_run(capfd: pytest.CaptureFixture[str]) -> InProcess:
    """``muomni-run`` in this process; stdout and stderr are caught below Python, native code included."""

    def call(*arguments: str | Path) -> Result:
        capfd.readouterr()
        with pytest.raises(SystemExit) as left:
            main([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        return Result(int(left.value.code or 0), out, err)

    return call


@pytest.fixture(scope="session")
def installed() -> Installed:
    """An installed command in a process of its own."""

    def call(command: str, *arguments: str | bytes | Path, **options: Any) -> Result:
        words: Sequence[str | bytes | Path] = [installed_path(command), *arguments]
        options = {"encoding": "utf-8", "capture_output": True, "timeout": 120, **options}
        if "input" not in options:
            options.setdefault("stdin", subprocess.DEVNULL)
        result = subprocess.run(words, check=False, **options)
        return Result(result.returncode, result.stdout or "", result.stderr or "")

    return call


def installed_path(command: str) -> Path:
    """The console script beside this interpreter."""
    path = Path(sys.executable).parent / (command + (".exe" if os.name == "nt" else ""))
    if not path.exists():
        pytest.skip(f"{command} is not installed beside {sys.executable}")
    return path
