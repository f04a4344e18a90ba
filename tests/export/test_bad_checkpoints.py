"""What is wrong with a checkpoint is refused in one sentence that names it."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from muomni.errors import CheckpointError
from muomni_export.checkpoint.checkpoint_set import read_checkpoint
from muomni_export.checkpoint.load import load_modules
from muomni_export.synthetic.checkpoint_set import write_random_set

Change = Callable[[Path], Any]
RAN = "the-pickle-ran"

OMNI, THINKER = "checkpoints/omni_sft_micro/omni.pt", "checkpoints/thinker_micro/thinker.pt"
VISION, AUDIO = "checkpoints/vision_micro/vision.pt", "checkpoints/audio_enc_micro/audio_enc.pt"
TALKER, VOCODER = "checkpoints/talker_micro/talker.pt", "checkpoints/vocoder_micro/vocoder.pt"
TOKENIZER, CONFIG = "checkpoints/thinker_micro/tokenizer.model", "configs/omni_sft_micro.json"


class RunsCode:
    """Unpickled, it would leave a file behind."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path(RAN),)


def pt(file: str, change: Callable[[dict[str, Any]], Any]) -> Change:
    """Change what a .pt holds: in place, or by what ``change`` gives."""

    def apply(root: Path) -> None:
        payload = torch.load(root / file, weights_only=True)
        changed = change(payload)
        torch.save(payload if changed is None else changed, root / file)

    return apply


def put(file: str, part: str, name: str, value: Any) -> Change:
    def change(payload: dict[str, Any]) -> None:
        payload[part][name] = value(payload[part][name]) if callable(value) else value

    return pt(file, change)


def drop(file: str, *names: str) -> Change:
    def change(payload: dict[str, Any]) -> None:
        for name in names[:-1]:
            payload = payload[name]
        del payload[names[-1]]

    return pt(file, change)


def js(file: str, **values: Any) -> Change:
    def apply(root: Path) -> None:
        config = json.loads((root / file).read_text()) | values
        (root / file).write_text(json.dumps({k: v for k, v in config.items() if v is not ...}))

    return apply


def write(file: str, content: bytes) -> Change:
    return lambda root: (root / file).write_bytes(content)


def cut(file: str, share: float) -> Change:
    def apply(root: Path) -> None:
        content = (root / file).read_bytes()
        (root / file).write_bytes(content[: int(len(content) * share)])

    return apply


def remove(*files: str) -> Change:
    def apply(root: Path) -> None:
        for file in files:
            path = root / file
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    return apply


def nan(tensor: torch.Tensor) -> torch.Tensor:
    tensor.view(-1)[3] = float("nan")
    return tensor


def infinite(tensor: torch.Tensor) -> torch.Tensor:
    tensor.view(-1)[0] = float("inf")
    return tensor


def itself(payload: dict[str, Any]) -> dict[str, Any]:
    payload = {"model": {}}
    payload["model"]["model"] = payload["model"]
    return payload


def swap(*, codes: int) -> Change:
    """A Talker of another training: other codes than the codec's."""

    def change(payload: dict[str, Any]) -> None:
        for name in ("emb.weight", "base_head.weight", "res_head.weight", "base_head.bias", "res_head.bias"):
            payload["talker"][name] = payload["talker"][name][:codes].clone()

    return pt(TALKER, change)


