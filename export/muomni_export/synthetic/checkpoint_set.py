"""A complete checkpoint set with random weights, as a training run leaves it: for tests and benchmarks."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import save_file

from muomni.errors import InputError, OutputError
from muomni_export.checkpoint.layouts import MERGED_PARTS
from muomni_export.modules.decoder import DecoderSizes

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
    with_vision: bool = True,
    with_audio: bool = True,
    with_talker: bool = True,
    with_vocoder: bool = True,
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
        activation, experts: of the Thinker's and the Talker's MLP; of the Thinker's mixture (0: none).
        downsampling: 4 or 8, of the audio encoder; None keeps the size's.
        with_vision, with_audio, with_talker, with_vocoder: leave a stage out.
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
    skipped = {
        stage
        for stage, there in (("vision", with_vision), ("audio", with_audio), ("talker", with_talker))
        if not there
    }
    states = random_states(sizes, seed)
    if old_audio_attention:
        states["audio"] = with_old_attention(states["audio"])
    if weight_norm != "folded":
        states["vocoder"] = with_weight_norm(states["vocoder"], weight_norm)
    for stage, state in states.items():
        prefix = "_orig_mod." if compiled else ""
        states[stage] = {prefix + name: tensor.to(dtype) for name, tensor in state.items()}
    files = _merged_files(states, skipped) if merged else _stage_files(states, skipped, bare)
    if with_vocoder and with_talker:
        files["vocoder"] = {"generator": states["vocoder"], "mpd": {}, "msd": {}, **_run_state("opt_g")}

    def write(target: Path) -> None:
        if merged:
            _write_merged(target, files, _configs(sizes, skipped))
        else:
            _write_stages(target, sizes.name, files, _configs(sizes, skipped), step_files)
        tokenizer = target if merged else target / "checkpoints" / f"thinker_{sizes.name}"
        (tokenizer / "tokenizer.model").write_bytes(tokenizer_model(sizes.thinker.vocabulary))

    _in_new_folder(folder, write)
    return folder if merged else folder / "checkpoints" / f"omni_sft_{sizes.name}"


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
        audio=replace(sizes.audio, downsampling=downsampling or sizes.audio.downsampling),
    )


def _run_state(optimizer: str = "optimizer") -> dict[str, Any]:
    """What a training run saves beside its weights."""
    return {optimizer: {"state": {}, "param_groups": [{"lr": 3e-4}]}, "step": STEPS[-1]}


def _stage_files(states: dict[str, State], skipped: set[str], bare: bool) -> dict[str, dict[str, Any]]:
    def with_run(parts: dict[str, Any]) -> dict[str, Any]:
        return {**parts, **_run_state(), "scheduler": {"last_epoch": 9}}

    def head(inputs: int) -> State:
        return {"weight": torch.zeros(8, inputs), "bias": torch.zeros(8)}

    def single(stage: str, parts: dict[str, Any]) -> dict[str, Any]:
        return dict(states[stage]) if bare else with_run(parts)

    projectors = {
        part: states[f"{stage}_projector"]
        for part, stage in (("proj_a", "audio"), ("proj_v", "vision"))
        if stage not in skipped
    }
    pretrained = {name: 0.5 * tensor for name, tensor in states["thinker"].items()}  # before fine-tuning
    files = {
        "omni": with_run({"thinker": states["thinker"], **projectors}),
        "thinker": dict(pretrained) if bare else with_run({"model": pretrained}),
        "vision": single("vision", {"vit": states["vision"], "img_proj": head(4), "text_proj": head(4)}),
        "audio": single("audio", {"enc": states["audio"], "head": head(4)}),
        "talker": with_run({"rvq": states["codec"], "talker": states["talker"]}),
    }
    return {stage: file for stage, file in files.items() if stage not in skipped}


def _merged_files(states: dict[str, State], skipped: set[str]) -> dict[str, dict[str, Any]]:
    left_out = skipped | {f"{stage}_projector" for stage in skipped} | {"vocoder"}
    left_out |= {"codec"} if "talker" in skipped else set()
    names = {stage: part for part, stage in MERGED_PARTS.items()}
    whole = {
        f"{names[stage]}.{name}": tensor.contiguous()
        for stage, state in states.items()
        if stage not in left_out
        for name, tensor in state.items()
    }
    return {"merged": whole}


def _configs(sizes: SetSizes, skipped: set[str]) -> dict[str, dict[str, Any]]:
    """The JSON of every stage, and of the set without its paths."""
    vision, audio, vocoder = sizes.vision, sizes.audio, sizes.vocoder
    thinker = _decoder_config(sizes.thinker.decoder) | {
        "vocab_size": sizes.thinker.vocabulary,
        "ctx_len": sizes.thinker.context_length,
    }
    configs = {
        "thinker": thinker,
        "vision": {
            "img_size": vision.image_size,
            "patch": vision.patch,
            **_encoder_config(vision.width, vision.layers, vision.heads, vision.hidden),
        },
        "audio": {
            "mel_bins": audio.mel_bins,
            "sample_rate": 16_000,
            "frame_hop": 160,
            "frame_win": 400,
            "downsample_time": audio.downsampling,
            **_encoder_config(audio.width, audio.layers, audio.heads, audio.hidden),
        },
        "talker": {
            **_decoder_config(sizes.talker.decoder),
            "codebooks": sizes.codec.codebooks,
            "codebook_size": sizes.talker.codebook_size,
            "frame_ms": 1000 / sizes.talker.frame_rate_hz,
            "sample_rate": 16_000,
            "n_mels": sizes.codec.mel_bins,
        },
        "vocoder": {
            "sample_rate": 16_000,
            "n_mels": vocoder.mel_bins,
            "n_fft": 1024,
            "hop_length": vocoder.hop_samples,
            "upsample_initial_channel": vocoder.channels,
            "upsample_rates": list(vocoder.upsampling),
            "upsample_kernel_sizes": list(vocoder.upsampling_kernels),
            "resblock_kernel_sizes": list(vocoder.kernels),
            "resblock_dilation_sizes": [list(dilations) for dilations in vocoder.dilations],
        },
    }
    return {stage: config for stage, config in configs.items() if stage not in skipped}


def _encoder_config(width: int, layers: int, heads: int, hidden: int) -> dict[str, Any]:
    return {"d_model": width, "n_layers": layers, "n_heads": heads, "d_ff": hidden}


def _decoder_config(sizes: DecoderSizes) -> dict[str, Any]:
    config = _encoder_config(sizes.width, sizes.layers, sizes.heads, sizes.hidden)
    config |= {"rope_theta": sizes.rope_theta, "dropout": 0.1, "use_swiglu": sizes.activation == "swiglu"}
    config |= {"use_gqa": not sizes.fused_qkv, "kv_groups": sizes.kv_heads, "use_moe": sizes.experts > 0}
    if sizes.experts:
        config |= {"num_experts": sizes.experts, "num_experts_per_tok": sizes.experts_per_token}
    return config


def _write_stages(
    target: Path, name: str, files: dict[str, dict[str, Any]], configs: dict[str, Any], step_files: bool
) -> None:
    folders = {stage: f"{'audio_enc' if stage == 'audio' else stage}_{name}" for stage in files}
    folders["omni"] = f"omni_sft_{name}"
    named = ("thinker", "audio", "vision", "talker")
    omni: dict[str, Any] = {f"{s}_ckpt": f"checkpoints/{folders[s]}" for s in named if s in files}
    omni |= {"ctx_len": configs["thinker"]["ctx_len"], "thinker": configs["thinker"]}
    omni["save_dir"] = f"checkpoints/{folders['omni']}"
    for stage, file in files.items():
        folder = target / "checkpoints" / folders[stage]
        folder.mkdir(parents=True)
        stem = "audio_enc" if stage == "audio" else stage
        if step_files:
            torch.save({"step": STEPS[0]}, folder / f"{stem}_step_{STEPS[0]}.pt")
            torch.save(file, folder / f"{stem}_step_{STEPS[1]}.pt")
        else:
            torch.save(file, folder / f"{stem}.pt")
        _write_json(
            target / "configs" / f"{folders[stage]}.json", omni if stage == "omni" else configs[stage]
        )


def _write_merged(target: Path, files: dict[str, dict[str, Any]], configs: dict[str, Any]) -> None:
    save_file(files["merged"], target / "model.safetensors")
    _write_json(target / "config.json", configs)
    if "vocoder" in files:
        torch.save(files["vocoder"], target / "vocoder.pt")


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
