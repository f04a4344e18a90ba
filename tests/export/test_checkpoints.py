"""Every form a checkpoint comes in gives the numbers of the reference."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from muomni_export.checkpoint.catalogue import MERGED_PARTS
from muomni_export.checkpoint.checkpoint_set import read_checkpoint
from muomni_export.checkpoint.load import Modules, load_modules

PARITY = Path(__file__).parents[1] / "data" / "parity"
OMNI = Path("checkpoints") / "omni_sft_tiny"
ARRAYS = np.load(PARITY / "expected" / "arrays.npz")
EXPECTED = json.loads((PARITY / "expected" / "expected.json").read_text())


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small stages are faster on one thread, by far where the machine is busy."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for part in ("checkpoints", "configs"):
        shutil.copytree(PARITY / part, tmp_path / part)
    return tmp_path


def load(path: Path, config: Path | None = None) -> Modules:
    return load_modules(read_checkpoint(path, config))


def edit(file: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Load a .pt or .json file, change it in place (or take what ``change`` gives), write it again."""
    payload = torch.load(file, weights_only=True) if file.suffix == ".pt" else json.loads(file.read_text())
    payload = change(payload) or payload
    torch.save(payload, file) if file.suffix == ".pt" else file.write_text(json.dumps(payload))


def close(got: torch.Tensor, name: str) -> None:
    np.testing.assert_allclose(got.numpy(), ARRAYS[name], atol=1e-4, rtol=1e-4)


@torch.no_grad()
def check_numbers(modules: Modules, vocoder: bool = True) -> None:
    """All stages compute what the reference computed."""
    thinker, talker, codec = modules.thinker, modules.talker, modules.codec
    assert thinker is not None and talker is not None and codec is not None
    assert modules.audio is not None and modules.audio_projector is not None
    assert modules.vision is not None and modules.vision_projector is not None
    close(thinker(thinker.tok_emb(torch.tensor([EXPECTED["prompt0"]["ids"]])))[0], "prompt0_logits")
    features = modules.audio(torch.tensor(ARRAYS["mel_16k"])[None])[0]
    close(features, "audio_features")
    close(modules.audio_projector(features), "audio_embeds")
    # The embedding of an image is the projection of its class feature.
    projected = modules.vision_projector(torch.tensor(ARRAYS["image0_cls"]))
    close(projected.reshape(ARRAYS["image0_embeds"].shape), "image0_embeds")
    codes = torch.tensor([[[0, 0], *EXPECTED["talker"]["greedy_codes"]]])
    base, residual = talker(talker.embed(codes))
    close(base[0, 1:61], "talker_base_logits")
    close(residual[0, 1:61], "talker_res_logits")
    close(codec.decode(codes[:, 1:])[0], "rvq_mel")
    if vocoder:
        assert modules.vocoder is not None
        close(modules.vocoder(torch.tensor(ARRAYS["mel_normalized"])[None])[0], "vocoder_audio")


def test_omni_folder_as_trained() -> None:
    checkpoint = read_checkpoint(PARITY / OMNI)
    modules = load_modules(checkpoint)
    check_numbers(modules)
    assert checkpoint.root == (PARITY / OMNI).resolve()
    assert modules.thinker.sizes.context_length == 256
    assert checkpoint.tokenizer == (PARITY / "checkpoints" / "thinker_tiny" / "tokenizer.model").resolve()
    assert modules.talker.sizes.frame_rate_hz == 12.5
    assert {stage: file.name for stage, file in modules.sources.items()} == {
        "thinker": "omni.pt",
        "audio_projector": "omni.pt",
        "vision_projector": "omni.pt",
        "vision": "vision.pt",
        "audio": "audio_enc.pt",
        "talker": "talker.pt",
        "codec": "talker.pt",
        "vocoder": "vocoder.pt",
        "ocr": "ocr.pt",
    }
    assert not any(p.requires_grad for p in modules.thinker.parameters())  # type: ignore[union-attr]
    assert any("kv_groups is 1 in the config, 2 in the tensors" in str(note) for note in modules.notes)


@pytest.mark.parametrize("place", ["", "checkpoints", "checkpoints/omni_sft_tiny/omni.pt"])
def test_folder_above_or_file(place: str) -> None:
    check_numbers(load(PARITY / place))