BAD: dict[str, tuple[Change, tuple[str, ...]]] = {
    # Files.
    "runs code": (
        pt(OMNI, lambda p: p | {"extra": RunsCode()}),
        (OMNI, "refused: the file asks to run code (global getattr)"),
    ),
    "runs code, raw pickle": (
        write(OMNI, pickle.dumps({"thinker": RunsCode()})),
        (OMNI, "refused: the file asks to run code", "touch"),
    ),
    "whole module": (
        pt(OMNI, lambda p: {"thinker": torch.nn.Linear(2, 2)}),
        (OMNI, "refused", "torch.nn.modules.linear.Linear"),
    ),
    "empty": (write(VISION, b""), (VISION, "empty")),
    "text": (write(VISION, b"hello, this is no checkpoint\n" * 9), (VISION, "truncated or not a torch file")),
    "truncated": (cut(AUDIO, 0.5), (AUDIO, "truncated")),
    "nearly complete": (cut(AUDIO, 0.99), (AUDIO, "truncated")),
    "git-lfs pointer": (
        write(OMNI, b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"),
        (OMNI, "git lfs pull"),
    ),
    "a list": (pt(TALKER, lambda p: [p]), (TALKER, "expected a dictionary", "got list")),
    "holds itself": (pt(THINKER, itself), ()),
    "no such stage file": (
        remove(VISION),
        ("vision_micro", "vision.pt or vision_step_<N>.pt", "found nothing"),
    ),
    "no such Thinker folder": (
        lambda root: (
            remove("checkpoints/thinker_micro")(root),
            js(CONFIG, thinker_ckpt="checkpoints/thinker_x")(root),
        ),
        (CONFIG, "thinker_ckpt names checkpoints/thinker_x", "looked at"),
    ),
    "no omni config": (remove(CONFIG), ("no config; looked at", "configs/omni_sft_micro.json", "--config")),
    "config is no json": (write(CONFIG, b"{n_heads: 4}"), (CONFIG, "not a JSON file")),
    "config is a list": (write(CONFIG, b"[1]"), (CONFIG, "expected a JSON object, got list")),
    "no tokenizer": (remove(TOKENIZER), ("no tokenizer: looked at", TOKENIZER)),
    "tokenizer is no model": (write(TOKENIZER, b"hello hello"), (TOKENIZER, "not a SentencePiece model")),
    # Tensors.
    "nan": (
        put(OMNI, "thinker", "blocks.1.attn.o.weight", nan),
        (OMNI, "thinker.blocks.1.attn.o.weight", "NaN"),
    ),
    "infinity": (put(VISION, "vit", "norm.weight", infinite), (VISION, "vit.norm.weight", "in 1 of 32")),
    "missing": (
        drop(OMNI, "thinker", "blocks.1.norm2.weight"),
        (OMNI, "missing: thinker.blocks.1.norm2.weight (64,)"),
    ),
    "missing first": (drop(AUDIO, "enc", "proj.weight"), (AUDIO, "enc.proj.weight is missing")),
    "missing block": (
        pt(OMNI, lambda p: [p["thinker"].pop(k) for k in list(p["thinker"]) if "blocks.0" in k] and None),
        (OMNI, "thinker.blocks.0 is missing", "the last found is blocks.1"),
    ),
    "unknown": (
        put(OMNI, "thinker", "blocks.0.attn.spikes.weight", torch.ones(3)),
        (OMNI, "unknown: thinker.blocks.0.attn.spikes.weight"),
    ),
    "unknown part": (
        pt(OMNI, lambda p: p | {"lora": {"a": torch.ones(2)}}),
        (OMNI, "unknown tensors: lora", "proj_a"),
    ),
    "wrong shape": (
        put(OMNI, "thinker", "blocks.1.mlp.up_proj.weight", torch.ones(90, 64)),
        (OMNI, "thinker.blocks.1.mlp.up_proj.weight (expected (96, 64), got (90, 64))"),
    ),
    "wrong axes": (
        put(VISION, "vit", "proj.weight", torch.ones(32, 3)),
        (VISION, "vit.proj.weight", "expected 4 axes", "got shape (32, 3)"),
    ),
    "integers": (
        put(OMNI, "proj_a", "bias", torch.ones(64, dtype=torch.int8)),
        (OMNI, "proj_a.bias", "floating-point", "int8"),
    ),
    "no tensor": (put(OMNI, "proj_a", "bias", "none"), (OMNI, "proj_a.bias", "expected a tensor, got str")),
    "expanded": (
        put(OMNI, "thinker", "tok_emb.weight", torch.ones(1).expand(1 << 20, 64)),
        (OMNI, "thinker.tok_emb.weight", "expected a stored tensor", "(1048576, 64)"),
    ),
    "twice": (
        put(VISION, "vit", "_orig_mod.norm.weight", torch.ones(32)),
        (VISION, "vit._orig_mod.norm.weight", "vit.norm.weight", "expected one"),
    ),
    "half of a weight norm": (
        put(VOCODER, "generator", "ups.0.weight_g", torch.ones(32, 1, 1)),
        (VOCODER, "generator.ups.0.weight_g", "weight_v"),
    ),
    "no encoder in the file": (
        drop(VISION, "vit"),
        (VISION, "expected a part named vit", "none of the known"),
    ),
    # Across stages.
    "no audio projector": (
        drop(OMNI, "proj_a"),
        (OMNI, "expected a part named proj_a", "got thinker, proj_v"),
    ),
    "projector of another encoder": (
        put(OMNI, "proj_v", "weight", torch.ones(64, 40)),
        (OMNI, "proj_v.weight (expected (64, 32), got (64, 40))"),
    ),
    "codes": (
        swap(codes=24),
        (TALKER, "talker.emb.weight has 24 codes", "32 codes of rvq.codebooks.0.weight"),
    ),
    "mel bins": (
        put(VOCODER, "generator", "conv_pre.weight", torch.ones(32, 80, 7)),
        (VOCODER, "rvq.proj_out.weight has 128 mel bins", "generator.conv_pre.weight"),
    ),
    "three codebooks": (
        put(TALKER, "rvq", "codebooks.2.weight", torch.ones(32, 16)),
        (TALKER, "rvq.codebooks", "expected 2 codebooks", "got 3"),
    ),
    "tokenizer too large": (
        lambda root: (
            write_random_set(root / "big", _larger())
            and shutil.copy(root / "big/checkpoints/thinker_micro/tokenizer.model", root / TOKENIZER)
        ),
        (TOKENIZER, "has 600 pieces", "thinker.tok_emb.weight", "has 512 rows"),
    ),
    # Configs.
    "heads": (
        js(CONFIG, thinker={"n_heads": 5}),
        (CONFIG, "n_heads: expected a divisor of the width 64", "got 5"),
    ),
    "head size": (js(CONFIG, thinker={"n_heads": 8}), (OMNI, "multiple of 16, got 8", CONFIG)),
    "context length": (js(CONFIG, ctx_len="long"), (CONFIG, "ctx_len: expected a positive whole number")),
    "path is no path": (js(CONFIG, vision_ckpt=7), (CONFIG, "vision_ckpt: expected a path, got 7")),
    "hop": (js("configs/vocoder_micro.json", hop_length=300), ("vocoder_micro.json", "= 256", "got 300")),
}


def _larger() -> Any:
    from dataclasses import replace

    from muomni_export.synthetic.checkpoint_set import set_sizes

    sizes = set_sizes("micro")
    return replace(sizes, thinker=replace(sizes.thinker, vocabulary=600))


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("good") / "set"
    write_random_set(root, "micro")
    return root


@pytest.fixture(scope="module")
def good_merged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_random_set(tmp_path_factory.mktemp("good") / "set", "micro", merged=True)


def refused(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        load_modules(read_checkpoint(path))
    return str(caught.value)


@pytest.mark.parametrize("kind", BAD)
def test_refused(kind: str, good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "set"
    shutil.copytree(good, root)
    change, pieces = BAD[kind]
    change(root)
    message = refused(root / ("checkpoints/thinker_micro" if kind == "holds itself" else OMNI))
    assert [piece for piece in pieces if piece not in message] == [], message
    assert "\n" not in message
    assert not (tmp_path / RAN).exists()


@pytest.mark.parametrize(
    ("change", "pieces"),
    [
        (cut("model.safetensors", 0.5), ("model.safetensors", "truncated or not a safetensors file")),
        (write("model.safetensors", b"text, not tensors"), ("model.safetensors", "truncated or not")),
        (remove("config.json"), ("no config; looked at", "config.json")),
        (remove("tokenizer.model"), ("no tokenizer", "tokenizer.model")),
    ],
    ids=["truncated", "text", "no config", "no tokenizer"],
)
def test_merged_refused(good_merged: Path, tmp_path: Path, change: Change, pieces: tuple[str, ...]) -> None:
    root = tmp_path / "set"
    shutil.copytree(good_merged, root)
    change(root)
    message = refused(root)
    assert [piece for piece in pieces if piece not in message] == [], message


@pytest.mark.parametrize(
    ("rename", "piece"),
    [
        (("talker.", "speaker."), "unknown tensors: speaker."),
        (("proj_v.", "proj_a."), "expected a part named proj_v"),
        (("rvq.", "ocr."), "expected a part named rvq"),
    ],
    ids=["unknown prefix", "no projector", "no codec"],
)
def test_merged_parts(good_merged: Path, tmp_path: Path, rename: tuple[str, str], piece: str) -> None:
    from safetensors.torch import load_file, save_file

    root = tmp_path / "set"
    shutil.copytree(good_merged, root)
    tensors = load_file(root / "model.safetensors")
    for key in [key for key in tensors if key.startswith(rename[0])]:
        tensors[key.replace(*rename)] = tensors.pop(key)
    save_file(tensors, root / "model.safetensors")
    assert piece in refused(root)


def test_paths_that_are_no_checkpoint(good: Path, tmp_path: Path) -> None:
    assert "no such file or folder" in refused(tmp_path / "nothing")
    assert "no checkpoint here" in refused(tmp_path)
    (tmp_path / "notes.pt").touch()
    assert "not the name of a checkpoint file" in refused(tmp_path / "notes.pt")
    (tmp_path / "thinker_x").mkdir()
    assert "thinker.pt or thinker_step_<N>.pt" in refused(tmp_path / "thinker_x")
    root = tmp_path / "set"
    shutil.copytree(good, root)
    shutil.copytree(root / "checkpoints/omni_sft_micro", root / "checkpoints/omni_sft_other")
    assert "expected one omni folder" in refused(root)
    (root / "ocr_tiny").mkdir()
    torch.save({}, root / "ocr_tiny" / "ocr.pt")
    assert "expected a part named model with the ocr's weights" in refused(root / "ocr_tiny")
