"""Read a trained μOmni: from the path a user gives to each stage's weights and config."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from muomni.errors import CheckpointError
from muomni_export.stages.registry import STAGES, state_dicts
from muomni_export.stages.stage import StageExport
from muomni_export.stages.weights import CheckpointSet, StageWeights

from .catalogue import part_names
from .layouts import Parts, names_of, read_merged, read_omni, read_stage
from .locate import Located, locate
from .selection import Selection
from .state_dict import canonical_state

EVERYTHING = Selection()


def read_checkpoint(
    path: Path, config: Path | None = None, selection: Selection = EVERYTHING
) -> CheckpointSet:
    """Find and read a checkpoint.

    Args:
        path: an ``omni_sft_*`` folder, a stage folder, a merged folder, a folder above or one of their files.
        config: a JSON file to read instead of the one found.
        selection: which stages are read, and which of their weights.

    Raises:
        CheckpointError: a file that is missing, unreadable, unsafe or foreign, or weights of no use.
    """
    found = locate(path)
    if config is not None:
        config = config.expanduser().absolute()
    reader = {"omni": read_omni, "merged": read_merged}.get(found.kind, read_stage)
    try:
        return _assemble(found, reader(found, config, selection))
    except RecursionError as error:
        raise CheckpointError(f"{found.file}: nested too deeply for a checkpoint") from error


def _assemble(found: Located, parts: Parts) -> CheckpointSet:
    sections = parts.sections
    for needing in state_dicts():
        needed = needing.needs
        if needed and needing.name in sections and needed not in sections and found.kind != needing.name:
            own = {name: section for name, section in sections.items() if section.file == found.file}
            raise CheckpointError(
                f"{found.file}: expected a part named {part_names(needed)[0]} (the {needing.name} stage is of no "
                f"use without it), got {names_of(own)}; export the rest with --without {needing.name}"
            )
    weights: dict[str, StageWeights] = {}
    files: dict[str, Path] = {}
    for stage in STAGES:
        _add_weights(weights, parts, stage)
        if stage.name in weights and stage.companions is not None:
            files |= _read_companions(parts, stage, weights[stage.name])
            _add_weights(weights, parts, stage)
    if parts.selection.weights == "ema" and not any(section.averaged for section in sections.values()):
        raise CheckpointError(
            f"{found.file}: expected averaged weights (a part named ema, model_ema or swa), found none; export "
            "without --weights ema"
        )
    notes = tuple(parts.notes)
    return CheckpointSet(weights, files, parts.tokenizer, parts.context_length, notes, found.folder)


def _add_weights(weights: dict[str, StageWeights], parts: Parts, stage: StageExport) -> None:
    """The state dicts of a stage that were read and are not there yet."""
    whole, source = parts.configs.get(stage.name, ({}, None))
    for state_dict in stage.state_dicts:
        if state_dict.name in weights or state_dict.name not in parts.sections:
            continue
        section = parts.sections[state_dict.name]
        config = whole.get(state_dict.config_key) if state_dict.config_key else whole
        own = dict(config) if isinstance(config, Mapping) else {}
        state = canonical_state(section, state_dict.name)
        weights[state_dict.name] = StageWeights(
            state.tensors, own, section.file, section.prefix, state.stored_names, source
        )


def _read_companions(parts: Parts, stage: StageExport, main: StageWeights) -> Mapping[str, Path]:
    """Read the weights that a stage needs from beside its own; the other files it needs."""
    assert stage.companions is not None
    needed = stage.companions(main.source.parent, main.state)
    missing = {name: file for name, file in needed.state_dicts.items() if name not in parts.sections}
    for file in (*missing.values(), *needed.files.values()):
        if not file.is_file():
            raise CheckpointError(
                f"{file.parent}: expected {file.name}, which this {stage.name} needs; found none"
            )
    for name, file in missing.items():
        parts.read(file, name)
    return needed.files
