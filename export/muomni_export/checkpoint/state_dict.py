"""What a file holds, into float32 state dicts under the names the modules use."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from muomni.errors import CheckpointError

COMPILED = "_orig_mod."  # torch.compile, anywhere in a key
DATA_PARALLEL = "module."  # DistributedDataParallel, at the start

GENERIC_WRAPPERS = ("model", "state_dict", "model_state_dict")
TRAINING_ONLY = frozenset(
    (
        *("optimizer", "optimizer_state_dict", "optim", "optim_g", "optim_d", "opt", "opt_g", "opt_d"),
        *("scheduler", "scheduler_state_dict", "scheduler_g", "scheduler_d", "sched", "sched_g", "sched_d"),
        *("scaler", "scaler_state_dict", "grad_scaler", "step", "global_step", "epoch", "loss"),
        *("rng", "rng_state", "cuda_rng_state", "config", "cfg", "args"),
        *("head", "img_proj", "text_proj", "text_embed", "mpd", "msd", "char_to_idx", "idx_to_char"),
    )
)
"""Parts of a training run that the exported model does not need."""

BUFFERS = re.compile(
    r"(?:^|\.)(?:inv_freq|cos_cached|sin_cached|cos_cache|sin_cache|freqs_cis|causal_mask|position_ids"
    r"|rope\.(?:cos|sin|freqs)|rotary\.(?:cos|sin|freqs))$"
)
"""Caches that some versions save and that follow from the sizes."""

OLD_AUDIO_ATTENTION = re.compile(r"^(blocks\.\d+)\.attn\.(?:in_proj_(weight|bias)|out_proj\.(weight|bias))$")
WEIGHT_NORM = re.compile(
    r"^(.*?)(?:\.weight_(?P<old>[gv])|\.parametrizations\.weight\.original(?P<new>[01]))$"
)


@dataclass(frozen=True)
class Section:
    """The part of a file that one state dict is: name in the file -> (name in the module, value)."""

    file: Path
    prefix: str
    entries: Mapping[str, tuple[str, Any]]


@dataclass(frozen=True)
class State:
    """A stage's tensors under canonical names, and the name each had in the file."""

    tensors: dict[str, Tensor]
    stored_names: dict[str, str]


def strip_wrappers(key: str) -> str:
    """Drop what ``torch.compile`` and data-parallel training put into a key."""
    key = key.replace(COMPILED, "")
    while key.startswith(DATA_PARALLEL):
        key = key.removeprefix(DATA_PARALLEL)
    return key


def split_sections(
    file: Path, payload: Mapping[str, Any], names: Mapping[str, str], bare: str | None, prefix: str = ""
) -> dict[str, Section]:
    """Divide a file among its stages.

    ``names`` maps the names a file may use (``"proj_a"``) to stages (``"audio_projector"``); a part may be a
    nested dictionary or a prefix of flat keys. ``bare`` is the stage of a file that is a state dict itself.

    Raises:
        CheckpointError: a part that holds tensors and is neither a stage's nor known to be training-only.
    """
    parts: dict[str, dict[str, tuple[str, Any]]] = {}
    prefixes: dict[str, str] = {}
    rest: dict[str, Any] = {}
    for key, value in payload.items():
        clean = strip_wrappers(key)
        first, _, below = clean.partition(".")
        if clean in names and isinstance(value, Mapping):
            part = {f"{prefix}{key}.{k}": (str(k), v) for k, v in value.items()}
            prefixes[names[clean]] = f"{prefix}{key}."
        elif first in names and below and isinstance(value, Tensor):
            part = {f"{prefix}{key}": (below, value)}
            prefixes.setdefault(names[first], f"{prefix}{first}.")
        else:
            rest[key] = value
            continue
        parts.setdefault(names.get(clean, names.get(first, "")), {}).update(part)
    if not parts:
        for wrapper in GENERIC_WRAPPERS:
            inner = rest.get(wrapper)
            if isinstance(inner, Mapping):
                refuse_unknown(file, {k: v for k, v in rest.items() if k != wrapper}, names, prefix)
                return split_sections(file, inner, names, bare, f"{prefix}{wrapper}.")
        if bare is not None and any(isinstance(value, Tensor) for value in rest.values()):
            entries = {f"{prefix}{k}": (k, value) for k, value in rest.items() if _holds_tensors(value)}
            return {bare: Section(file, prefix, entries)}
    refuse_unknown(file, rest, names, prefix)
    return {stage: Section(file, prefixes[stage], entries) for stage, entries in parts.items()}


def refuse_unknown(file: Path, rest: Mapping[str, Any], names: Mapping[str, str], prefix: str) -> None:
    """Raise CheckpointError for entries that hold tensors and whose use is not known."""
    unknown = [
        prefix + str(key)
        for key, value in rest.items()
        if strip_wrappers(str(key)).partition(".")[0] not in TRAINING_ONLY and _holds_tensors(value)
    ]
    if unknown:
        shown = ", ".join(unknown[:5]) + (f" and {len(unknown) - 5} more" if len(unknown) > 5 else "")
        raise CheckpointError(
            f"{file}: unknown tensors: {shown}; expected parts named {', '.join(names)} (known training-only "
            "parts, such as the optimiser state, are ignored)"
        )


