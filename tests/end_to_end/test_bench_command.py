"""``muomni-bench`` on a real bundle."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Installed = Callable[..., Any]
PARITY = Path(__file__).parents[1] / "data" / "parity" / "checkpoints" / "omni_sft_tiny"


@pytest.mark.slow
def test_one_round_against_torch_is_one_json_document(
    installed: Installed, parity_bundle: Path, tmp_path: Path
) -> None:
    out = tmp_path / "bench.json"
    words = ["--model", parity_bundle, "--json", "--rounds", "1", "--threads", "1", "--out", out]
    result = installed("muomni-bench", *words, "--against", "torch", "--checkpoint", PARITY, timeout=300)
    assert result.code == 0, result.err
    value = json.loads(result.out.splitlines()[-1])
    assert value == json.loads(out.read_text(encoding="utf-8"))
    assert value["thinker"]["decode_tokens_per_s"] > 0
    assert value["thinker"]["first_token_ms"] > 0
    assert value["speech"]["real_time_factor"] > 0
    assert value["start"]["process_s"] > 0
    assert value["memory"]["peak_rss_mb"] > 10
    assert {"vision", "audio", "talker", "codec", "vocoder"} <= set(value["stages"])
    assert {"text", "image", "audio"} <= set(value["requests"])
    assert value["against"]["torch"]["same_tokens"] == 1.0
    assert value["limit"]["memory_tokens_per_s"] > 0


def test_against_needs_a_checkpoint(installed: Installed, tmp_path: Path) -> None:
    result = installed("muomni-bench", "--model", tmp_path, "--against", "torch")
    assert result.code == 2
    assert "--checkpoint" in result.err


def test_a_missing_bundle_fails_plainly(installed: Installed, tmp_path: Path) -> None:
    result = installed("muomni-bench", "--model", tmp_path / "none")
    assert result.code == 1
    assert "no such folder" in result.err and "Traceback" not in result.err
