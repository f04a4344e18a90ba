"""Bundles for CUDA: decoders that compute in float16, compared with torch on the CPU, whose attention takes it too."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, numpy_helper
from safetensors.torch import load_file, save_file

import muomni
from muomni.bundle.folder import open_bundle
from muomni.errors import CheckpointError, InputError, ParityError
from muomni.ort.providers import device_for
from muomni_export.checkpoint.checkpoint_set import read_checkpoint
from muomni_export.checkpoint.load import load_modules
from muomni_export.export import export_bundle
from muomni_export.onnx.precision import HALF_MARGIN, TOLERANCES
from muomni_export.synthetic.checkpoint_set import write_random_set
from muomni_export.verify import verify_bundle

DECODERS = ("thinker", "talker", "ocr")
HALF_AT_ITS_END = "ocr_encoder"
"""Float32 inside; what its decoder keeps of a picture is float16."""
IMAGE = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)


def element_types(values: object) -> dict[str, int]:
    return {value.name: value.type.tensor_type.elem_type for value in values}  # type: ignore[attr-defined]


@pytest.mark.parametrize("graph", DECODERS)
def test_attention_and_cache_are_float16_and_logits_float32(cuda_bundle: Path, graph: str) -> None:
    made = onnx.load(cuda_bundle / f"{graph}.onnx").graph
    types = element_types((*made.input, *made.output))
    cache = {name for name in types if name.startswith(("past.", "present.", "cross."))}
    assert cache and {types[name] for name in cache} == {TensorProto.FLOAT16}
    logits = [name for name in types if name.endswith("logits")]
    assert logits and {types[name] for name in logits} == {TensorProto.FLOAT}
    assert {tensor.name for tensor in made.initializer if tensor.data_type == TensorProto.FLOAT} == set()
    assert any(node.op_type == "GroupQueryAttention" for node in made.node)


def test_the_manifest_says_what_computes_in_float16(cuda_bundle: Path) -> None:
    manifest = open_bundle(cuda_bundle).manifest
    assert manifest.attention_dtypes == {"float16"}
    half = {name for name, entry in manifest.graphs.items() if entry.compute_dtype == "float16"}
    assert half == set(DECODERS)
    assert {name: entry.precision for name, entry in manifest.graphs.items()} == {
        name: "fp16" if name in half else "fp32" for name in manifest.graphs
    }
    thinker = manifest.graphs["thinker"]
    assert thinker.weight_bytes == 2 * thinker.parameters


def test_tolerances_are_what_was_measured(cuda_bundle: Path) -> None:
    for name, entry in open_bundle(cuda_bundle).manifest.graphs.items():
        if name in (*DECODERS, HALF_AT_ITS_END):
            assert 1e-5 < entry.max_error < 3e-3, name
            assert entry.tolerance == pytest.approx(HALF_MARGIN * entry.max_error, rel=0.05), name
        else:
            assert entry.max_error <= 1e-5 and entry.tolerance == TOLERANCES["fp32"], name
        if name in DECODERS:
            assert entry.agreement is not None and entry.agreement > 0.98, name


def test_it_is_verified_from_its_recording_and_against_torch(
    cuda_bundle: Path, cuda_checkpoint: Path
) -> None:
    for rows in (verify_bundle(cuda_bundle), verify_bundle(cuda_bundle, cuda_checkpoint)):
        assert {row.graph for row in rows} == set(open_bundle(cuda_bundle).manifest.graphs)


def test_a_weight_that_changed_is_found_at_the_measured_tolerance(cuda_bundle: Path, tmp_path: Path) -> None:
    """Three hundredths of one projection: far within the bound of the export, not within what was measured."""
    bundle = shutil.copytree(cuda_bundle, tmp_path / "changed")
    file = bundle / "thinker.onnx"
    model = onnx.load(file)
    weight = max(model.graph.initializer, key=lambda t: 0 if "emb" in t.name else np.prod(t.dims))
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * np.float16(1.03), weight.name))
    onnx.save(model, file)
    sealed_again(bundle, "thinker.onnx")
    with pytest.raises(ParityError, match=r"thinker: differs by .* the tolerance is 0\.00"):
        verify_bundle(bundle)


def sealed_again(bundle: Path, name: str) -> None:
    import hashlib

    manifest = json.loads((bundle / "manifest.json").read_text())
    content = (bundle / name).read_bytes()
    manifest["files"][name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (bundle / "manifest.json").write_text(json.dumps(manifest))


def test_ids_are_those_of_torch(cuda_bundle: Path, cuda_checkpoint: Path) -> None:
    """Teacher-forced: after each id of a long text, the likeliest next one, where torch's is ahead at all."""
    torch_thinker = load_modules(read_checkpoint(cuda_checkpoint)).thinker
    assert torch_thinker is not None
    ids = [1, *np.random.default_rng(4).integers(3, torch_thinker.sizes.vocabulary, 63).tolist()]
    with torch.inference_mode():
        expected = torch_thinker(torch_thinker.tok_emb(torch.tensor([ids])))[0].numpy()
    with muomni.Omni.load(cuda_bundle, device="cpu") as omni:
        got = omni.thinker.logits(ids)
        tolerance = omni.manifest.graphs["thinker"].tolerance
    error = np.abs(got - expected).max() / max(1.0, np.abs(expected).max())
    assert 0 < error <= tolerance
    rows = np.arange(len(ids))
    regret = expected.max(axis=1) - expected[rows, got.argmax(axis=1)]
    assert regret.max() <= 2 * tolerance * max(1.0, np.abs(expected).max())
    assert np.mean(got.argmax(axis=1) == expected.argmax(axis=1)) > 0.95


