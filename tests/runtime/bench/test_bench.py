"""The benchmark's arithmetic, without a model and without waiting."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from muomni.bench import limit, machine
from muomni.bench.against import compare, load_opponent
from muomni.bench.decoding import ThinkerRun, fixed_prompt, steps_by_context
from muomni.bench.processes import run_child, start_seconds
from muomni.bench.report import table
from muomni.bench.statistics import interleave, summarise
from muomni.bundle.manifest import GraphEntry
from muomni.errors import InputError, MuomniError


class FakeThinker:
    """Prefers the token after the last one fed."""

    def __init__(self, context_length: int = 32, vocabulary: int = 100) -> None:
        self.stage = SimpleNamespace(context_length=context_length, vocabulary=vocabulary)
        self.fed: list[int] = []

    def start(self, capacity: int = 1) -> SimpleNamespace:
        assert capacity <= self.stage.context_length
        return SimpleNamespace(length=0)

    def feed(self, state: Any, ids: Sequence[int]) -> np.ndarray[Any, Any]:
        state.length += len(ids)
        assert state.length <= self.stage.context_length
        self.fed.append(len(ids))
        logits = np.zeros(self.stage.vocabulary, dtype=np.float32)
        logits[(ids[-1] + 1) % self.stage.vocabulary] = 1
        return logits


class FakeOpponent:
    def prefill(self, prompt: list[int]) -> int:
        return self.step(prompt[-1])

    def step(self, token: int) -> int:
        return (token + 1) % 100


def ticking() -> Any:
    """A clock that advances by a second at every look."""
    return itertools.count().__next__


def run_on(thinker: FakeThinker) -> ThinkerRun:
    return ThinkerRun(thinker)  # type: ignore[arg-type]


def test_percentiles_are_given_only_where_the_samples_hold_them() -> None:
    assert summarise([3, 1, 2]).to_json() == {"median": 2, "best": 1, "p90": None, "p99": None, "samples": 3}
    assert summarise(range(1, 11)).p90 == 9
    assert summarise(range(1, 11)).median == 5.5
    hundred = summarise(range(1, 101))
    assert (hundred.p90, hundred.p99) == (90, 99)


def test_no_samples_are_an_error() -> None:
    with pytest.raises(ValueError, match="no samples"):
        summarise([])


def test_rounds_interleave_and_turn_around_after_a_warm_up() -> None:
    calls: list[str] = []
    actions = {name: lambda name=name: calls.append(name) for name in "ab"}
    seconds = interleave(actions, rounds=2, clock=ticking())
    assert calls == ["b", "a", "a", "b", "b", "a"]
    assert seconds == {"a": [1, 1], "b": [1, 1]}


def test_a_thinker_run_fits_the_context_and_counts_steps() -> None:
    thinker = FakeThinker(context_length=32)
    run = run_on(thinker)
    ids = run.once(ticking())
    assert (run.prompt_tokens, run.new_tokens) == (16, 16)
    assert len(ids) == 16 and thinker.fed == [16] + [1] * 16
    assert run.prefill_seconds == [1] and run.step_seconds == [1] * 16 and run.round_rates == [1.0]
    run.forget()
    assert not run.step_seconds


def test_contexts_end_at_the_longest() -> None:
    assert list(steps_by_context(FakeThinker(64), 1, ticking())) == [16, 32, 64]  # type: ignore[arg-type]


def test_the_prompt_is_the_same_everywhere_and_valid() -> None:
    assert fixed_prompt(8, 100) == fixed_prompt(8, 100)
    assert all(3 <= i < 100 for i in fixed_prompt(500, 100))


def test_comparison_pairs_rounds_and_counts_equal_tokens() -> None:
    result = compare(run_on(FakeThinker()), FakeOpponent(), rounds=3)
    assert result["same_tokens"] == 1.0
    assert result["rounds"] == 3
    assert result["decode_ratio"] > 0 and result["prefill_ratio"] > 0


def test_an_unknown_opponent_is_named_with_what_there_is() -> None:
    with pytest.raises(InputError, match=r"--against: expected one of .*, got 'tensorflow'"):
        load_opponent("tensorflow", Path("x"), 1)


def graph_entry(parameters: int, precision: Any) -> GraphEntry:
    return GraphEntry("thinker.onnx", parameters, precision, max_error=0.0, tolerance=0.0)


@pytest.mark.parametrize(("precision", "expected"), [("fp32", 4000), ("int8", 1031), ("int4", 531)])
def test_the_limit_leaves_the_embedding_table_out(precision: str, expected: int) -> None:
    stage = SimpleNamespace(graph="thinker", vocabulary=100, width=10)
    entry = graph_entry(2000, precision)
    bundle: Any = SimpleNamespace(manifest=SimpleNamespace(thinker=stage, graphs={"thinker": entry}))
    assert limit.weight_bytes_per_token(bundle) == expected


def test_limit_shares_belong_to_their_rates(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = SimpleNamespace(graph="thinker", vocabulary=0, width=10)
    entry = graph_entry(250, "fp32")
    bundle: Any = SimpleNamespace(manifest=SimpleNamespace(thinker=stage, graphs={"thinker": entry}))
    monkeypatch.setattr(limit, "read_bandwidth", lambda size: 1e6 if size > 1e6 else 4e6)
    result = limit.measure_limit(bundle, 500.0)
    assert (result["memory_tokens_per_s"], result["resident_tokens_per_s"]) == (1000, 4000)
    assert (result["memory_share"], result["resident_share"]) == (0.5, 0.125)


def test_start_compares_whole_processes() -> None:
    started: list[str] = []
    result = start_seconds(Path("b"), "cpu", 2, 2, lambda words: started.append(" ".join(words)) or "")
    assert set(result) == {"process", "imports"} and result["process"].samples == 2
    assert sum("--max-new-tokens 1 --threads 2" in words for words in started) == 3


def test_a_child_that_fails_says_why() -> None:
    with pytest.raises(MuomniError, match="no such thing"):
        run_child(["python3", "-c", "import sys; sys.exit('no such thing')"])


def test_machine_is_described() -> None:
    assert machine.processor()
    assert machine.read_bandwidth(1 << 16, seconds=0.001) > 0
    assert machine.installed_bytes()["muomni"] > 10_000


def test_the_table_has_every_figure() -> None:
    lines = list(
        table({"rounds": 2, "thinker": {"step_ms": {"median": 0.5, "p90": None}, "list": ["a", "b"]}})
    )
    text = "\n".join(lines)
    assert "rounds" in text and "median 0.5" in text and "a, b" in text and "p90" not in text
