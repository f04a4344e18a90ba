"""The console script collects garbage again once the model is loaded: a chat runs for hours."""

from __future__ import annotations

import gc
import sys

import pytest

from muomni.cli import entry


def test_garbage_is_collected_again_when_the_model_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["muomni-run", "--text", "Hello!", "--device", "cpu", "--quiet"])
    try:
        with pytest.raises(SystemExit) as left:
            entry.run()
        assert not left.value.code
        assert gc.isenabled()
    finally:
        gc.enable()
