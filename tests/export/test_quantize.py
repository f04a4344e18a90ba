"""Fewer bits: what they cost, what they leave alone, and the bundles made of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper
from onnx.helper import make_graph, make_model, make_node, make_opsetid, make_tensor_value_info

import muomni
from muomni.bundle.folder import open_bundle
from muomni.bundle.manifest import Manifest
from muomni.errors import InputError
from muomni.models.registry import Models
from muomni.ort.threads import thread_policy
from muomni_export.export import export_bundle
from muomni_export.modules.vocoder import VocoderSizes
from muomni_export.onnx.precision import TOLERANCES, PrecisionPlan
from muomni_export.onnx.quantize import (
    SMALLEST_WEIGHT,
    Blocks,
    block_size,
    halve,
    pack,
    quantise,
    quantise_weights,
)
from muomni_export.onnx.trace import save
from muomni_export.parity.replay import run_case
from muomni_export.stages.registry import FLOAT_GRAPHS
from muomni_export.synthetic.checkpoint_set import SetSizes, set_sizes, write_random_set
from muomni_export.verify import verify_bundle

Matrix = NDArray[np.float32]


def normal(*shape: int, seed: int = 0) -> Matrix:
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


# Blocks


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("block", [16, 32, 128])
@pytest.mark.parametrize("columns", [128, 256, 48, 100, 1])
def test_round_trip_stays_within_a_step(bits: int, block: int, columns: int) -> None:
    matrix = normal(20, columns)
    blocks = quantise(matrix, bits, block)
    count = -(-columns // block)
    assert blocks.codes.shape == (20, count, block) and blocks.codes.max() < 1 << bits
    assert blocks.scales.shape == (20, count) and blocks.scales.dtype == np.float32
    got = blocks.values(columns)
    assert got.shape == matrix.shape
    padded = np.zeros((20, count * block), dtype=np.float32)
    padded[:, :columns] = np.abs(matrix)
    peak = np.repeat(padded.reshape(20, count, block).max(-1), block, axis=1)[:, :columns]
    half = 1 << (bits - 1)
    # Half a step; at the far end of the shorter, positive side a whole one; at 4 bits a clipped peak, too.
    most = peak / half if bits == 8 else peak * 0.25
    assert (np.abs(got - matrix) <= most * 1.001).all()
    error = np.sqrt(np.square(got - matrix).mean() / np.square(matrix).mean())
    assert error < {8: 0.01, 4: 0.12}[bits]


def test_smaller_blocks_and_more_bits_lose_less() -> None:
    matrix = normal(64, 256)

    def error(bits: int, block: int) -> float:
        return float(np.square(quantise(matrix, bits, block).values(256) - matrix).mean())

    for bits in (8, 4):
        errors = [error(bits, block) for block in (16, 32, 64, 128, 256)]
        assert errors == sorted(errors)
    assert error(8, 256) < error(4, 16) / 50


@pytest.mark.parametrize("peak", [3.7, -3.7])
def test_the_largest_weight_of_a_block_is_exact_at_8_bits(peak: float) -> None:
    matrix = normal(5, 64) * 0.1
    matrix[:, 17] = peak
    blocks = quantise(matrix, 8, 64)
    assert (blocks.codes[:, 0, 17] == 0).all()  # the end of the longer, negative side
    assert (np.sign(blocks.scales[:, 0]) == -np.sign(peak)).all()
    np.testing.assert_allclose(blocks.values(64)[:, 17], matrix[:, 17], rtol=1e-6)


def test_clipping_at_4_bits_never_loses_more_than_the_whole_range_would() -> None:
    matrix = normal(50, 128) ** 3  # heavy tails
    half = 8
    peak = np.take_along_axis(matrix, np.abs(matrix).argmax(1)[:, None], axis=1)
    scale = peak / -half
    unclipped = np.clip(np.rint(matrix / scale), -half, half - 1) * scale
    got = quantise(matrix, 4, 128).values(128)
    lost, before = (np.square(x - matrix).sum(1) for x in (got, unclipped))
    assert (lost <= before * 1.0001).all() and lost.sum() < 0.98 * before.sum()


@pytest.mark.parametrize("bits", [8, 4])
def test_blocks_of_zeros_stay_zeros(bits: int) -> None:
    matrix = normal(3, 96)
    matrix[1] = 0
    matrix[0, 32:64] = 0
    got = quantise(matrix, bits, 32).values(96)
    assert np.isfinite(got).all()
    assert (got[1] == 0).all() and (got[0, 32:64] == 0).all() and (got[0, :32] != 0).any()


def test_four_bit_codes_are_packed_lower_half_first() -> None:
    codes = np.arange(16, dtype=np.uint8).reshape(1, 1, 16)
    scales = np.ones((1, 1), dtype=np.float32)
    assert pack(Blocks(codes, scales, 4)).tolist() == [
        [[0x10, 0x32, 0x54, 0x76, 0x98, 0xBA, 0xDC, 0xFE]],
    ]
    assert pack(Blocks(codes, scales, 8)) is codes


@pytest.mark.parametrize(
    ("columns", "block"),
    [(1024, 128), (128, 128), (65, 128), (64, 64), (48, 64), (32, 32), (16, 16), (3, 16)],
)
def test_blocks_are_never_mostly_padding(columns: int, block: int) -> None:
    assert block_size(columns) == block


# Graphs


def graph_of(nodes: list[onnx.NodeProto], weights: dict[str, NDArray[np.generic]]) -> ir.Model:
    graph = make_graph(
        nodes,
        "test",
        [make_tensor_value_info("x", TensorProto.FLOAT, ["B", None])]
        if nodes[0].op_type != "Gather"
        else [make_tensor_value_info("x", TensorProto.INT64, ["B"])],
        [make_tensor_value_info("y", TensorProto.FLOAT, ["B", None])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    return ir.from_proto(make_model(graph, opset_imports=[make_opsetid("", 21)], ir_version=10))


def run_graph(model: ir.Model, x: NDArray[np.generic]) -> Matrix:
    graph = ir.to_proto(model).SerializeToString()
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    (y,) = session.run(None, {"x": x})
    return np.asarray(y)


def operators(model: ir.Model) -> list[str]:
    return [node.op_type for node in model.graph]


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("columns", [48, 100, 128, 320])
@pytest.mark.parametrize("kind", ["MatMul", "Gemm", "Gemm with bias"])
def test_products_compute_with_the_rounded_weights(bits: int, columns: int, kind: str) -> None:
    rows, bias = normal(96, columns), normal(96, seed=1)
    weights: dict[str, NDArray[np.generic]] = {"w": rows if kind != "MatMul" else rows.T.copy()}
    inputs = ["x", "w"]
    if kind == "Gemm with bias":
        weights["b"] = bias
        inputs.append("b")
    attributes = {} if kind == "MatMul" else {"transB": 1}
    model = graph_of([make_node(kind.split()[0], inputs, ["y"], **attributes)], weights)
    quantise_weights(model, bits)
    (node,) = model.graph
    attribute = {name: value.value for name, value in node.attributes.items()}
    assert node.op_type == "MatMulNBits" and node.domain == "com.microsoft"
    assert attribute == {
        "K": columns,
        "N": 96,
        "bits": bits,
        "block_size": block_size(columns),
        "accuracy_level": 4,
    }
    assert "w" not in model.graph.initializers
    x = normal(7, columns, seed=2)
    rounded = quantise(rows, bits, block_size(columns)).values(columns)
    expected = x @ rounded.T + (bias if "bias" in kind else 0)
    # Activations are rounded to 8 bits inside: a percent of the largest value.
    assert np.abs(run_graph(model, x) - expected).max() < 0.02 * np.abs(expected).max()


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("columns", [48, 64, 200])
def test_embeddings_are_looked_up_in_8_bits(bits: int, columns: int) -> None:
    table = normal(50, columns)
    model = graph_of([make_node("Gather", ["w", "x"], ["y"])], {"w": table})
    quantise_weights(model, bits)
    assert operators(model) == ["GatherBlockQuantized"]
    ids = np.array([0, 3, 49, 3], dtype=np.int64)
    expected = quantise(table, 8, block_size(columns)).values(columns)[ids]
    np.testing.assert_allclose(run_graph(model, ids), expected, atol=1e-6)
    assert np.abs(expected - table[ids]).max() < 0.05


@pytest.mark.parametrize(
    ("rows", "columns"),
    [(64, 48), (4, 256), (65, 8), (1, 4096)],
    ids=["64 outputs", "router", "small", "one"],
)
def test_small_products_are_left_alone(rows: int, columns: int) -> None:
    model = graph_of([make_node("MatMul", ["x", "w"], ["y"])], {"w": normal(columns, rows)})
    x = normal(3, columns, seed=1)
    before = run_graph(model, x)
    quantise_weights(model, 4)
    assert operators(model) == ["MatMul"]
    assert (run_graph(model, x) == before).all()


def test_a_table_that_is_read_twice_is_stored_once() -> None:
    nodes = [
        make_node("Gather", ["w", "x"], ["a"]),
        make_node("Gather", ["w", "x"], ["b"]),
        make_node("Add", ["a", "b"], ["y"]),
    ]
    table = normal(50, 64)
    model = graph_of(nodes, {"w": table})
    quantise_weights(model, 8)
    assert sorted(model.graph.initializers) == ["w.codes", "w.scales"]
    ids = np.array([0, 49], dtype=np.int64)
    expected = 2 * quantise(table, 8, 64).values(64)[ids]
    np.testing.assert_allclose(run_graph(model, ids), expected, atol=1e-6)


@pytest.mark.parametrize(("columns", "beside"), [(500, False), (600, True)])
def test_weights_above_a_mebibyte_go_to_a_file_beside_the_graph(
    tmp_path: Path, columns: int, beside: bool
) -> None:
    matrix = normal(512, columns)
    model = graph_of([make_node("MatMul", ["x", "w"], ["y"])], {"w": matrix})
    save(model, tmp_path / "graph.onnx")
    expected = {"graph.onnx", "graph.onnx.data"} if beside else {"graph.onnx"}
    assert {file.name for file in tmp_path.iterdir()} == expected
    (tensor,) = onnx.load(tmp_path / "graph.onnx").graph.initializer
    assert (numpy_helper.to_array(tensor) == matrix).all()


# The plan


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("fp32", {"thinker": "fp32", "vocoder": "fp32"}),
        ("fp16", {"thinker": "fp16", "vocoder": "fp16", "codec": "fp16"}),
        ("int8", {"thinker": "int8", "talker": "int8", "vocoder": "fp32", "codec_encoder": "fp32"}),
        ("int8,thinker=int4", {"thinker": "int4", "talker": "int8", "codec": "fp32"}),
        (" int8 , thinker=int4 , vision=fp32 ", {"thinker": "int4", "vision": "fp32", "audio": "int8"}),
        ("thinker=int4,int8", {"thinker": "int4", "talker": "int8"}),
        ("thinker=int4", {"thinker": "int4", "talker": "fp32"}),
        ("int4,vocoder=fp16", {"thinker": "int4", "vocoder": "fp16", "codec": "fp32"}),
    ],
)
def test_good_plans(text: str, expected: dict[str, str]) -> None:
    plan = PrecisionPlan.parse(text, FLOAT_GRAPHS)
    assert {graph: plan.of(graph) for graph in expected} == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected one of fp32, fp16, int8, int4, got ''"),
        ("int3", "got 'int3'"),
        ("INT8", "got 'INT8'"),
        ("int8,", "got ''"),
        ("thinker=", "got ''"),
        ("thinker=int4=int8=x", "got 'x'"),
        ("int8,int4", "two for the default"),
        ("int8,thinker=int4,thinker=fp16", "two for thinker"),
        ("=int8", "no name before '='"),
        ("vocoder=int8", "vocoder is stored as fp32 or fp16 only, got 'int8'"),
        ("fp32,codec=int4", "codec is stored as fp32 or fp16 only"),
    ],
)
def test_bad_plans(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        PrecisionPlan.parse(text, FLOAT_GRAPHS)


def test_a_plan_for_a_graph_that_is_not_made_is_refused() -> None:
    for text, graph in (("int8,thinkr=int4", "thinkr"), ("int8;thinker=int4", "int8;thinker")):
        with pytest.raises(InputError, match=f"no graph '{graph}' is exported; expected thinker, vision"):
            PrecisionPlan.parse(text, FLOAT_GRAPHS).check(["thinker", "vision"])


# Bundles


def sizes() -> SetSizes:
    """Products large enough to be worth quantising."""
    micro = set_sizes("micro")
    decoder = replace(micro.thinker.decoder, width=128, heads=4, kv_heads=2, hidden=192)
    small_vocoder = VocoderSizes(128, 8, (16, 16), (32, 32), (3,), ((1, 3),))
    return replace(micro, thinker=replace(micro.thinker, decoder=decoder), vocoder=small_vocoder)


@pytest.fixture(scope="module")
def omni_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_random_set(tmp_path_factory.mktemp("set") / "a", sizes(), seed=4)


@pytest.fixture(scope="module")
def text_bundles(omni_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The Thinker alone in every precision. Treat as read-only."""
    folder = tmp_path_factory.mktemp("bundles")
    checkpoint = omni_folder.parent / "thinker_micro"
    return {
        precision: export_bundle(checkpoint, folder / precision, precision=precision).folder
        for precision in TOLERANCES
    }


