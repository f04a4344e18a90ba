"""A complete checkpoint set with random weights, as a training run leaves it: for tests and benchmarks."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import save_file
from torch import Tensor

from muomni.errors import InputError, OutputError
from muomni_export.checkpoint.catalogue import FILE_STEMS, FOLDER_PREFIXES, MERGED_PARTS, OMNI
from muomni_export.modules.decoder import DecoderSizes
from muomni_export.stages.registry import STAGES, state_dicts

from .sizes import SetSizes, set_sizes
from .tokenizer import tokenizer_model
from .weights import State, WeightNorm, random_states, with_old_attention, with_weight_norm

__all__ = ["SetSizes", "set_sizes", "write_random_set"]

Activation = Literal["swiglu", "gelu"]

STEPS = (800, 9000)  # of step files; the second is the newest by number, the first by name


def write_random_set(
    folder: Path,
    size: str | SetSizes = "tiny",
    seed: int = 0,
    *,
    gqa: bool = True,
    activation: Activation = "swiglu",
    experts: int = 0,
    downsampling: int | None = None,
    without: Collection[str] = (),
    merged: bool = False,
    bare: bool = False,
    compiled: bool = False,
    step_files: bool = False,
    old_audio_attention: bool = False,
    weight_norm: WeightNorm = "folded",
    dtype: torch.dtype = torch.float32,
) -> Path:
    """Write ``folder`` with ``checkpoints/``, ``configs/`` and a tokenizer; give the omni folder in it.

    Args:
        folder: must not exist, or be empty; appears only when complete.
        gqa: as many key/value heads as the size says, else one for each head, in a fused projection.
        activation, experts: of the Thinker's, the Talker's and OCR's MLP; of the Thinker's mixture (0: none).
        downsampling: 4 or 8, of the audio encoder; None keeps the size's.
        without: stages that are left out, with what is of no use without them.
        merged: one ``model.safetensors`` with ``config.json`` in ``folder`` itself, which is returned.
        bare: single-stage files hold the state dict itself where the format allows it.
        compiled: keys with ``_orig_mod.``.
        step_files: ``<stage>_step_<N>.pt`` instead of ``<stage>.pt``, after an older, empty one.
        old_audio_attention: the names of ``nn.MultiheadAttention``.
        weight_norm: how the vocoder is stored.
        dtype: of all stored weights.

    Raises:
        InputError: sizes that do not exist or do not work.
        OutputError: the folder is taken or cannot be written.
    """
    sizes = set_sizes(size) if isinstance(size, str) else size
    sizes = _varied(sizes, gqa, activation, experts, downsampling)
    skipped = _skipped(without)
    states = random_states(sizes, seed)
    if old_audio_attention:
        states["audio"] = with_old_attention(states["audio"])
    if weight_norm != "folded":
        states["vocoder"] = with_weight_norm(states["vocoder"], weight_norm)
    for stage, state in states.items():
        prefix = "_orig_mod." if compiled else ""
        states[stage] = {prefix + name: tensor.to(dtype) for name, tensor in state.items()}
    files, configs = _stage_files(states, skipped, bare), _configs(sizes, skipped)
    merged_kinds = {OMNI, *MERGED_PARTS.values()} - {
        stage.name for stage in STAGES if stage.synthetic is not None and stage.synthetic.needs_beside
    }

    def write(target: Path) -> None:
        if merged:
            alone = {kind: file for kind, file in files.items() if kind not in merged_kinds}
            _write_merged(target, _merged_file(states, skipped), alone, configs)
        else:
            _write_stages(target, sizes.name, files, configs, step_files)
        tokenizer = target if merged else target / "checkpoints" / f"thinker_{sizes.name}"
        (tokenizer / "tokenizer.model").write_bytes(tokenizer_model(sizes.thinker.vocabulary))

    _in_new_folder(folder, write)
    return folder if merged else folder / "checkpoints" / f"omni_sft_{sizes.name}"


def _skipped(without: Collection[str]) -> set[str]:
    """State dicts that are left out: of these stages, and of those that go with them.

    Raises:
        InputError: there is no such stage, or nothing would be left.
    """
    known = [stage.name for stage in STAGES if stage.synthetic is not None and stage.name != "thinker"]
    for name in without:
        if name not in known:
            raise InputError(f"without: expected some of {', '.join(known)}, got {name!r}")
    gone = set(without)
    for stage in STAGES:
        if stage.goes_with in gone:
            gone.add(stage.name)
        if stage.name in gone:
            gone |= {part.name for part in stage.state_dicts} | (
                {stage.main.needs} if stage.main.needs else set()
            )
    return gone


def _varied(
    sizes: SetSizes, gqa: bool, activation: Activation, experts: int, downsampling: int | None
) -> SetSizes:
    def decoder(of: DecoderSizes, experts: int) -> DecoderSizes:
        of = replace(of, activation=activation, experts=experts)
        return of if gqa else replace(of, kv_heads=of.heads, fused_qkv=True)

    if downsampling not in (None, 4, 8):
        raise InputError(f"downsampling: expected 4 or 8, got {downsampling}")
    return replace(
        sizes,
        thinker=replace(sizes.thinker, decoder=decoder(sizes.thinker.decoder, experts)),
        talker=replace(sizes.talker, decoder=decoder(sizes.talker.decoder, 0)),
        ocr=replace(sizes.ocr, decoder=decoder(sizes.ocr.decoder, 0)),
        audio=replace(sizes.audio, downsampling=downsampling or sizes.audio.downsampling),
    )


def _run_state() -> dict[str, Any]:
    """What a training run saves beside its weights."""
    state = {"optimizer": {"state": {}, "param_groups": [{"lr": 3e-4}]}, "scheduler": {"last_epoch": 9}}
    return {**state, "step": STEPS[-1]}


def _stage_files(states: dict[str, State], skipped: set[str], bare: bool) -> dict[str, dict[str, Any]]:
    """The content of each kind of file; ``bare``: the state dict itself where the format allows it."""
    kept = {name: state for name, state in states.items() if name not in skipped}
    files = {OMNI: _file_of(OMNI, kept) | _run_state()}
    for stage in STAGES:
        if stage.name not in kept or not stage.file_stems or stage.synthetic is None:
            continue
        parts = _file_of(stage.name, kept)
        if OMNI in stage.main.files:  # as it was before fine-tuning
            parts = {key: {n: 0.5 * tensor for n, tensor in part.items()} for key, part in parts.items()}
        if bare and len(parts) == 1 and stage.goes_with is None and not stage.synthetic.needs_beside:
            files[stage.name] = next(iter(parts.values()))
        else:
            files[stage.name] = {**parts, **stage.synthetic.beside(), **_run_state()}
    return files


def _file_of(kind: str, states: dict[str, State]) -> dict[str, State]:
    """The state dicts in a kind of file, under the names they have there."""
    parts = [part for part in state_dicts() if kind in part.files and part.name in states]
    return {part.files[kind][0]: states[part.name] for part in parts}


def _merged_file(states: dict[str, State], skipped: set[str]) -> dict[str, Tensor]:
    return {
        f"{part.merged}.{name}": tensor.contiguous()
        for part in state_dicts()
        if part.merged and part.name in states and part.name not in skipped
        for name, tensor in states[part.name].items()
    }


def _configs(sizes: SetSizes, skipped: set[str]) -> dict[str, dict[str, Any]]:
    """The JSON of every stage that has a file, and of the set without its paths."""
    configs: dict[str, dict[str, Any]] = {}
    for stage in STAGES:
        if stage.name in skipped or stage.synthetic is None:
            continue
        owner = stage.name if stage.file_stems else next(iter(stage.main.files))
        configs.setdefault(owner, {}).update(stage.synthetic.config(getattr(sizes, stage.name)))
    return configs


def _write_stages(
    target: Path, name: str, files: dict[str, dict[str, Any]], configs: dict[str, Any], step_files: bool
) -> None:
    folders = {kind: f"{FOLDER_PREFIXES[kind]}_{name}" for kind in files}
    named = [stage.name for stage in STAGES if stage.name in files and stage.goes_with is None]
    omni: dict[str, Any] = {f"{kind}_ckpt": f"checkpoints/{folders[kind]}" for kind in named}
    omni |= {"ctx_len": configs["thinker"]["ctx_len"], "thinker": configs["thinker"]}
    omni["save_dir"] = f"checkpoints/{folders[OMNI]}"
    for kind, file in files.items():
        folder = target / "checkpoints" / folders[kind]
        folder.mkdir(parents=True)
        stem = FILE_STEMS[kind][0]
        if step_files:
            torch.save({"step": STEPS[0]}, folder / f"{stem}_step_{STEPS[0]}.pt")
            torch.save(file, folder / f"{stem}_step_{STEPS[1]}.pt")
        else:
            torch.save(file, folder / f"{stem}.pt")
        _write_json(target / "configs" / f"{folders[kind]}.json", omni if kind == OMNI else configs[kind])


def _write_merged(
    target: Path, tensors: dict[str, Tensor], files: dict[str, dict[str, Any]], configs: dict[str, Any]
) -> None:
    """``files`` are those of stages that a merged file does not hold, or not all of."""
    save_file(tensors, target / "model.safetensors")
    _write_json(target / "config.json", configs)
    for kind, file in files.items():
        torch.save(file, target / f"{FILE_STEMS[kind][0]}.pt")


def _write_json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


def _in_new_folder(folder: Path, write: Callable[[Path], None]) -> None:
    """Fill a temporary folder beside ``folder`` and rename it; nothing stays behind when that fails."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise OutputError(f"{folder}: already there and not an empty folder; name a new one")
    partial: Path | None = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        write(partial)
        partial.chmod(0o755)  # mkdtemp makes it private
        if folder.exists():
            folder.rmdir()
        partial.rename(folder)
    except OSError as error:
        raise OutputError(f"{folder}: writing failed ({error.strerror or error})") from error
    finally:
        if partial is not None:
            shutil.rmtree(partial, ignore_errors=True)
