"""``muomni-run`` in this process, with a stand-in for the model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.runtime.cli.fake import FakeOmni

import muomni
from muomni.cli.run import main

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def omni(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeOmni]:
    fake = FakeOmni()
    monkeypatch.setitem(vars(muomni), "Omni", fake)
    monkeypatch.delenv("MUOMNI_MODEL", raising=False)
    yield fake


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Run:
    """Run the command; give its exit code, stdout and stderr."""

    def call(*arguments: str | Path) -> tuple[int, str, str]:
        capfd.readouterr()
        with pytest.raises(SystemExit) as left:
            main([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        return int(left.value.code or 0), out, err

    return call