def manifest_of(folder: Path) -> Manifest:
    return open_bundle(folder).manifest


@pytest.mark.slow
def test_errors_grow_as_bits_go(text_bundles: dict[str, Path]) -> None:
    entries = {name: manifest_of(folder).graphs["thinker"] for name, folder in text_bundles.items()}
    errors = [entries[name].max_error for name in ("fp32", "fp16", "int8", "int4")]
    assert errors == sorted(errors) and len(set(errors)) == 4
    for name, entry in entries.items():
        assert entry.precision == name and entry.tolerance == TOLERANCES[entry.precision]
        assert 0 < entry.max_error < entry.tolerance
        assert entry.agreement is not None and 0.3 < entry.agreement <= 1
    assert entries["fp32"].agreement == 1.0
    assert entries["int4"].agreement <= entries["int8"].agreement  # type: ignore[operator]


@pytest.mark.slow
def test_sizes_shrink_as_bits_go(text_bundles: dict[str, Path]) -> None:
    bytes_of = {
        name: sum(path.stat().st_size for path in folder.glob("thinker.onnx*"))
        for name, folder in text_bundles.items()
    }
    assert bytes_of["fp16"] < 0.52 * bytes_of["fp32"]
    assert bytes_of["int8"] < 0.35 * bytes_of["fp32"]
    assert bytes_of["int4"] < 0.27 * bytes_of["fp32"]


