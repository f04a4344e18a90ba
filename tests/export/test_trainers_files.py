"""What trainers write around, beside and instead of plain weights is read; what cannot be is refused by name."""

from __future__ import annotations

import argparse
import collections
import dataclasses
import datetime
import enum
import gzip
import json
import os
import random
import shutil
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from muomni.errors import CheckpointError, InputError
from muomni_export.checkpoint.checkpoint_set import EVERYTHING, read_checkpoint
from muomni_export.checkpoint.load import Modules, load_modules
from muomni_export.checkpoint.selection import Selection
from muomni_export.synthetic.checkpoint_set import write_random_set

State = dict[str, torch.Tensor]
AVERAGES = Selection.of(weights="ema")


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("good") / "set"
    write_random_set(root, "micro")
    return root


@pytest.fixture
def root(good: Path, tmp_path: Path) -> Path:
    return shutil.copytree(good, tmp_path / "set")


@pytest.fixture
def folder(root: Path) -> Path:
    """Of the Thinker alone."""
    return root / "checkpoints" / "thinker_micro"


@pytest.fixture
def state(folder: Path) -> State:
    loaded: State = torch.load(folder / "thinker.pt", weights_only=True)["model"]
    return loaded


def load(path: Path, selection: Selection = EVERYTHING) -> Modules:
    return load_modules(read_checkpoint(path, selection=selection))


def check(modules: Modules, state: State) -> None:
    loaded = modules.thinker.state_dict()
    assert loaded.keys() == state.keys()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in state.items())


def refused(path: Path, selection: Selection = EVERYTHING) -> str:
    with pytest.raises(CheckpointError) as caught:
        load(path, selection)
    return str(caught.value)


def codes(modules: Modules) -> list[str]:
    return [note.code for note in modules.notes]


# Around the weights.


def prefixed(prefix: str) -> Callable[[State], dict[str, Any]]:
    return lambda state: {prefix + name: tensor for name, tensor in state.items()}


def inside(part: str, wrapper: str) -> Callable[[State], dict[str, Any]]:
    return lambda state: {"model": {name.replace(part, part + wrapper): t for name, t in state.items()}}


