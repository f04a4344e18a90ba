"""The decoder graphs: what they are made of, and that any batch, length and chunking gives torch's numbers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray

from muomni.bundle.folder import open_bundle
from muomni.errors import CheckpointError, MuomniError
from muomni.models.registry import Models
from muomni.ort.decoder import Decoder
from muomni.ort.threads import thread_policy
from muomni_export.checkpoint.checkpoint_set import read_checkpoint
from muomni_export.checkpoint.load import Modules, load_modules
from muomni_export.export import export_bundle
from muomni_export.parity.replay import run_case
from muomni_export.stages.talker.reference import start_codes
from muomni_export.synthetic.checkpoint_set import SetSizes, set_sizes, write_random_set

CLOSE = 2e-5


@dataclass(frozen=True)
class Exported:
    folder: Path
    modules: Modules
    stages: Models

    def graph(self, name: str) -> onnx.GraphProto:
        return onnx.load(self.folder / f"{name}.onnx").graph

    @property
    def thinker(self) -> Decoder:
        return self.stages.thinker().decoder


def export_stage(folder: Path, sizes: SetSizes, stage: str = "thinker", **options: bool) -> Exported:
    omni = write_random_set(folder / "set", sizes, seed=2, **options)
    checkpoint = omni.parent / f"{stage}_{sizes.name}"
    export_bundle(checkpoint, folder / "bundle")
    stages = Models(open_bundle(folder / "bundle"), "cpu", thread_policy(1))
    return Exported(folder / "bundle", load_modules(read_checkpoint(checkpoint)), stages)


@pytest.fixture(scope="module")
def thinker(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """Two layers, four heads over two of keys and values, a context of 128."""
    return export_stage(tmp_path_factory.mktemp("thinker"), set_sizes("micro"))


@pytest.fixture(scope="module")
def talker(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """Two layers, three heads over one; without a vocoder."""
    return export_stage(tmp_path_factory.mktemp("talker"), set_sizes("micro"), "talker", without=("vocoder",))


def torch_logits(exported: Exported, ids: NDArray[np.int64], media: NDArray[np.float32]) -> torch.Tensor:
    thinker = exported.modules.thinker
    assert thinker is not None
    with torch.no_grad():
        return thinker(torch.cat((torch.from_numpy(media), thinker.tok_emb(torch.from_numpy(ids))), dim=1))


def media_rows(exported: Exported, batch: int, count: int) -> NDArray[np.float32]:
    assert exported.modules.thinker is not None
    width = exported.modules.thinker.sizes.decoder.width
    return np.random.default_rng(8).standard_normal((batch, count, width), dtype=np.float32)


# What the graphs are made of


@pytest.mark.parametrize("which", ["thinker", "talker"])
def test_one_attention_and_one_product_of_all_its_inputs_a_layer(
    which: str, request: pytest.FixtureRequest
) -> None:
    exported: Exported = request.getfixturevalue(which)
    module = getattr(exported.modules, which)
    sizes = module.sizes.decoder
    graph = exported.graph(which)
    made_by = {output: node for node in graph.node for output in node.output}
    weights = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    attentions = [node for node in graph.node if node.op_type == "GroupQueryAttention"]
    assert len(attentions) == sizes.layers
    for layer, node in enumerate(attentions):
        packed, key, value, past_key, past_value, lengths, total, cosines, sines = node.input[:9]
        assert (key, value) == ("", "")
        assert (past_key, past_value) == (f"past.{layer}.key", f"past.{layer}.value")
        assert (lengths, total) == ("seqlens_k", "total_sequence_length")
        assert list(node.output[1:]) == [f"present.{layer}.key", f"present.{layer}.value"]
        product = made_by[packed]
        assert product.op_type == "MatMul"
        columns = (sizes.heads + 2 * sizes.kv_heads) * sizes.head_size
        assert weights[product.input[1]] == (sizes.width, columns)
        assert weights[cosines] == weights[sines]
        assert weights[cosines][1] == sizes.head_size // 2
        attributes = {a.name: a.i for a in node.attribute}
        assert attributes["num_heads"] == sizes.heads and attributes["kv_num_heads"] == sizes.kv_heads
        assert attributes["do_rotary"] == 1 and not attributes.get("rotary_interleaved")
    products = [node for node in graph.node if node.op_type in ("MatMul", "Gemm")]
    heads = {"thinker": 1, "talker": 2}[which]
    # query-key-value, output, gate-up and down.
    assert len(products) == 4 * sizes.layers + heads


@pytest.mark.parametrize("which", ["thinker", "talker"])
def test_free_axes_are_named_and_all_others_fixed(which: str, request: pytest.FixtureRequest) -> None:
    graph = request.getfixturevalue(which).graph(which)
    axes = {
        tensor.name: [d.dim_param or d.dim_value for d in tensor.type.tensor_type.shape.dim]
        for tensor in (*graph.input, *graph.output)
    }
    batch = axes["seqlens_k"][0]
    assert isinstance(batch, str)
    assert axes["total_sequence_length"] == []
    for name, shape in axes.items():
        if name.startswith(("past.", "present.")):
            assert shape[0] == batch and isinstance(shape[2], str)
            assert all(isinstance(size, int) and size > 0 for size in (shape[1], shape[3]))
    step = axes["input_ids" if which == "thinker" else "codes"]
    assert step[0] == batch and isinstance(step[1], str) and step[1] != batch
    if which == "thinker":
        assert axes["media_embeds"][0] == batch and axes["media_embeds"][1] not in (batch, step[1])
        assert axes["logits"][1:] == [512]


@pytest.mark.parametrize(
    ("graph", "wide"), [("vision", "pixels"), ("audio", "mel"), ("codec", "codes"), ("codec_encoder", "mel")]
)
def test_the_other_graphs_take_any_batch(
    tmp_path_factory: pytest.TempPathFactory, talker: Exported, graph: str, wide: str
) -> None:
    if graph.startswith("codec"):
        exported = talker
    else:
        name = {"vision": "vision", "audio": "audio_enc"}[graph]
        exported = export_stage(tmp_path_factory.mktemp(graph), set_sizes("micro"), name)
    random = np.random.default_rng(4)
    makers = {
        "vision": lambda n, _: random.random((n, 3, 32, 32), dtype=np.float32),
        "audio": lambda n, t: random.random((n, t, 128), dtype=np.float32),
        "codec": lambda n, t: random.integers(0, 32, (n, t, 2)),
        "codec_encoder": lambda n, t: random.random((n, t, 128), dtype=np.float32),
    }
    session = exported.stages.sessions.of(graph)
    for batch, time in ((1, 1), (2, 9), (5, 100)):
        inputs = makers[graph](batch, time)
        together = session.run({wide: inputs})
        for name, rows in together.items():
            for row in range(batch):
                alone = session.run({wide: inputs[row : row + 1]})[name][0]
                assert np.abs(alone - rows[row]).max() < CLOSE, (name, batch, time)


# Any batch, length and chunking


def check_chunks(exported: Exported, batch: int, media: int, chunks: list[int]) -> None:
    rows = media_rows(exported, batch, media)
    ids = np.random.default_rng(batch).integers(0, 512, (batch, sum(chunks) - media))
    case = {"input_ids": ids, "media_embeds": rows, "chunks": np.array(chunks)}
    got = run_case(exported.stages, "thinker", case)["logits"]
    expected = torch_logits(exported, ids, rows)[:, np.cumsum(chunks) - 1].numpy()
    assert np.abs(got - expected).max() < CLOSE


@pytest.mark.parametrize("batch", [1, 2, 5])
@pytest.mark.parametrize(
    ("media", "chunks"),
    [(0, [1]), (0, [2]), (3, [3]), (3, [5, 1, 1]), (0, [128]), (32, [128]), (0, [1] * 12)],
    ids=str,
)
def test_any_batch_up_to_the_whole_context(
    thinker: Exported, batch: int, media: int, chunks: list[int]
) -> None:
    check_chunks(thinker, batch, media, chunks)


@pytest.mark.parametrize("chunks", [[120, 1, 7], [1, 127], [60, 60, 8]], ids=str)
def test_one_row_goes_on_with_several_positions(thinker: Exported, chunks: list[int]) -> None:
    check_chunks(thinker, 1, 2 if chunks[0] > 2 else 0, chunks)


def test_several_rows_that_go_on_with_several_positions_are_refused(thinker: Exported) -> None:
    """A limit of the attention op on the CPU: such rows are fed alone, or one position at a time."""
    with pytest.raises(MuomniError, match="2 rows can go on by 1 position at a time, got 2"):
        check_chunks(thinker, 2, 0, [5, 2])


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_talker_in_any_batch(talker: Exported, batch: int) -> None:
    module = talker.modules.talker
    assert module is not None
    codes = np.random.default_rng(batch).integers(0, 32, (batch, 300, 2))
    codes[:, 0] = start_codes(module)
    chunks = np.array([290, *[1] * 10])
    got = run_case(talker.stages, "talker", {"codes": codes, "chunks": chunks})
    with torch.no_grad():
        base, residual = module(module.embed(torch.from_numpy(codes[:, 1:])))
    for name, expected in (("base_logits", base), ("residual_logits", residual)):
        assert np.abs(got[name] - expected[:, chunks.cumsum() - 1].numpy()).max() < CLOSE


@pytest.mark.parametrize("lengths", [(1, 2), (3, 90, 17), (40, 40, 1, 7, 100)], ids=str)
def test_rows_of_different_lengths_are_what_each_is_alone(
    thinker: Exported, lengths: tuple[int, ...]
) -> None:
    """``seqlens_k`` differs between the rows of a step; every row has its own positions and its own past."""
    decoder, steps = thinker.thinker, 20
    random = np.random.default_rng(9)
    texts = [random.integers(0, 512, (1, length + steps)) for length in lengths]
    state = decoder.start(len(lengths))
    # What lies in a buffer beyond a row's length must not matter.
    state.reserve(128)
    for buffer in state._buffers:
        buffer[...] = 1000.0
    for row, (text, length) in enumerate(zip(texts, lengths, strict=True)):
        alone = decoder.start(1)
        feeds = {"input_ids": text[:, :length], "media_embeds": media_rows(thinker, 1, 0)}
        decoder.feed(alone, length, feeds)
        for source, target in zip(alone._buffers, state._buffers, strict=True):
            target[row, :, :length] = source[0, :, :length]
        state.lengths[row] = length
    expected = [torch_logits(thinker, text, media_rows(thinker, 1, 0))[0].numpy() for text in texts]
    for step in range(steps):
        at = [length + step for length in lengths]
        ids = np.array([[text[0, i]] for text, i in zip(texts, at, strict=True)])
        feeds = {"input_ids": ids, "media_embeds": media_rows(thinker, len(lengths), 0)}
        logits = decoder.feed(state, 1, feeds)["logits"]
        for row, i in enumerate(at):
            assert np.abs(logits[row] - expected[row][i]).max() < CLOSE, (step, row)
    assert state.lengths.tolist() == [length + steps for length in lengths]


# Sizes


def one_layer(head: int, context: int = 64) -> SetSizes:
    micro = set_sizes("micro")
    decoder = replace(micro.thinker.decoder, width=2 * head, heads=2, kv_heads=1, layers=1, hidden=32)
    return replace(
        micro,
        thinker=replace(micro.thinker, decoder=decoder, vocabulary=400, context_length=context),
    )


@pytest.mark.parametrize("head", [16, 32, 64, 80, 128])
def test_head_sizes(tmp_path: Path, head: int) -> None:
    exported = export_stage(tmp_path, one_layer(head))
    ids = np.random.default_rng(head).integers(0, 400, (2, 60))
    media = media_rows(exported, 2, 0)
    case = {"input_ids": ids, "media_embeds": media, "chunks": np.array([50, *[1] * 10])}
    got = run_case(exported.stages, "thinker", case)["logits"]
    assert np.abs(got - torch_logits(exported, ids, media)[:, 49:].numpy()).max() < CLOSE


@pytest.mark.parametrize("head", [8, 24, 40])
def test_head_sizes_the_attention_cannot_take_are_refused(tmp_path: Path, head: int) -> None:
    omni = write_random_set(tmp_path / "set", one_layer(head))
    with pytest.raises(CheckpointError, match=f"multiple of 16, got {head}"):
        export_bundle(omni.parent / "thinker_micro", tmp_path / "bundle")


@pytest.mark.parametrize("context", [2, 9])
def test_a_context_shorter_than_the_checks(tmp_path: Path, context: int) -> None:
    exported = export_stage(tmp_path, one_layer(16, context))
    ids = np.random.default_rng(1).integers(0, 400, (1, context))
    media = media_rows(exported, 1, 0)
    case = {"input_ids": ids, "media_embeds": media, "chunks": np.array([1] * context)}
    got = run_case(exported.stages, "thinker", case)["logits"]
    assert np.abs(got - torch_logits(exported, ids, media).numpy()).max() < CLOSE