@pytest.mark.slow
@pytest.mark.parametrize("precision", list(TOLERANCES))
def test_every_precision_answers_and_verifies(text_bundles: dict[str, Path], precision: str) -> None:
    folder = text_bundles[precision]
    omni = muomni.Omni.load(folder, device="cpu", threads=1)
    omni.verify()
    verify_bundle(folder)
    reply = omni.generate("What is it?", max_new_tokens=12)
    assert 1 <= reply.completion_tokens <= 12
    assert reply.token_ids == omni.generate("What is it?", max_new_tokens=12).token_ids
    # Cached steps are as good as a prefill: what is rounded does not depend on where a position stands.
    ids = [1, *omni.tokenizer.encode("some longer text to look at")]
    whole = omni.thinker.feed(omni.thinker.start(), ids).copy()
    assert np.abs(omni.thinker.logits(ids)[-1] - whole).max() < 0.05
    assert np.abs(whole).max() > 0.5


@pytest.mark.slow
@pytest.mark.parametrize(("precision", "bits"), [("int8", 8), ("int4", 4)])
def test_products_and_embeddings_are_quantised_and_norms_are_not(
    text_bundles: dict[str, Path], precision: str, bits: int
) -> None:
    graph = onnx.load(text_bundles[precision] / "thinker.onnx").graph
    kinds = [node.op_type for node in graph.node]
    assert kinds.count("MatMulNBits") == 2 * 4 + 1 and kinds.count("GatherBlockQuantized") == 1
    assert "MatMul" not in kinds and "Gemm" not in kinds
    names = {tensor.name for tensor in graph.initializer}
    assert not any(node.op_type == "Gather" and node.input[0] in names for node in graph.node)
    for node in graph.node:
        if node.op_type == "MatMulNBits":
            attribute = {a.name: a.i for a in node.attribute}
            assert attribute["bits"] == bits and attribute["accuracy_level"] == 4
    for tensor in graph.initializer:
        if tensor.name.endswith("norm.weight") or "norm1" in tensor.name or "norm2" in tensor.name:
            assert tensor.data_type == TensorProto.FLOAT


