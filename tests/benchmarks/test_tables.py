"""What turns measurements into the published tables."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def load() -> Iterator[Any]:
    """Import a file of benchmarks/, which are scripts and not a package."""
    sys.path.insert(0, str(BENCHMARKS))
    before = set(sys.modules)

    def found(name: str) -> ModuleType:
        return importlib.import_module(name)

    yield found
    sys.path.remove(str(BENCHMARKS))
    for name in set(sys.modules) - before:
        if str(BENCHMARKS) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def rounds(*rates: float, ids: tuple[int, ...] = (1, 2, 3)) -> list[dict[str, Any]]:
    return [{"tokens_per_s": r, "prefill_ms": 1.0, "peak_rss_mb": r, "ids": list(ids)} for r in rates]


def test_ratio_is_of_paired_rounds_to_the_fastest_peer_of_the_precision(load: Any) -> None:
    samples = {
        ("muomni", "int8"): rounds(300, 150, 320, ids=(1, 2, 9)),
        ("fast", "int8"): rounds(100, 50, 200),
        ("slow", "int8"): rounds(10, 20, 30),
        ("faster", "fp32"): rounds(9000, 9000, 9000),
    }
    row = load("results").row(("muomni", "int8"), samples, [1, 2, 3], [1, 2, 3])
    assert row["fastest_peer"] == "fast"
    assert row["times_the_fastest_peer"] == 3.0  # the median of 3, 3 and 1.6, not 300 / 100
    assert row["tokens_per_s"] == 300
    assert row["peak_rss_mb"] == 320
    assert row["equal_ids_before_the_first_difference"] == 2
    assert row["teacher_forced_agreement"] == 1.0


def test_without_peers_and_reference_there_is_no_ratio(load: Any) -> None:
    row = load("results").row(("muomni", "fp32"), {("muomni", "fp32"): rounds(1, 2, 3)}, None, None)
    assert row["fastest_peer"] is None and row["times_the_fastest_peer"] is None
    assert row["equal_ids_before_the_first_difference"] is None


def test_table_sorts_by_precision_and_speed_and_names_what_did_not_run(load: Any) -> None:
    samples = {
        ("peer", "int8"): rounds(100, ids=(1, 7, 3)),
        ("muomni", "int8"): rounds(200),
        ("peer", "fp32"): rounds(50),
    }
    row = load("results").row
    rows = [row(key, samples, [1, 9, 3], [1, 2, 3]) for key in samples]
    lines = load("tables").compare_table({"rows": rows, "skipped": {"other fp32": "no module"}}).splitlines()
    assert [line.split(" | ")[:4] for line in lines[2:5]] == [
        ["| peer", "fp32", "50", "1.00"],
        ["| **muomni**", "int8", "200", "2.00"],
        ["| peer", "int8", "100", "1.00"],
    ]
    assert lines[3].endswith("| all 3 |")
    assert lines[4].endswith("| 1 of 3; 66.7 % |")
    assert lines[-1] == "- not run: other fp32: no module"


def test_profile_reads_kernel_times_alone_and_adds_them_by_operator(load: Any) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    profile = load("profile_step")

    def event(name: str, operator: str, us: float, category: str = "Node") -> dict[str, Any]:
        return {"cat": category, "name": name, "dur": us, "args": {"op_name": operator}}

    events = [
        event("head_kernel_time", "MatMul", 60),
        event("head_fence_before", "MatMul", 1000),
        event("a_kernel_time", "Add", 10),
        event("b_kernel_time", "Add", 30),
        event("model_run", "", 5000, "Session"),
    ]
    nodes = profile.nodes_of(events, {"head": 6000})
    assert [node["name"] for node in nodes] == ["head", "b", "a"]
    assert [node["share"] for node in nodes] == [0.6, 0.3, 0.1]
    assert profile.by_operator(nodes)["Add"] == {"nodes": 2, "us": 40.0, "share": 0.4, "weight_bytes": 0}
    assert load("tables").rate({"weight_bytes": 600_000, "us": 60.0}) == "10.0"


def test_rows_of_a_projection_are_interleaved_head_by_head(load: Any) -> None:
    np = pytest.importorskip("numpy")
    pytest.importorskip("torch")
    halves = np.arange(8, dtype=np.float32)[:, None]  # two heads of four rows
    pairs = load("gguf_file").interleave_rotary(halves, 2)
    assert pairs[:, 0].tolist() == [0, 2, 1, 3, 4, 6, 5, 7]


def test_names_of_weights_in_other_formats(load: Any) -> None:
    pytest.importorskip("torch")
    gguf_name, hugging_face_name = load("gguf_file").gguf_name, load("llama_form").hugging_face_name
    assert gguf_name("blocks.3.attn.q.weight") == "blk.3.attn_q.weight"
    assert gguf_name("norm.weight") == "output_norm.weight"
    assert hugging_face_name("blocks.3.norm1.weight") == "model.layers.3.input_layernorm.weight"
    assert hugging_face_name("blocks.3.attn.o.weight") == "model.layers.3.self_attn.o_proj.weight"


def test_every_contender_names_a_file_of_its_own(load: Any) -> None:
    contenders = load("contenders").CONTENDERS
    assert contenders
    for entry in contenders.values():
        module, _, name = entry.place.partition(":")
        text = (BENCHMARKS / "contenders" / f"{module}.py").read_text(encoding="utf-8")
        assert f"class {name}(" in text
        assert set(entry.precisions) <= set(load("models").PRECISIONS)


def test_threads_are_compared_with_one_thread_under_the_same_load(load: Any) -> None:
    threads = load("threads")
    rows = [
        {"size": "tiny", "precision": "int8", "busy": busy, "step_ms": 1.0 + busy, "times_one_thread": ratio}
        for busy in (0, 2)
        for ratio in (1.0, *(busy + index / 4 for index in range(1, len(threads.WAYS))))
    ]
    first, second = threads.table(rows).splitlines()[2:]
    assert first == "| tiny int8 | 0 | 1.00 | 0.25 | 0.50 | 0.75 | 1.00 |"
    assert second == "| tiny int8 | 2 | 3.00 | 2.25 | 2.50 | 2.75 | 3.00 |"


def cuda_result() -> dict[str, Any]:
    rows = [
        {"size": "tiny", "batch": 1, "floor_ms": 0.03, "skipped": {"torch, eager": "no GPU"}}
        | {"step_ms": {"muomni": 0.5, "muomni, CPU": 0.4}},
        {"size": "tiny", "batch": 8, "floor_ms": 0.04, "skipped": {}}
        | {"step_ms": {"muomni": 0.6, "muomni, CUDA graphs": 0.2, "muomni, CPU": 0.5}},
    ]
    checks = [{"name": "demo: graphs", "passed": True}, {"name": "demo: replies", "passed": False}]
    talk = {
        "name": "muomni",
        "size": "tiny",
        "conversations": 8,
        "tokens_per_s_each": 100.0,
        "tokens_per_s": 800.0,
    }
    return {
        "machine": {"cpu": "a CPU"},
        "device": "cuda",
        "precision": "fp16",
        "cpu_precision": "int8",
        "seconds": 300,
        "checks": checks,
        "decode": rows,
        "copied_gb_per_s": 800.0,
        "conversations": [talk | {"longest_wait_ms": 2.5}],
        "errors": {"requests": "it broke"},
    }


def test_the_cuda_table_says_what_is_wrong_what_is_missing_and_from_where_on_it_pays(load: Any) -> None:
    figures, result = load("cuda_figures"), cuda_result()
    result["pays"] = figures.pays_from(result["decode"])
    assert result["pays"] == ["tiny: the device is faster than the CPU from 8 rows on"]
    table = load("tables").cuda_table(result)
    for part in (
        "| demo: replies | **wrong** |",
        "| tiny, 1 | 0.030 | 0.500 | 0.400 |  |",
        "- not run: torch, eager: no GPU",
        "| muomni, tiny | 8 | 100 | 800 | 2.5 |",
        "- error in requests: it broke",
    ):
        assert part in table


def test_another_choice_is_forgiven_only_where_it_is_as_good(load: Any) -> None:
    import numpy as np

    wanted = np.array([[1.0, 2.0, 0.0], [3.0, 0.0, 2.5]], dtype=np.float32)
    got = wanted + np.array([[0, 0, 0], [0, 0, 0.75]], dtype=np.float32)
    found = load("cuda_checks").agreement(wanted, got)
    assert found == {"agreement": 0.5, "largest_difference": 0.75, "largest_regret": 0.5}


def test_a_reply_with_another_id_is_right_only_where_the_cpu_finds_it_as_good(load: Any) -> None:
    checks = load("cuda_checks")
    tops = [{1: -0.1, 2: -3.0}, {5: -0.700, 6: -0.701}]
    wanted = {
        "a": checks.Answer([1, 5], tops),
        "b": checks.Answer([1, 5], tops),
        "turn": checks.Answer([9], [{9: 0.0}], after="b"),
        "next turn": checks.Answer([9], [{9: 0.0}], after="turn"),
    }
    got = {"a": [1, 5], "b": [1, 6], "turn": [3], "next turn": [4]}
    answers = {name: checks.Answer(ids) for name, ids in got.items()}
    check = checks.judged(wanted, answers, 0.01)
    assert check.passed and check.found["same"] == 1 and list(check.found["as_good"]) == ["b"]
    answers["a"] = checks.Answer([2, 5])
    assert not checks.judged(wanted, answers, 0.01).passed
    answers["a"] = checks.Answer([1])
    assert not checks.judged(wanted, answers, 0.01).passed


def test_the_script_called_cuda_does_not_hide_nvidias_package(
    load: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cuda" / "bindings").mkdir(parents=True)
    (tmp_path / "cuda" / "bindings" / "runtime.py").write_text("version = 13\n")
    monkeypatch.delitem(sys.modules, "cuda", raising=False)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    try:
        assert load("cuda.bindings.runtime").version == 13
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == "cuda"]:
            del sys.modules[name]