LAYOUTS: dict[str, Callable[[State], dict[str, Any]]] = {
    "FSDP": prefixed("_fsdp_wrapped_module."),
    "FSDP and compiled": prefixed("_orig_mod._fsdp_wrapped_module."),
    "FSDP of each block": inside("blocks.0.", "_fsdp_wrapped_module."),
    "activation checkpointing": inside("blocks.1.", "_checkpoint_wrapped_module."),
    "Fabric": prefixed("_forward_module."),
    "data parallel inside Fabric": prefixed("_forward_module.module."),
    "Fabric with its run": lambda state: {
        "model": prefixed("_forward_module.")(state),
        "optimizer": {"state": {0: {"exp_avg": torch.ones(3)}}, "param_groups": []},
        "iter_num": 3,
    },
    "DeepSpeed": lambda state: {
        "module": state,
        "optimizer": {"fp32": [torch.ones(3)]},
        "lr_scheduler": None,
        "ds_config": {"zero_optimization": {"stage": 1}},
        "param_shapes": [collections.OrderedDict(a=torch.Size([3]))],
        "buffer_names": [],
    },
    "Lightning": lambda state: {
        "epoch": 1,
        "global_step": 5,
        "pytorch-lightning_version": "2.5",
        "state_dict": prefixed("model.")(state),
        "loops": {"fit_loop": {"state_dict": {}}},
        "callbacks": {"ModelCheckpoint": {"best_model_score": torch.tensor(0.5)}},
        "optimizer_states": [{"state": {0: {"exp_avg": torch.ones(3)}}}],
        "lr_schedulers": [],
        "hyper_parameters": argparse.Namespace(lr=1e-3),
    },
    "Lightning with another name": lambda state: {"state_dict": prefixed("language_model.")(state)},
    "Lightning and compiled": lambda state: {"state_dict": prefixed("net._orig_mod.")(state)},
    "averaged model": lambda state: {"n_averaged": torch.tensor(5), **prefixed("module.")(state)},
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_layouts_of_trainers_are_read(folder: Path, state: State, layout: str) -> None:
    torch.save(LAYOUTS[layout](state), folder / "thinker.pt")
    check(load(folder), state)


def test_a_wrapped_omni_file_of_lightning_is_read(root: Path) -> None:
    file = root / "checkpoints" / "omni_sft_micro" / "omni.pt"
    parts = torch.load(file, weights_only=True)
    flat = {
        f"omni.{part}.{name}": tensor
        for part in ("thinker", "proj_a", "proj_v")
        for name, tensor in parts[part].items()
    }
    torch.save({"state_dict": flat, "epoch": 2}, file)
    check(load(root), parts["thinker"])


# Averages.


def averaged(state: State) -> State:
    return {name: tensor + 1 for name, tensor in state.items()}


AVERAGED: dict[str, Callable[[State], dict[str, Any]]] = {
    "ema": lambda state: {"ema": averaged(state)},
    "model_ema": lambda state: {"model_ema": averaged(state)},
    "ema_state_dict": lambda state: {"ema_state_dict": averaged(state), "ema_decay": 0.999},
    "averaged model": lambda state: {
        "swa_model": {"n_averaged": torch.tensor(5), **prefixed("module.")(averaged(state))}
    },
    "shadow": lambda state: {"ema": {"shadow": averaged(state), "decay": 0.999}},
    "by parts": lambda state: {"ema": {"model": averaged(state)}},
}


@pytest.mark.parametrize("kind", AVERAGED)
def test_averages_beside_the_weights_are_taken_when_asked_for(folder: Path, state: State, kind: str) -> None:
    torch.save({"model": state, **AVERAGED[kind](state)}, folder / "thinker.pt")
    plain = load(folder)
    check(plain, state)
    assert "averages_left_out" in codes(plain)
    chosen = load(folder, AVERAGES)
    check(chosen, averaged(state))
    assert "averages_left_out" not in codes(chosen)


@pytest.mark.parametrize("kind", AVERAGED)
def test_averages_alone_are_taken_with_a_note(folder: Path, state: State, kind: str) -> None:
    torch.save({**AVERAGED[kind](state), "step": 3}, folder / "thinker.pt")
    modules = load(folder)
    check(modules, averaged(state))
    assert "averages_used" in codes(modules)


def test_averages_of_several_parts(root: Path) -> None:
    file = root / "checkpoints" / "talker_micro" / "talker.pt"
    payload = torch.load(file, weights_only=True)
    payload["ema"] = {"talker": averaged(payload["talker"])}
    torch.save(payload, file)
    modules = load(file.parent, AVERAGES)
    assert torch.equal(modules.talker.norm.weight, payload["talker"]["norm.weight"] + 1)
    assert torch.equal(modules.codec.proj_out.bias, payload["rvq"]["proj_out.bias"])


def test_averages_that_are_nowhere_are_an_error(folder: Path) -> None:
    assert "expected averaged weights" in refused(folder, AVERAGES)


# Beside the weights.


@dataclasses.dataclass
class RunConfig:
    rate: float = 3e-4
    where: Path = Path("runs/1")


class Mode(enum.Enum):
    TRAIN = "train"


HARMLESS: dict[str, Any] = {
    "numpy scalars": {"best_loss": np.float64(1.5), "step": np.int64(7), "flag": np.bool_(True)},
    "numpy arrays": {"loss_history": np.arange(9.0), "names": np.array(["a", "b"])},
    "random states": {
        "rng_state": np.random.get_state(),  # noqa: NPY002  (what scripts save)
        "python_rng": random.getstate(),
        "torch_rng_state": torch.get_rng_state(),
        "generator": np.random.default_rng(3),
        "old_generator": np.random.RandomState(3),
    },
    "namespaces": {"args": argparse.Namespace(lr=3e-4, out=Path("x")), "more": types.SimpleNamespace(a=1)},
    "paths": {"save_dir": Path("checkpoints/thinker"), "paths": [Path("a"), Path("b")]},
    "times": {"when": datetime.datetime.now(), "spent": datetime.timedelta(hours=3)},
    "a config class": {"config": RunConfig(), "mode": Mode.TRAIN},
    "collections": {
        "losses": collections.defaultdict(list, train=[1.0]),
        "seen": {1, 2},
        "kept": frozenset("ab"),
        "recent": collections.deque([1.0], maxlen=5),
        "counts": collections.Counter("abca"),
    },
    "odd values": {"range": range(3), "slice": slice(1), "complex": 1j, "bytes": bytearray(b"ab")},
}


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("kind", HARMLESS)
def test_harmless_things_beside_the_weights_are_skipped(
    folder: Path, state: State, kind: str, zipped: bool
) -> None:
    payload = {"model": state, **HARMLESS[kind]}
    torch.save(payload, folder / "thinker.pt", _use_new_zipfile_serialization=zipped)
    check(load(folder), state)


class Runs:
    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


class Touches:
    """What code of its own would do when it is unpickled."""

    def __setstate__(self, state: Any) -> None:
        Path("touched").touch()

    def __getstate__(self) -> dict[str, Any]:
        return {"some": "state"}


@pytest.mark.parametrize(
    ("what", "name"),
    [
        (Runs(os.system, "touch touched"), "system"),
        (Runs(eval, "open('touched', 'w')"), "eval"),
        (Runs(exec, "open('touched', 'w')"), "exec"),
        (Runs(shutil.copy, "/etc/hostname", "touched"), "shutil.copy"),
        (Runs(getattr, Path("touched"), "touch"), "getattr"),
    ],
    ids=["os.system", "eval", "exec", "shutil", "getattr"],
)
def test_functions_are_refused_and_nothing_runs(
    folder: Path, state: State, what: Any, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"model": state, "extra": what}, folder / "thinker.pt")
    message = refused(folder)
    assert "refused: the file asks to run code" in message and name in message
    assert not Path("touched").exists()