@pytest.mark.slow
def test_float16_computes_in_float32_with_the_rounded_weights(
    text_bundles: dict[str, Path], tmp_path: Path
) -> None:
    model = onnx.load(text_bundles["fp32"] / "thinker.onnx")
    rounded_weights = 0
    for tensor in model.graph.initializer:
        array = numpy_helper.to_array(tensor)
        if array.dtype == np.float32 and array.size >= SMALLEST_WEIGHT:
            rounded = array.astype(np.float16).astype(np.float32)
            assert (rounded != array).any()
            tensor.CopyFrom(numpy_helper.from_array(rounded, tensor.name))
            rounded_weights += 1
    assert rounded_weights
    onnx.save(model, tmp_path / "rounded.onnx")
    case = {
        "input_ids": np.random.default_rng(1).integers(0, 512, (1, 40)),
        "media_embeds": np.zeros((1, 0, 128), dtype=np.float32),
        "chunks": np.array([40]),
    }
    bundle = open_bundle(text_bundles["fp16"])
    got = run_case(Models(bundle, "cpu", thread_policy(1)), "thinker", case)["logits"][:, 0]
    session = onnxruntime.InferenceSession(tmp_path / "rounded.onnx", providers=["CPUExecutionProvider"])
    inputs = {name: case[name] for name in ("input_ids", "media_embeds")}
    inputs |= {"seqlens_k": np.array([39], np.int32), "total_sequence_length": np.array(40, np.int32)}
    past = {i.name: np.zeros((1, 2, 64, 32), np.float32) for i in session.get_inputs() if "past" in i.name}
    (expected,) = session.run(["logits"], inputs | past)
    np.testing.assert_allclose(got, expected, atol=1e-5)


