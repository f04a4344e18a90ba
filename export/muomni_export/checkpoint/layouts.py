"""The ways a μOmni lies on disk: a set of stage folders, one stage, one merged file; their parts and configs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from muomni.errors import CheckpointError
from muomni_export.files import read_json, read_shards, read_weights
from muomni_export.notes import Note
from muomni_export.stages.registry import STAGES, stage_named
from muomni_export.stages.stage import StageExport

from .catalogue import FILE_STEMS, FOLDER_PREFIXES, MERGED_PARTS, OMNI, parts_of
from .configs import Config, context_length, section_of, stage_config, whole_or_section
from .locate import (
    Located,
    find_beside,
    find_config,
    find_named_stage,
    find_tokenizer,
    only_config,
)
from .selection import Selection
from .stage_files import find_stage_file
from .state_dict import Section, has_averages, split_sections

AS_ASKED = "left out as asked"


@dataclass
class Parts:
    """What was read so far: weights by state dict and config by stage, not yet under the names of the modules."""

    selection: Selection
    sections: dict[str, Section] = field(default_factory=dict)
    configs: dict[str, Config] = field(default_factory=dict)
    tokenizer: Path | None = None
    context_length: int = 0
    notes: list[Note] = field(default_factory=list)

    def note(self, code: str, stage: str, text: str, **values: object) -> None:
        self.notes.append(Note(code, stage, text, values))

    def read(self, file: Path, kind: str) -> None:
        """Add the state dicts in a file: for that of a stage, at least its main one and what this cannot do without."""
        known = parts_of(kind)
        bare = next(iter(known.values())) if len(set(known.values())) == 1 else None
        self.take(file, read_weights(file), known, bare)
        main = stage_named(kind).main if kind in FILE_STEMS and kind != OMNI else None
        expected = [main.name, main.needs] if main is not None else [bare]
        for name in expected:
            if name in self.sections or name not in known.values():
                continue
            names = " or ".join(part for part, owner in known.items() if owner == name)
            own = {name: section for name, section in self.sections.items() if section.file == file}
            raise CheckpointError(
                f"{file}: expected a part named {names} with the {name}'s weights, got {names_of(own)}"
            )

    def take(
        self, file: Path, payload: Mapping[str, Any], names: Mapping[str, str], bare: str | None
    ) -> None:
        """Add what a file holds; say whether its weights are averages, or others would be there."""
        sections = split_sections(file, payload, names, bare, self.selection.weights)
        averaged = [name for name, section in sections.items() if section.averaged]
        if averaged and self.selection.weights == "model":
            self.note("averages_used", averaged[0], "{file} has averaged weights alone", file=file)
        elif self.selection.weights == "model" and has_averages(payload, names):
            text = (
                "{file} has averaged weights (EMA, SWA), too; used those of the last step (--weights model)"
            )
            self.note("averages_left_out", next(iter(sections), bare or ""), text, file=file)
        self.sections |= sections

    def leave_out(self, stage: StageExport, text: str, **values: object) -> None:
        """Note a stage that is not there, and forget what would be of use to it alone."""
        if stage.without_it:
            self.note("left_out", stage.name, text + ": " + stage.without_it, **values)
        for name in (stage.main.name, stage.main.needs):
            self.sections.pop(name or "", None)


def read_omni(found: Located, override: Path | None, selection: Selection) -> Parts:
    """A set of stage folders, from the omni folder and the config that names the others."""
    parts = Parts(selection)
    parts.read(found.file, OMNI)
    config_path, looked = (override, []) if override else find_config(found.folder)
    if config_path is None:
        raise CheckpointError(
            f"{found.folder}: no config; looked at {', '.join(map(str, looked))}. Name it with --config FILE"
        )
    config = read_json(config_path)
    folders: dict[str, Path] = {}
    for stage in STAGES:
        if not stage.file_stems:
            continue  # another stage's file has it
        if not selection.has(stage):
            parts.leave_out(stage, AS_ASKED)
            continue
        if stage.goes_with is not None:
            if stage.goes_with in folders:
                beside = (folders[stage.goes_with], found.folder, found.folder.parent)
                file = find_beside(stage.name, beside, config, config_path, found.folder, parts.notes)
                _add_beside(parts, stage, file, config, config_path)
            continue
        place = find_named_stage(stage.name, config, config_path, found.folder, parts.notes)
        if stage.name in parts.sections:  # omni.pt has it
            folders[stage.name] = found.folder if place is None else _folder(place)
        elif place is not None:
            folders[stage.name] = _folder(place)
            file = place if place.is_file() else find_stage_file(place, stage.name)
            parts.read(file, stage.name)
            if OMNI in stage.main.files:
                text = "{omni} has none; used {file}"
                parts.note("stage_alone", stage.name, text, omni=found.file.name, file=file)
        elif OMNI in stage.main.files:
            raise CheckpointError(
                f"{found.file}: expected a part named {stage.name}, got {names_of(parts.sections)}"
            )
        else:
            named = bool(config.get(f"{stage.name}_ckpt"))
            text = "left out" if named else "not named in {config} and not found"
            parts.leave_out(stage, text, config=config_path.name)
            continue
        own, source = stage_config(stage.name, config, config_path, folders[stage.name], parts.notes)
        parts.configs[stage.name] = own | _set_keys(stage, config), source
    if "thinker" in folders:
        parts.tokenizer = find_tokenizer((folders["thinker"], found.folder))
        lengths = (config, parts.configs["thinker"][0])
        parts.context_length = context_length(lengths, config_path, parts.notes)
    return parts


def read_stage(found: Located, override: Path | None, selection: Selection) -> Parts:
    """One stage's folder."""
    parts = Parts(selection)
    parts.read(found.file, found.kind)
    whole = read_json(override) if override else {}
    if override:
        parts.configs[found.kind] = (whole_or_section(whole, found.kind), override)
    else:
        parts.configs[found.kind] = stage_config(found.kind, {}, None, found.folder, parts.notes)
    own, source = parts.configs[found.kind]
    for stage in STAGES:
        if stage.goes_with == found.kind and selection.has(stage):
            folders = (found.folder, found.folder.parent)
            file = find_beside(stage.name, folders, {}, None, found.folder, parts.notes)
            _add_beside(parts, stage, file, {}, source)
    if found.kind == "thinker":
        parts.tokenizer = find_tokenizer((found.folder,))
        parts.context_length = context_length((whole, own), source or found.file, parts.notes)
    return parts