def test_code_of_a_class_never_runs(
    folder: Path, state: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"model": state, "extra": Touches()}, folder / "thinker.pt")
    check(load(folder), state)
    assert not Path("touched").exists()


def test_a_whole_module_says_how_to_save_it(folder: Path) -> None:
    torch.save({"model": torch.nn.Linear(2, 2)}, folder / "thinker.pt")
    message = refused(folder)
    assert "model is a whole module (torch.nn.modules.linear.Linear)" in message
    assert "model.state_dict()" in message


# Other names and kinds of file.


@pytest.mark.parametrize(
    "name",
    [
        *("thinker.pth", "thinker.ckpt", "thinker.bin", "thinker.safetensors"),
        *("thinker_best.pt", "thinker_final.pth", "thinker_last.ckpt", "thinker-epoch=12.ckpt"),
        *("thinker_step_700.pth", "thinker_step_700.safetensors"),
        *("model.pt", "model.safetensors", "pytorch_model.bin", "last.ckpt", "checkpoint.pt"),
    ],
)
def test_other_names_of_a_stages_file(folder: Path, state: State, name: str) -> None:
    (folder / "thinker.pt").unlink()
    if name.endswith(".safetensors"):
        save_file(state, folder / name)
    else:
        torch.save({"model": state}, folder / name)
    check(load(folder), state)
    check(load(folder / name), state)


def test_the_newest_step_is_taken_whatever_its_ending(folder: Path, state: State) -> None:
    (folder / "thinker.pt").unlink()
    torch.save({"model": averaged(state)}, folder / "thinker_step_800.pt")
    save_file(state, folder / "thinker_step_9000.safetensors")
    torch.save({"model": averaged(state)}, folder / "thinker_best.pt")
    check(load(folder), state)


def test_the_folder_of_deepspeed(folder: Path, state: State) -> None:
    (folder / "thinker.pt").unlink()
    (folder / "latest").write_text("global_step5\n")
    (folder / "global_step5").mkdir()
    file = folder / "global_step5" / "mp_rank_00_model_states.pt"
    torch.save(LAYOUTS["DeepSpeed"](state), file)
    check(load(folder), state)
    file.rename(file.with_name("zero_pp_rank_0_mp_rank_00_model_states.pt"))
    assert "zero_to_fp32.py" in refused(folder)


def test_safetensors_under_another_name_are_seen(folder: Path, state: State) -> None:
    save_file(state, folder / "thinker.pt")
    check(load(folder), state)