def test_the_cpu_runs_it_whole(cuda_bundle: Path) -> None:
    """Text, a picture, speech, several rows, and auto where there is no CUDA."""
    with muomni.Omni.load(cuda_bundle) as omni:
        reply = omni.generate("hello", images=[IMAGE], max_new_tokens=6)
        assert reply.token_ids
        several = omni.generate_batch(["hello", "a longer one", "three"], slots=3)
        assert all(isinstance(each, muomni.Reply) and each.token_ids for each in several)
        assert isinstance(omni.ocr.read(IMAGE), str)
        assert len(omni.generate("hello", max_new_tokens=2, speech=True, speech_frames=8).speech.codes) == 8


def test_a_bundle_for_cuda_may_run_on_cuda(cuda_bundle: Path) -> None:
    assert device_for("cuda", open_bundle(cuda_bundle).manifest.attention_dtypes) == "cuda"


# What is refused


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device": "tpu"}, "device: expected one of cpu, cuda, got 'tpu'"),
        (
            {"device": "cuda", "precision": "fp32"},
            "precision: the decoders: expected fp16, int8 or int4 for CUDA",
        ),
        (
            {"device": "cuda", "precision": "int8,ocr=fp32"},
            "precision: ocr: expected fp16, int8 or int4 for CUDA",
        ),
        ({"device": "cuda", "precision": "bf16"}, "no bfloat16 attention on the CPU"),
        ({"precision": "thinker=bfloat16"}, "no bfloat16 attention on the CPU"),
        ({"device": "cuda", "draft_head": True}, "--draft-head: .* leave it out"),
    ],
)
def test_what_cannot_be_is_refused_before_work(options: dict[str, str], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        export_bundle(tmp_path / "there is none", tmp_path / "out", **options)  # type: ignore[arg-type]


def test_weights_that_float16_cannot_hold_are_named(tmp_path: Path) -> None:
    omni = write_random_set(
        tmp_path / "set", "micro", seed=1, merged=True, without=("talker", "ocr", "vision", "audio")
    )
    file = omni / "model.safetensors"
    state = load_file(file)
    name = next(name for name in state if name.endswith("lm_head.weight"))
    state[name][0, 0] = 1e5
    save_file(state, file)
    with pytest.raises(
        CheckpointError, match=r"expected numbers up to 65504, .* got 1e\+05; .*\(--device cpu\)"
    ):
        export_bundle(omni, tmp_path / "bundle", device="cuda")
    assert not (tmp_path / "bundle").exists()