def each_file(root: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    files = list(root.glob("checkpoints/*/*.pt"))
    assert files
    for file in files:
        edit(file, change)


def on_keys(rename: Callable[[str], str]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def change(payload: dict[str, Any]) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for key, value in payload.items():
            weights = isinstance(value, dict) and any(isinstance(v, torch.Tensor) for v in value.values())
            out[key] = {rename(k): v for k, v in value.items()} if weights else value
        return out

    return change


@pytest.mark.parametrize(
    "rename",
    [
        lambda key: "_orig_mod." + key,
        lambda key: "module." + key,
        lambda key: "_orig_mod.module." + key,
        lambda key: key.replace("blocks.0.", "blocks.0._orig_mod."),
    ],
    ids=["compiled", "data parallel", "both", "compiled blocks"],
)
def test_wrapped_keys(root: Path, rename: Callable[[str], str]) -> None:
    each_file(root, on_keys(rename))
    check_numbers(load(root / OMNI))


def test_bare_state_dicts(root: Path) -> None:
    folder = root / "checkpoints"
    edit(folder / "thinker_tiny" / "thinker.pt", lambda p: p["model"])
    edit(folder / "vision_tiny" / "vision.pt", lambda p: p["vit"])
    edit(folder / "audio_enc_tiny" / "audio_enc.pt", lambda p: p["enc"])
    edit(folder / "vocoder_tiny" / "vocoder.pt", lambda p: p["generator"] | {"step": 7})
    check_numbers(load(root / OMNI))
    assert load(folder / "thinker_tiny").thinker is not None


def test_generic_wrapper_and_flat_prefixes(root: Path) -> None:
    folder = root / "checkpoints"
    edit(folder / "vision_tiny" / "vision.pt", lambda p: {"state_dict": p["vit"], "epoch": 3})
    edit(folder / "talker_tiny" / "talker.pt", lambda p: {f"{s}.{k}": v for s in p for k, v in p[s].items()})
    check_numbers(load(root / OMNI))


def test_newest_step_by_number(root: Path) -> None:
    for file in list(root.glob("checkpoints/*/*.pt")):
        file.rename(file.with_name(f"{file.stem}_step_9000.pt"))
        for other in ("step_800", "step_best", "step_10000.tmp"):
            file.with_name(f"{file.stem}_{other}.pt").write_bytes(b"not this one")
    modules = load(root / OMNI)
    check_numbers(modules)
    assert {file.stem.rpartition("_")[2] for file in modules.sources.values()} == {"9000"}


def test_one_step_named_as_a_file(root: Path) -> None:
    folder = root / "checkpoints" / "thinker_tiny"
    shutil.copy(folder / "thinker.pt", folder / "thinker_step_800.pt")
    assert load(folder / "thinker_step_800.pt").sources["thinker"].name == "thinker_step_800.pt"


def test_fine_tuned_thinker_wins(root: Path) -> None:
    file = root / "checkpoints" / "thinker_tiny" / "thinker.pt"
    edit(file, lambda p: p["model"].update({"norm.weight": torch.zeros(64)}))
    check_numbers(load(root / OMNI))
    file.unlink()
    check_numbers(load(root / OMNI))


def test_omni_without_thinker_takes_the_stage(root: Path) -> None:
    edit(root / OMNI / "omni.pt", lambda p: {k: v for k, v in p.items() if k != "thinker"})
    modules = load(root / OMNI)
    assert modules.sources["thinker"].name == "thinker.pt"
    assert any("omni.pt has none" in str(note) for note in modules.notes)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_become_float32(root: Path, dtype: torch.dtype) -> None:
    def convert(payload: dict[str, Any]) -> dict[str, Any]:
        return {k: {n: v.to(dtype) for n, v in p.items()} for k, p in payload.items() if k in ("vit",)}

    edit(root / "checkpoints" / "vision_tiny" / "vision.pt", convert)
    vision = load(root / OMNI).vision
    assert vision is not None and {p.dtype for p in vision.parameters()} == {torch.float32}
    before = load(PARITY / OMNI).vision
    assert before is not None
    torch.testing.assert_close(vision.pos, before.pos, atol=1e-2, rtol=1e-2)


def test_old_audio_attention(root: Path) -> None:
    def old(key: str) -> str:
        return key.replace(".qkv_proj.", ".attn.in_proj_").replace(".out_proj.", ".attn.out_proj.")

    edit(root / "checkpoints" / "audio_enc_tiny" / "audio_enc.pt", on_keys(old))
    check_numbers(load(root / OMNI))


@pytest.mark.parametrize(
    "names",
    [
        ("weight_g", "weight_v"),
        ("parametrizations.weight.original0", "parametrizations.weight.original1"),
    ],
)
def test_weight_norm_is_folded(root: Path, names: tuple[str, str]) -> None:
    def split(payload: dict[str, Any]) -> None:
        state = payload["generator"]
        for key in [k for k in state if k.endswith(".weight")]:
            weight, module = state.pop(key), key.removesuffix("weight")
            gain = weight.flatten(1).norm(dim=1).reshape(-1, 1, 1)
            state[module + names[0]], state[module + names[1]] = gain, weight * 5

    edit(root / "checkpoints" / "vocoder_tiny" / "vocoder.pt", split)
    check_numbers(load(root / OMNI))


def test_buffers_are_ignored(root: Path) -> None:
    def add(payload: dict[str, Any]) -> None:
        payload["thinker"]["blocks.0.attn.rope.inv_freq"] = torch.ones(8)
        payload["thinker"]["blocks.1.attn.rope.cos_cached"] = torch.full((4, 8), float("nan"))
        payload["scaler"] = {"scale": torch.ones(1)}
        payload["best_loss"] = 1.5

    edit(root / OMNI / "omni.pt", add)
    check_numbers(load(root / OMNI))


def test_legacy_torch_format(root: Path) -> None:
    file = root / OMNI / "omni.pt"
    payload = torch.load(file, weights_only=True)
    torch.save(payload, file, _use_new_zipfile_serialization=False)
    check_numbers(load(root / OMNI))


def test_nothing_depends_on_the_files_afterwards(root: Path) -> None:
    modules = load(root / OMNI)
    files = list(root.glob("checkpoints/*/*.pt"))
    assert files
    for file in files:
        file.write_bytes(b"")
    check_numbers(modules)


# Places.


def test_absolute_paths_in_the_config(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    away = tmp_path_factory.mktemp("away")
    shutil.move(root / "checkpoints" / "vision_tiny", away / "eyes")
    edit(root / "configs" / "omni_sft_tiny.json", lambda c: c | {"vision_ckpt": str(away / "eyes")})
    shutil.copy(root / "configs" / "vision_tiny.json", root / "configs" / "eyes.json")
    check_numbers(load(root / OMNI))


def test_moved_folders_are_found_beside(root: Path) -> None:
    edit(
        root / "configs" / "omni_sft_tiny.json",
        lambda c: {
            k: v.replace("checkpoints/", "/gone/") if k.endswith("_ckpt") else v for k, v in c.items()
        },
    )
    modules = load(root / OMNI)
    check_numbers(modules)
    assert any("vision: omni_sft_tiny.json says /gone/vision_tiny" in str(note) for note in modules.notes)


def test_stages_the_config_does_not_name_are_found_beside(root: Path) -> None:
    edit(
        root / "configs" / "omni_sft_tiny.json",
        lambda c: {k: v for k, v in c.items() if not k.endswith("_ckpt")},
    )
    check_numbers(load(root / OMNI))


def test_stage_that_is_nowhere_is_left_out_with_a_note(root: Path) -> None:
    edit(
        root / "configs" / "omni_sft_tiny.json", lambda c: {k: v for k, v in c.items() if k != "vision_ckpt"}
    )
    shutil.rmtree(root / "checkpoints" / "vision_tiny")
    modules = load(root / OMNI)
    assert modules.vision is None and modules.vision_projector is None and modules.audio is not None
    assert any(str(note).startswith("vision: not named in omni_sft_tiny.json") for note in modules.notes)


def test_config_override(root: Path) -> None:
    moved = root / "elsewhere.json"
    (root / "configs" / "omni_sft_tiny.json").rename(moved)
    edit(moved, lambda c: c | {"ctx_len": 99})
    modules = load(root / OMNI, moved)
    check_numbers(modules)
    assert modules.thinker.sizes.context_length == 99
    assert any("99 in the set's config, 256 in the Thinker's" in str(note) for note in modules.notes)


@pytest.mark.parametrize("place", ["talker_tiny", "omni_sft_tiny", ""])
def test_older_vocoder_file(root: Path, place: str) -> None:
    shutil.move(
        root / "checkpoints" / "vocoder_tiny" / "vocoder.pt", root / "checkpoints" / place / "hifigan.pt"
    )
    (root / "checkpoints" / "vocoder_tiny").rmdir()
    check_numbers(load(root / OMNI))


def test_without_vocoder(root: Path) -> None:
    shutil.rmtree(root / "checkpoints" / "vocoder_tiny")
    modules = load(root / OMNI)
    check_numbers(modules, vocoder=False)
    assert modules.vocoder is None
    assert any("Griffin-Lim" in str(note) for note in modules.notes)


@pytest.mark.parametrize(
    ("folder", "stages"),
    [
        ("thinker_tiny", {"thinker"}),
        ("vision_tiny", {"vision"}),
        ("audio_enc_tiny", {"audio"}),
        ("talker_tiny", {"talker", "codec", "vocoder"}),
        ("vocoder_tiny", {"vocoder"}),
        ("ocr_tiny", {"ocr"}),
    ],
)
def test_single_stages(root: Path, folder: str, stages: set[str]) -> None:
    checkpoint = read_checkpoint(root / "checkpoints" / folder)
    assert set(checkpoint.weights) == stages
    assert (checkpoint.tokenizer is not None) == (folder == "thinker_tiny")
    assert checkpoint.context_length == (256 if folder == "thinker_tiny" else 0)
    load_modules(checkpoint)


def test_kind_is_seen_in_the_content(root: Path) -> None:
    renamed = root / "my run"
    shutil.move(root / "checkpoints" / "vision_tiny", renamed)
    shutil.copy(root / "configs" / "vision_tiny.json", renamed / "config.json")
    assert set(read_checkpoint(renamed).weights) == {"vision"}


# One merged file.


def write_merged(root: Path, target: Path, rename: Callable[[str], str] = str) -> Path:
    stages = read_checkpoint(root / OMNI).weights
    names = {stage: part for part, stage in MERGED_PARTS.items()}
    tensors = {
        rename(f"{names[stage]}.{name}"): tensor
        for stage, weights in stages.items()
        if stage != "vocoder"
        for name, tensor in weights.state.items()
    }
    target.mkdir()
    save_file(tensors, target / "model.safetensors")
    shutil.copy(root / "checkpoints" / "thinker_tiny" / "tokenizer.model", target)
    configs = {
        kind: json.loads((root / "configs" / f"{folder}_tiny.json").read_text())
        for kind, folder in (
            ("thinker", "thinker"),
            ("audio", "audio_enc"),
            ("vision", "vision"),
            ("talker", "talker"),
        )
    }
    (target / "config.json").write_text(json.dumps(configs))
    return target


def test_merged(root: Path, tmp_path: Path) -> None:
    modules = load(write_merged(root, tmp_path / "hub"))
    check_numbers(modules, vocoder=False)
    assert modules.thinker.sizes.context_length == 256
    check_numbers(load(tmp_path / "hub" / "model.safetensors"), vocoder=False)


def test_merged_compiled_with_ocr_and_vocoder(root: Path, tmp_path: Path) -> None:
    merged = write_merged(root, tmp_path / "hub", lambda key: key.replace(".", "._orig_mod.", 1))
    shutil.copy(root / "checkpoints" / "vocoder_tiny" / "vocoder.pt", merged / "hifigan.pt")
    vocoder = json.loads((root / "configs" / "vocoder_tiny.json").read_text())
    edit(merged / "config.json", lambda c: c | {"vocoder": vocoder})
    modules = load(merged)
    check_numbers(modules)
    assert modules.ocr is None
    assert any("ocr: left out, because no file says" in str(note) for note in modules.notes)
    shutil.copy(root / "checkpoints" / "ocr_tiny" / "ocr.pt", merged)
    ocr = json.loads((root / "configs" / "ocr_tiny.json").read_text())
    edit(merged / "config.json", lambda c: c | {"ocr": ocr})
    modules = load(merged)
    assert modules.ocr is not None and modules.sources["ocr"].suffix == ".safetensors"


def test_merged_with_flat_config_and_configs_folder(root: Path, tmp_path: Path) -> None:
    merged = write_merged(root, tmp_path / "hub")
    shutil.copytree(root / "configs", merged / "configs")
    edit(merged / "config.json", lambda c: c["thinker"])
    shutil.copy(root / "checkpoints" / "vocoder_tiny" / "vocoder.pt", merged)
    check_numbers(load(merged))
    (merged / "config.json").unlink()
    check_numbers(load(merged))