def test_float16_weights_are_half_and_widened(tmp_path: Path) -> None:
    matrix = normal(512, 600)
    model = graph_of([make_node("MatMul", ["x", "w"], ["y"])], {"w": matrix})
    halve(model)
    (weight,) = model.graph.initializers.values()
    assert weight.dtype == ir.DataType.FLOAT16 and weight.shape == matrix.shape
    save(model, tmp_path / "graph.onnx")
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < 0.51 * matrix.nbytes
    x = normal(3, 512, seed=1)
    expected = x @ matrix.astype(np.float16).astype(np.float32)
    np.testing.assert_allclose(run_graph(model, x), expected, atol=1e-4)


@pytest.mark.slow
def test_a_precision_for_each_graph(omni_folder: Path, tmp_path: Path) -> None:
    plan = "int8,thinker=int4,vision=fp16"
    export_bundle(omni_folder, tmp_path / "bundle", precision=plan)
    manifest = manifest_of(tmp_path / "bundle")
    assert manifest.precision == plan
    assert {graph: entry.precision for graph, entry in manifest.graphs.items()} == {
        "thinker": "int4",
        "vision": "fp16",
        "audio": "int8",
        "talker": "int8",
        "codec": "fp32",
        "codec_encoder": "fp32",
        "vocoder": "fp32",
        "ocr_encoder": "int8",
        "ocr": "int8",
    }
    for entry in manifest.graphs.values():
        assert entry.tolerance == TOLERANCES[entry.precision]
    omni = muomni.Omni.load(tmp_path / "bundle", device="cpu", threads=1)
    reply = omni.generate(
        "What?",
        images=[np.zeros((8, 8, 3), np.uint8)],
        audio=(normal(8000), 16_000),
        max_new_tokens=3,
        speech=True,
        speech_frames=4,
    )
    assert reply.speech is not None and np.isfinite(reply.speech.samples).all()


@pytest.mark.slow
def test_a_router_of_experts_stays_float32(tmp_path: Path) -> None:
    folder = write_random_set(tmp_path / "set", sizes(), seed=4, experts=3).parent / "thinker_micro"
    export_bundle(folder, tmp_path / "bundle", precision="int8")
    graph = onnx.load(tmp_path / "bundle" / "thinker.onnx").graph
    kinds = [node.op_type for node in graph.node]
    assert kinds.count("MatMul") == 2  # one router a layer
    assert kinds.count("MatMulNBits") == 2 * (2 + 3 * 3) + 1


def test_a_plan_for_a_missing_graph_writes_nothing(omni_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no graph 'talker' is exported"):
        export_bundle(omni_folder.parent / "thinker_micro", tmp_path / "bundle", precision="int8,talker=fp32")
    assert list(tmp_path.iterdir()) == []
