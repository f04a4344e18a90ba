"""A head that drafts in 4 bits and computes the likeliest tokens exactly."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from onnx import NodeProto, TensorProto, numpy_helper
from onnx.helper import make_graph, make_model, make_node, make_tensor_value_info

import muomni
from muomni.errors import InputError, MuomniError
from muomni_export.export import export_bundle
from muomni_export.onnx.draft_head import add_draft_head
from muomni_export.synthetic.checkpoint_set import set_sizes, write_random_set
from muomni_export.verify import verify_bundle

VOCABULARY = 3000
PROMPTS = ("Hello", "What do you see in the picture?", "a b c d e f g")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    sizes = set_sizes("micro")
    sizes = replace(sizes, thinker=replace(sizes.thinker, vocabulary=VOCABULARY))
    root = tmp_path_factory.mktemp("set")
    return write_random_set(root, sizes, without=("vision", "audio", "talker", "ocr"))


@pytest.fixture(scope="module", params=["fp32", "fp16"])
def bundles(
    request: pytest.FixtureRequest, checkpoint: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """With the exact head, and with the drafting one."""
    folder = tmp_path_factory.mktemp(request.param)
    for name, draft in (("exact", False), ("drafting", True)):
        export_bundle(checkpoint, folder / name, precision=request.param, draft_head=draft)
    return folder / "exact", folder / "drafting"


@pytest.fixture(scope="module")
def exact(bundles: tuple[Path, Path]) -> muomni.Omni:
    return muomni.Omni.load(bundles[0], device="cpu", threads=1)


@pytest.fixture(scope="module")
def drafting(bundles: tuple[Path, Path]) -> muomni.Omni:
    return muomni.Omni.load(bundles[1], device="cpu", threads=1)


def test_greedy_ids_are_those_of_the_exact_head(exact: muomni.Omni, drafting: muomni.Omni) -> None:
    for prompt in PROMPTS:
        expected = exact.generate(prompt, max_new_tokens=60)
        assert drafting.generate(prompt, max_new_tokens=60).token_ids == expected.token_ids
    together = drafting.generate_batch(list(PROMPTS))
    assert [r.token_ids for r in together] == [r.token_ids for r in exact.generate_batch(list(PROMPTS))]


def test_the_likeliest_logits_are_exact_and_the_others_near(
    exact: muomni.Omni, drafting: muomni.Omni
) -> None:
    candidates = drafting.manifest.thinker.draft_candidates
    assert 0 < candidates < VOCABULARY
    for prompt in PROMPTS:
        logits = []
        for each in (exact, drafting):
            ids = [each.tokenizer.bos_id, *each.tokenizer.encode(prompt)]
            logits.append(each.thinker.feed(each.thinker.start(len(ids)), ids).copy())
        expected, got = logits
        best = np.argsort(expected)[-candidates // 2 :]
        scale = np.abs(expected).max()
        assert np.abs(got - expected)[best].max() < 1e-5 * scale
        assert 1e-3 * scale < np.abs(got - expected).max() < 0.3 * scale


def test_the_manifest_says_so_and_the_bundle_verifies(bundles: tuple[Path, Path], checkpoint: Path) -> None:
    assert [row.graph for row in verify_bundle(bundles[1])] == ["thinker"]
    assert [row.graph for row in verify_bundle(bundles[1], checkpoint)] == ["thinker"]
    entry = muomni.Omni.load(bundles[1]).manifest.graphs["thinker"]
    assert entry.max_error <= entry.tolerance < 0.1


@pytest.mark.parametrize("precision", ["int8", "int4", "fp32,thinker=int8"])
def test_a_quantised_head_does_not_draft(checkpoint: Path, tmp_path: Path, precision: str) -> None:
    with pytest.raises(InputError, match="--draft-head: expected fp32 or fp16 for the Thinker, got int"):
        export_bundle(checkpoint, tmp_path / "b", precision=precision, draft_head=True)
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize(
    ("node", "found"),
    [
        (make_node("MatMul", ["x", "w"], ["logits"]), r"MatMul\(x, w\)"),
        (make_node("Gemm", ["x", "w"], ["logits"]), r"Gemm\(x, w\)"),
        (make_node("Gemm", ["x", "w", "b"], ["logits"], transB=1), r"Gemm\(x, w, b\)"),
        (make_node("Gemm", ["x", "x"], ["logits"], transB=1), r"Gemm\(x, x\)"),
        (make_node("MatMul", ["x", "w"], ["y"]), "None"),
    ],
    ids=["other product", "not transposed", "bias", "no weight", "no logits"],
)
def test_a_graph_without_such_a_head_is_refused(node: NodeProto, found: str) -> None:
    weights = {name: np.zeros(shape, np.float32) for name, shape in (("w", (48, 48)), ("b", (48,)))}
    graph = make_graph(
        [node],
        "test",
        [make_tensor_value_info("x", TensorProto.FLOAT, [1, 48])],
        [make_tensor_value_info(node.output[0], TensorProto.FLOAT, [1, 48])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    with pytest.raises(MuomniError, match=f"expected logits = hidden · weightᵀ .* got {found}$"):
        add_draft_head(ir.from_proto(make_model(graph)), 4)


def test_it_needs_a_thinker(tmp_path: Path) -> None:
    omni = write_random_set(tmp_path / "set", "micro")
    with pytest.raises(InputError, match="has no Thinker"):
        export_bundle(omni.parent / "vision_micro", tmp_path / "b", draft_head=True)
