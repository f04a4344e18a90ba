"""What a file holds, into float32 state dicts under the names the modules use."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from muomni.errors import CheckpointError

WRAPPERS = re.compile(r"(?:^|(?<=\.))(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)(?:\.|$)")
"""What ``torch.compile``, FSDP and activation checkpointing put anywhere into a key."""
OUTER_WRAPPERS = ("module.", "_forward_module.")
"""What data-parallel training, averaging and Fabric put at its start."""

GENERIC_WRAPPERS = (
    "model",
    "state_dict",
    "model_state_dict",
    "module",
    "model_state",
    "net",
    "weights",
    "shadow",
)
"""Names under which the weights of a file may lie: of training scripts, Lightning, DeepSpeed."""
AVERAGED = re.compile(
    r"(?:ema|swa|averaged?)(?:_?(?:model|weights|params|state_dict|state))*"
    r"|(?:model|state_dict|model_state_dict|module)_(?:ema|swa|averaged?)|(?:model_)?(?:ema|swa)_model_state_dict"
)
"""Names of averages of the weights over training (EMA, SWA) beside them."""
AVERAGED_MODEL = "n_averaged"  # what torch.optim.swa_utils.AveragedModel has beside the weights
TRAINING_ONLY = re.compile(
    r"optim\w*|opt(?:_\w+)?|\w*sched\w*|\w*scaler\w*|\w*rng\w*|\w*random_state\w*|\w*step|epoch|\w*loss\w*|\w*metric\w*"
    r"|config|cfg|args|hparams|hyper_parameters|callbacks|loops|amp|sampler|data\w*loader\w*|n_averaged|num_updates"
    r"|ds_config|ds_version|param_shapes|buffer_names|frozen_param_\w+|shared_params|lr|criterion"
    r"|head|img_proj|text_proj|text_embed|mpd|msd|char_to_idx|idx_to_char"
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
    averaged: bool = False
    """Whether these are averages over training."""


Choice = Literal["model", "ema"]
"""Which weights of a file to take where it has both: those of the last step, or their averages over training."""


@dataclass(frozen=True)
class State:
    """A stage's tensors under canonical names, and the name each had in the file."""

    tensors: dict[str, Tensor]
    stored_names: dict[str, str]


def strip_wrappers(key: str) -> str:
    """Drop what ``torch.compile`` and parallel training put into a key."""
    key = WRAPPERS.sub("", key)
    while key.startswith(OUTER_WRAPPERS):
        key = key.partition(".")[2]
    return key


def split_sections(
    file: Path,
    payload: Mapping[str, Any],
    names: Mapping[str, str],
    bare: str | None,
    choice: Choice = "model",
) -> dict[str, Section]:
    """Divide a file among its state dicts.

    ``names`` maps the names a file may use (``"proj_a"``) to state dicts (``"audio_projector"``); a part may be a
    nested dictionary or a prefix of flat keys. ``bare`` is that of a file that is a state dict itself.

    Raises:
        CheckpointError: a part that holds tensors and is neither known nor of training only; averages were chosen
            and there are none.
    """
    averaged = {key: value for key, value in payload.items() if _is_averaged(key, value, names)}
    if not averaged:
        sections = _split(file, payload, names, bare, "")
        if AVERAGED_MODEL not in payload:
            return sections
        return {name: replace(section, averaged=True) for name, section in sections.items()}
    rest = {key: value for key, value in payload.items() if key not in averaged}
    sections = _split(file, rest, names, bare, "")
    if sections and choice == "model":
        return sections
    for key, value in averaged.items():
        found = _split(file, value, names, bare, f"{key}.")
        sections |= {name: replace(section, averaged=True) for name, section in found.items()}
    return sections


def has_averages(payload: Mapping[str, Any], names: Mapping[str, str]) -> bool:
    """Whether averages lie in a file beside its weights."""
    return any(_is_averaged(key, value, names) for key, value in payload.items())


def _is_averaged(key: str, value: Any, names: Mapping[str, str]) -> bool:
    named = key not in names and AVERAGED.fullmatch(key) is not None
    return named and isinstance(value, Mapping) and _holds_tensors(value)


def _split(
    file: Path, payload: Mapping[str, Any], names: Mapping[str, str], bare: str | None, prefix: str
) -> dict[str, Section]:
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
                return _split(file, inner, names, bare, f"{prefix}{wrapper}.")
        if inner := _without_common_prefix(rest):
            return _split(file, inner, names, bare, prefix)
        if bare is not None and any(isinstance(value, Tensor) for value in rest.values()):
            weights = {k: v for k, v in rest.items() if _holds_tensors(v) and not _is_of_training(k, v)}
            return {bare: Section(file, prefix, {f"{prefix}{k}": (k, value) for k, value in weights.items()})}
    refuse_unknown(file, rest, names, prefix)
    return {name: Section(file, prefixes[name], _whole_module(entries)) for name, entries in parts.items()}


def _without_common_prefix(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Keys without the name that all tensors begin with, which a trainer's own module put there; {} without one.

    No module of a stage has all its tensors under one name.
    """
    tensors = [strip_wrappers(key) for key, value in payload.items() if isinstance(value, Tensor)]
    tensors = [key for key in tensors if "." in key or not TRAINING_ONLY.fullmatch(key)]
    first = {key.partition(".")[0] for key in tensors}
    if len(tensors) < 2 or len(first) != 1 or not all("." in key for key in tensors):
        return {}
    return {strip_wrappers(key).partition(".")[2] or key: value for key, value in payload.items()}


def _whole_module(entries: dict[str, tuple[str, Any]]) -> dict[str, tuple[str, Any]]:
    """Entries of a part without the name that all of them begin with."""
    inner = _without_common_prefix(dict(entries.values()))
    if not inner:
        return entries
    return {
        stored: (strip_wrappers(key).partition(".")[2] or key, value)
        for stored, (key, value) in entries.items()
    }


def _is_of_training(key: str, value: Any) -> bool:
    return not isinstance(value, Tensor) and TRAINING_ONLY.fullmatch(strip_wrappers(key)) is not None


def refuse_unknown(file: Path, rest: Mapping[str, Any], names: Mapping[str, str], prefix: str) -> None:
    """Raise CheckpointError for entries that hold tensors and whose use is not known."""
    unknown = [
        prefix + str(key)
        for key, value in rest.items()
        if not TRAINING_ONLY.fullmatch(strip_wrappers(str(key)).partition(".")[0]) and _holds_tensors(value)
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
        if TRAINING_ONLY.fullmatch(key.partition(".")[0]) or BUFFERS.search(key):
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
    claimed, there = value.numel() * value.element_size(), value.untyped_storage().nbytes()
    if claimed > there:  # a few stored bytes, expanded to any shape
        raise CheckpointError(
            f"{file}: {stored}: expected a stored tensor, got shape {tuple(value.shape)} ({claimed} bytes) "
            f"of {there} stored bytes"
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