@pytest.mark.parametrize(
    ("content", "pieces"),
    [
        (gzip.compress(b"weights" * 99), ("gzip archive", "gunzip")),
        (b"<!DOCTYPE html>\n<html><body>404</body></html>", ("a web page", "download it again")),
        (b"\n  <html lang='en'>", ("a web page",)),
        (b"BZh91AY&SY", ("bzip2 archive",)),
        (b"GGUF\x03\x00\x00\x00", ("GGUF",)),
    ],
    ids=["gzip", "html", "html with space", "bzip2", "gguf"],
)
def test_what_is_no_file_of_weights_is_named(folder: Path, content: bytes, pieces: tuple[str, ...]) -> None:
    (folder / "thinker.pt").write_bytes(content)
    message = refused(folder)
    assert [piece for piece in pieces if piece not in message] == [], message
    assert "truncated" not in message


# One file with all stages.


@pytest.fixture(scope="module")
def merged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_random_set(tmp_path_factory.mktemp("merged") / "set", "micro", merged=True)


def move(merged: Path, target: Path, name: str) -> tuple[Path, State]:
    """A copy of a merged folder, its weights under another name."""
    shutil.copytree(merged, target)
    tensors = load_file(target / "model.safetensors")
    (target / "model.safetensors").unlink()
    if name.endswith(".safetensors"):
        save_file(tensors, target / name)
    else:
        torch.save({"model": tensors} if name == "model.pt" else tensors, target / name)
    thinker = {k.removeprefix("thinker."): t for k, t in tensors.items() if k.startswith("thinker.")}
    return target, thinker


@pytest.mark.parametrize(
    "name", ["muomni.safetensors", "omni.safetensors", "model.pt", "pytorch_model.bin", "muomni.pt"]
)
def test_other_names_of_a_merged_file(merged: Path, tmp_path: Path, name: str) -> None:
    target, thinker = move(merged, tmp_path / "hub", name)
    modules = load(target)
    check(modules, thinker)
    assert modules.vision is not None and modules.talker is not None
    check(load(target / name), thinker)


def test_an_omni_folder_in_safetensors_is_no_merged_file(root: Path) -> None:
    folder = root / "checkpoints" / "omni_sft_micro"
    parts = torch.load(folder / "omni.pt", weights_only=True)
    flat = {
        f"{part}.{name}": t for part in ("thinker", "proj_a", "proj_v") for name, t in parts[part].items()
    }
    save_file(flat, folder / "omni.safetensors")
    (folder / "omni.pt").unlink()
    modules = load(root)
    check(modules, parts["thinker"])
    assert modules.vision is not None and modules.vision_projector is not None


def shard(merged: Path, target: Path) -> State:
    _, thinker = move(merged, target, "muomni.safetensors")
    tensors = load_file(target / "muomni.safetensors")
    (target / "muomni.safetensors").unlink()
    names, index = list(tensors), {}
    for i, part in enumerate((names[::2], names[1::2]), 1):
        file = f"model-0000{i}-of-00002.safetensors"
        save_file({name: tensors[name] for name in part}, target / file)
        index |= dict.fromkeys(part, file)
    (target / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}))
    return thinker


def test_shards_with_their_index(merged: Path, tmp_path: Path) -> None:
    thinker = shard(merged, tmp_path / "hub")
    check(load(tmp_path / "hub"), thinker)
    check(load(tmp_path / "hub" / "model.safetensors.index.json"), thinker)


def test_shards_that_do_not_fit_their_index(merged: Path, tmp_path: Path) -> None:
    shard(merged, tmp_path / "hub")
    index = tmp_path / "hub" / "model.safetensors.index.json"
    content = json.loads(index.read_text())
    index.write_text(json.dumps({"weight_map": content["weight_map"] | {"thinker.more": "../secret.bin"}}))
    assert "expected names of files beside it, got '../secret.bin'" in refused(tmp_path / "hub")
    first = next(iter(content["weight_map"].values()))
    index.write_text(json.dumps({"weight_map": content["weight_map"] | {"thinker.more": first}}))
    assert "lack 1 tensors that it names (thinker.more" in refused(tmp_path / "hub")
    index.write_text(json.dumps(content))
    (tmp_path / "hub" / first).unlink()
    assert f"{first}: missing, and model.safetensors.index.json names it" in refused(tmp_path / "hub")


# What is there, and what is wanted of it.