def read_merged(found: Located, override: Path | None, selection: Selection) -> Parts:
    """One file with every stage (or its shards), and the configs beside it."""
    config_path = override or found.folder / "config.json"
    inner = found.folder / "configs"
    if not config_path.is_file() and not inner.is_dir():
        looked = f"{config_path}, {inner}"
        raise CheckpointError(f"{found.file}: no config; looked at {looked}. Name it with --config FILE")
    config = read_json(config_path) if config_path.is_file() else {}
    omni_path = only_config(inner, OMNI)
    omni = read_json(omni_path) if omni_path else {}
    parts = Parts(selection)
    payload = read_shards(found.file) if found.file.suffix == ".json" else read_weights(found.file)
    parts.take(found.file, payload, MERGED_PARTS, None)
    if "thinker" not in parts.sections:
        raise CheckpointError(
            f"{found.file}: expected tensors named thinker.…, got {names_of(parts.sections)} (known prefixes: "
            f"{', '.join(MERGED_PARTS)})"
        )
    for stage in STAGES:
        if not stage.file_stems:
            continue
        if not selection.has(stage):
            parts.leave_out(stage, AS_ASKED)
            continue
        if stage.goes_with is not None:
            if stage.goes_with in parts.sections:
                own_folders = sorted(found.folder.glob(f"{stage.folder_prefix}*"))
                folders = (found.folder, *(p for p in own_folders if p.is_dir()))
                file = find_beside(stage.name, folders, config, config_path, found.folder, parts.notes)
                _add_beside(parts, stage, file, config, config_path)
            continue
        if stage.name not in parts.sections:
            parts.leave_out(stage, "not in {file}", file=found.file.name)
            continue
        base_path = only_config(inner, stage.name)
        own = read_json(base_path) if base_path else {}
        own |= section_of(omni, stage.name) | section_of(config, stage.name)
        own |= _set_keys(stage, omni) | _set_keys(stage, config)
        if not own:
            text = "no config in {file}; its sizes come from the tensors"
            parts.note("no_config", stage.name, text, file=config_path)
        parts.configs[stage.name] = (own, config_path if config_path.is_file() else base_path)
    if "thinker" in parts.configs:
        parts.tokenizer = find_tokenizer((found.folder,))
        lengths = (omni | config, parts.configs["thinker"][0])
        parts.context_length = context_length(lengths, config_path, parts.notes)
    return parts


def _add_beside(
    parts: Parts, stage: StageExport, file: Path | None, config: Mapping[str, Any], config_path: Path | None
) -> None:
    """Add a stage that goes with another, if there is one."""
    if file is None:
        return
    parts.read(file, stage.name)
    if file.parent.name.startswith(FOLDER_PREFIXES[stage.name]):
        parts.configs[stage.name] = stage_config(stage.name, config, config_path, file.parent, parts.notes)
        return
    # In the folder of another stage, its config is known by its name alone.
    folders = (config_path.parent, config_path.parent / "configs") if config_path is not None else ()
    own_path = next((path for folder in folders if (path := only_config(folder, stage.name))), None)
    own = read_json(own_path) if own_path is not None else {}
    section = section_of(config, stage.name)
    parts.configs[stage.name] = (own | section, config_path if section else own_path)


def _set_keys(stage: StageExport, config: Mapping[str, Any]) -> dict[str, Any]:
    """What the config of a whole set says of one stage outside its section."""
    return {key: config[key] for key in stage.set_keys if key in config}


def names_of(sections: Mapping[str, Section]) -> str:
    names = [section.prefix.rstrip(".") or name for name, section in sections.items()]
    return ", ".join(names) or "none of the known parts"


def _folder(place: Path) -> Path:
    return place if place.is_dir() else place.parent