def canonical_state(section: Section, stage: str) -> State:
    """Rename, fold weight norm, convert to float32 and check that every weight is finite.

    Raises:
        CheckpointError: values that are no floating-point tensors, NaN or infinite weights, two tensors with
            the same meaning, half of a weight-norm pair.
    """
    tensors: dict[str, Tensor] = {}
    names: dict[str, str] = {}
    for stored, key, value in _relevant(section):
        if stage == "audio":
            key = OLD_AUDIO_ATTENTION.sub(_new_audio_name, key)
        if key in tensors:
            raise CheckpointError(f"{section.file}: {stored} and {names[key]} are both {key}; expected one")
        tensors[key], names[key] = _to_float32(section.file, stored, value), stored
    return _fold_weight_norm(section.file, State(tensors, names))


def _relevant(section: Section) -> Iterator[tuple[str, str, Any]]:
    """Entries as (name in the file, name in the stage, value), without training-only parts and buffers."""
    for stored, (raw, value) in section.entries.items():
        key = strip_wrappers(raw)
        if key.partition(".")[0] in TRAINING_ONLY or BUFFERS.search(key):
            continue
        yield stored, key, value


def _to_float32(file: Path, stored: str, value: Any) -> Tensor:
    if not isinstance(value, Tensor):
        raise CheckpointError(f"{file}: {stored}: expected a tensor, got {type(value).__name__}")
    if not value.is_floating_point() or value.layout != torch.strided or value.device.type != "cpu":
        raise CheckpointError(
            f"{file}: {stored}: expected a dense floating-point tensor, got {value.dtype} ({value.layout}, "
            f"{value.device}); export from the unquantised checkpoint"
        )
    claimed, there = value.numel() * value.element_size(), file.stat().st_size
    if claimed > there:  # a few stored bytes, expanded to any shape
        raise CheckpointError(
            f"{file}: {stored}: expected a stored tensor, got shape {tuple(value.shape)} ({claimed} bytes) "
            f"in a file of {there} bytes"
        )
    # A copy, so that nothing depends on the mapped file any more.
    out = value.detach().to(torch.float32, copy=True, memory_format=torch.contiguous_format)
    if out.numel() and not torch.stack(out.aminmax()).isfinite().all():  # one pass; NaN comes through
        bad = int((~out.isfinite()).sum())
        raise CheckpointError(
            f"{file}: {stored}: expected finite weights, got NaN or infinity in {bad} of {out.numel()}; take "
            "a checkpoint from before the training diverged"
        )
    return out


def _new_audio_name(match: re.Match[str]) -> str:
    block, packed, out = match.groups()
    return f"{block}.qkv_proj.{packed}" if packed else f"{block}.out_proj.{out}"


def _fold_weight_norm(file: Path, state: State) -> State:
    """Replace gain g and direction v by the weight g · v / |v| (norm over all but the first axis)."""
    pairs: dict[str, dict[str, str]] = {}
    for key in state.tensors:
        match = WEIGHT_NORM.match(key)
        if match:
            role = match["old"] or ("g" if match["new"] == "0" else "v")
            pairs.setdefault(match[1], {})[role] = key
    for module, pair in pairs.items():
        if len(pair) != 2:
            there = state.stored_names[next(iter(pair.values()))]
            missing = "direction (weight_v, original1)" if "g" in pair else "gain (weight_g, original0)"
            raise CheckpointError(f"{file}: {there}: expected its weight-norm {missing} beside it, got none")
        gain, direction = state.tensors.pop(pair["g"]), state.tensors.pop(pair["v"])
        stored_gain, stored = state.stored_names.pop(pair["g"]), state.stored_names.pop(pair["v"])
        shape = (direction.shape[0], *[1] * (direction.dim() - 1)) if direction.dim() else ()
        if gain.shape != shape:
            raise CheckpointError(f"{file}: {stored_gain}: expected shape {shape}, got {tuple(gain.shape)}")
        norm = direction.reshape(shape[0], -1).norm(dim=1).reshape(shape) if shape else direction.abs()
        weight = direction * (gain / norm)
        if f"{module}.weight" in state.tensors or not weight.isfinite().all():
            why = (
                "a zero direction" if f"{module}.weight" not in state.tensors else "a plain weight beside it"
            )
            raise CheckpointError(f"{file}: {stored}: expected a weight-norm pair, got {why}")
        state.tensors[f"{module}.weight"], state.stored_names[f"{module}.weight"] = weight, stored
    return state


def _holds_tensors(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(_holds_tensors(item) for item in value.values())
    if isinstance(value, (list, tuple, set)):
        return any(_holds_tensors(item) for item in value)
    return isinstance(value, Tensor)