def test_the_folder_that_the_references_export_writes(tmp_path: Path) -> None:
    """Its vocoder lies beside the merged file, and its config.json says nothing about it."""
    parity = Path(__file__).parents[1] / "data" / "parity"
    tensors: State = {}
    for stage, file, part, prefix in (
        ("omni_sft_tiny", "omni", "thinker", "thinker"),
        ("talker_tiny", "talker", "talker", "talker"),
        ("talker_tiny", "talker", "rvq", "rvq"),
    ):
        payload = torch.load(parity / "checkpoints" / stage / f"{file}.pt", weights_only=True)
        tensors |= {f"{prefix}.{name}": tensor for name, tensor in payload[part].items()}
    save_file(tensors, tmp_path / "model.safetensors")
    configs = {
        kind: json.loads((parity / "configs" / f"{kind}_tiny.json").read_text())
        for kind in ("thinker", "talker")
    }
    (tmp_path / "config.json").write_text(json.dumps(configs))
    shutil.copy(parity / "checkpoints" / "thinker_tiny" / "tokenizer.model", tmp_path)
    shutil.copy(parity / "checkpoints" / "vocoder_tiny" / "vocoder.pt", tmp_path)
    modules = load(tmp_path)
    assert modules.vocoder.sizes.dilations == ((1, 2),) * 3
    assert modules.vocoder.sizes.upsampling == (8, 8, 2, 2)
    (note,) = (note for note in modules.notes if note.stage == "vocoder")
    assert str(note) == (
        "vocoder: resblock_dilation_sizes is not in the config; used the reference's [[1, 2], [1, 2], [1, 2]]"
    )


def test_a_set_without_the_config_of_its_vocoder(root: Path) -> None:
    (root / "configs" / "vocoder_micro.json").unlink()
    modules = load(root)
    assert modules.vocoder.sizes.dilations == ((1, 3, 5),) * 2
    assert {note.code for note in modules.notes} == {"no_config", "default_used"}


def test_a_set_whose_talker_is_gone_is_exported_without_it(root: Path) -> None:
    shutil.rmtree(root / "checkpoints" / "talker_micro")
    modules = load(root)
    assert modules.talker is None and modules.codec is None and modules.vocoder is None
    assert modules.vision is not None
    texts = [str(note) for note in modules.notes if note.stage == "talker"]
    assert "talker_micro, which does not exist" in texts[0] and texts[1].endswith("the model will not speak")


STAGES = {"thinker", "vision", "audio", "talker", "vocoder", "ocr"}


@pytest.mark.parametrize("merged_file", [False, True], ids=["set", "merged"])
@pytest.mark.parametrize(
    ("words", "left"),
    [
        ({"without": ("talker", "ocr")}, {"thinker", "vision", "audio"}),
        ({"without": ("vision", "audio")}, {"thinker", "talker", "vocoder", "ocr"}),
        ({"without": ("vocoder",)}, {"thinker", "vision", "audio", "talker", "ocr"}),
        ({"only": ("thinker", "vision")}, {"thinker", "vision"}),
        ({"only": ("talker",)}, {"talker", "vocoder"}),
        ({"only": ("vision",)}, {"vision"}),
    ],
    ids=str,
)
def test_stages_that_are_chosen(
    root: Path, merged: Path, words: dict[str, Any], left: set[str], merged_file: bool
) -> None:
    modules = load(merged if merged_file else root, Selection.of(**words))
    assert {name for name in STAGES if getattr(modules, name) is not None} == left
    assert (modules.vision_projector is not None) == ({"vision", "thinker"} <= left)
    assert (modules.codec is not None) == ("talker" in left)


def test_what_is_not_chosen_is_not_even_read(root: Path) -> None:
    (root / "checkpoints" / "talker_micro" / "talker.pt").write_bytes(b"broken")
    assert load(root, Selection.of(without=("talker",))).talker is None


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            {"only": ("ears",)},
            "only: expected some of thinker, vision, audio, talker, vocoder, ocr, got 'ears'",
        ),
        ({"without": ("codec",)}, "without: expected some of .*, got 'codec'"),
        ({"only": ("vision",), "without": ("audio",)}, "expected one of them, got both"),
        ({"without": tuple(STAGES)}, "nothing would be left"),
        ({"weights": "best"}, "expected one of model, ema, got 'best'"),
    ],
    ids=str,
)
def test_choices_that_make_no_sense(words: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Selection.of(**words)
