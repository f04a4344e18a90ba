"""CUDA is never CUDA in name alone: every node's place is read from ONNX Runtime's record, and checked."""

from __future__ import annotations

from typing import Any

import pytest

from muomni.bundle.demo import demo_bundle
from muomni.errors import ExecutionError
from muomni.ort.placement import RECORD, PlacedNode, by_provider, check_placement, placed_nodes
from muomni.ort.providers import CPU, import_onnxruntime

CUDA = "CUDAExecutionProvider"
ATTENTION = "com.microsoft.GroupQueryAttention"


def nodes(*placed: tuple[str, str]) -> list[PlacedNode]:
    return [PlacedNode(provider, operator, f"node_{i}") for i, (provider, operator) in enumerate(placed)]


def test_an_attention_on_the_cpu_is_refused_and_named() -> None:
    left = nodes((CUDA, "MatMul"), (CPU, ATTENTION), (CPU, "Concat"))
    with pytest.raises(
        ExecutionError, match=r"thinker graph: ONNX Runtime 1\.31\.1 has no CUDA kernel for"
    ) as error:
        check_placement("thinker", left, "1.31.1")
    assert f"{ATTENTION} (node_1), and would" in str(error.value)
    assert "--device cuda" in str(error.value) and "--device cpu" in str(error.value)


def test_of_many_the_first_are_named_and_the_rest_counted() -> None:
    with pytest.raises(ExecutionError, match=r"\(node_0\), .*\(node_1\), .*\(node_2\) and 2 more"):
        check_placement("vocoder", nodes(*[(CPU, "ConvTranspose")] * 5), "1.26.0")


def test_integers_of_shapes_may_stay_on_the_cpu() -> None:
    """What ONNX Runtime 1.31.1 leaves there of the audio encoder."""
    shapes = [(CPU, operator) for operator in ("Squeeze", "Add", "Div", "Reshape", "Concat")]
    check_placement("audio", nodes((CUDA, "Attention"), *shapes), "1.31.1")


def test_all_on_cuda_is_right() -> None:
    check_placement("thinker", nodes((CUDA, ATTENTION), (CUDA, "MatMul")), "1.31.1")


def test_nodes_are_counted_by_provider_and_operator() -> None:
    counted = by_provider(nodes((CUDA, "MatMul"), (CPU, "Concat"), (CUDA, "MatMul"), (CUDA, "Add")))
    assert counted == {CUDA: {"MatMul": 2, "Add": 1}, CPU: {"Concat": 1}}


def recorded_session() -> Any:
    ort = import_onnxruntime()
    if not hasattr(ort.InferenceSession, "get_provider_graph_assignment_info"):
        pytest.skip("this ONNX Runtime keeps no record, and muomni does not use its CUDA")
    options = ort.SessionOptions()
    options.add_session_config_entry(RECORD, "1")
    return ort.InferenceSession(str(demo_bundle() / "thinker.onnx"), options, providers=[CPU])


def test_the_record_of_a_real_session_names_its_nodes() -> None:
    placed = placed_nodes(recorded_session())
    assert set(by_provider(placed)) == {CPU}
    assert by_provider(placed)[CPU][ATTENTION] == 4
    assert all(node.operator and not node.operator.startswith(".") for node in placed)


def test_a_graph_that_runs_on_the_cpu_would_be_refused_for_cuda() -> None:
    """The check itself, on a record that ONNX Runtime made."""
    with pytest.raises(ExecutionError, match=r"MatMulNBits|GroupQueryAttention"):
        check_placement("thinker", placed_nodes(recorded_session()), "1.32.0")
