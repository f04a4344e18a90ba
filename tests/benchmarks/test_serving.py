"""The load generator against a real server, and what it makes of its figures."""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SPREAD = {"p50", "p95", "max", "samples"}


@pytest.fixture(scope="module")
def load() -> Iterator[Any]:
    """Import a file of benchmarks/, which are scripts and not a package."""
    sys.path.insert(0, str(BENCHMARKS))
    before = set(sys.modules)
    yield importlib.import_module
    sys.path.remove(str(BENCHMARKS))
    for name in set(sys.modules) - before:
        if str(BENCHMARKS) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.mark.slow
def test_two_people_talk_and_two_clients_read(load: Any, tmp_path: Path) -> None:
    chat, tables = load("load.chat"), load("tables")
    with load("load.server").serving() as server:
        out = tmp_path / "voices.json"
        options = ["voices", "2", "--url", server.url, "--pid", str(server.pid), "--out", str(out)]
        load("serving").main([*options, "--seconds", "3", "--begin-within", "0.3"])
        result = json.loads(out.read_text())
        read = asyncio.run(chat.throughput(chat.Asking(server.url, "muomni", 16), 2, 1.0, server.pid))
    row = result["rows"][0]
    assert result["machine"] and result["versions"]["muomni"] and row["conversations"] == 2
    assert row["replies"] >= 2 and row["failures"] == row["errors"] == [] and row["speech_heard_s"] > 1
    for name in ("first_sound_ms", "detected_ms", "first_text_ms", "client_late_ms"):
        assert set(row[name]) == SPREAD and row[name]["samples"] >= 2
    assert row["detected_ms"]["p50"] <= row["first_text_ms"]["p50"] <= row["first_sound_ms"]["p50"]
    assert row["server_cores"] > 0 and row["client_cores"] > 0 and row["server_rss_mb"] > 50
    assert len(tables.voices_table(result).splitlines()) == 3
    assert read["connections"] == 2 and read["tokens_per_s"] > 0 and read["answers"] >= 2
    assert read["failures"] == [] and set(read["first_token_ms"]) == SPREAD


def test_a_listener_hears_gaps_where_sound_comes_late(load: Any) -> None:
    playing = load("load.playing").Playing()
    for at, seconds in ((1.0, 0.5), (1.4, 0.5), (2.5, 0.5)):
        playing.came(at, seconds)
    assert (playing.first_at, playing.gaps, playing.seconds) == (1.0, 1, 1.5)
    assert playing.gap_s == pytest.approx(0.5) and playing.until == pytest.approx(3.0)


def test_frames_are_found_however_they_are_cut(load: Any) -> None:
    websocket = load("load.websocket")
    long = b"x" * 70_000
    data = (
        bytes([0x81, 2]) + b"{}" + bytes([0x89, 1]) + b"p" + bytes([0x01, 1]) + b"a" + bytes([0x80, 1]) + b"b"
    )
    data += bytes([0x81, 127]) + len(long).to_bytes(8, "big") + long
    wanted = [(1, b"{}"), (9, b"p"), (1, b"ab"), (1, long)]
    for size in (1, 7, len(data)):
        frames, found = websocket.Frames(), []
        for at in range(0, len(data), size):
            found += frames.feed(data[at : at + size])
        assert found == wanted


def test_a_percentile_needs_samples(load: Any) -> None:
    spread = load("load.statistics").spread
    assert spread([]) is None and spread([0.001] * 19)["p95"] is None
    assert spread([0.001 * n for n in range(1, 101)]) == {
        "p50": 50.5,
        "p95": 95.0,
        "max": 100.0,
        "samples": 100,
    }


def test_an_answer_that_ends_too_late_counts_in_part(load: Any) -> None:
    chat = load("load.chat")
    whole = chat.Answer(0.0, first_at=0.1, done_at=2.0, tokens=100)
    assert chat._within(whole, 2.0) == 100 and chat._within(whole, 1.0) == 50
    assert chat._within(chat.Answer(0.0, failure="lost"), 1.0) == 0


def test_servers_are_compared_in_paired_rounds(load: Any) -> None:
    def rounds(*rates: float) -> list[dict[str, Any]]:
        rest = {"first_token_ms": None, "server_cores": 1.0, "client_cores": 0.1, "failures": []}
        return [{"tokens_per_s": rate, **rest} for rate in rates]

    rates = {("muomni", 8): rounds(300, 150), ("fast", 8): rounds(100, 50), ("slow", 8): rounds(60, 20)}
    row = load("serving").text_row("muomni", 8, rates, {"muomni": 90.0})
    assert (row["fastest_peer"], row["times_the_fastest_peer"], row["tokens_per_s"]) == ("fast", 3.0, 225.0)
    table = load("tables").text_table({"rows": [row], "skipped": {"absent": "not installed"}})
    assert "**muomni**" in table and table.endswith("- not run: absent: not installed")
