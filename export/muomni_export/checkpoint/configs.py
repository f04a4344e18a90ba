"""Which config belongs to which stage, and its values."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from muomni.errors import CheckpointError
from muomni_export.files import read_json
from muomni_export.notes import Note

from .locate import find_config

DEFAULT_CONTEXT_LENGTH = 512  # positions, the reference's

Config = tuple[dict[str, Any], Path | None]
"""A stage's config and the file it (or its last part) comes from."""


def section_of(config: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """The part of a config about one stage: a section of its own, else, for the Thinker, flat keys."""
    section = config.get(kind, config.get(f"{kind}_encoder"))
    if isinstance(section, Mapping):
        return dict(section)
    flat = kind == "thinker" and any(
        key in config for key in ("n_heads", "d_model", "n_layers", "vocab_size")
    )
    return {k: v for k, v in config.items() if not isinstance(v, Mapping)} if flat else {}


def whole_or_section(config: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """A stage's own JSON, which may also be a set's with a section for it."""
    return section_of(config, kind) or dict(config)


def stage_config(
    kind: str, config: Mapping[str, Any], config_path: Path | None, folder: Path, notes: list[Note]
) -> Config:
    """A stage's own JSON, updated by its section in the config of the set.

    The JSON is ``<folder name>.json`` beside the set's config, else where :func:`find_config` looks.
    """
    beside = [config_path.parent / f"{folder.name}.json"] if config_path is not None else []
    found, looked = find_config(folder)
    own_path = next((place for place in beside if place.is_file()), found)
    own = whole_or_section(read_json(own_path), kind) if own_path is not None else {}
    section = section_of(config, kind)
    if own_path is None and not section:
        text = "no config found (looked at {places}); its sizes come from the tensors"
        notes.append(Note("no_config", kind, text, {"places": tuple(dict.fromkeys(beside + looked))}))
    return own | section, config_path if section else own_path


def context_length(configs: tuple[Mapping[str, Any], ...], source: Path, notes: list[Note]) -> int:
    """Positions the Thinker was last trained on: ``ctx_len`` of the set's config, else of the Thinker's.

    Raises:
        CheckpointError: a value that is no positive whole number.
    """
    values = [config["ctx_len"] for config in configs if config.get("ctx_len") is not None]
    if not values:
        used = {"file": source.name, "used": DEFAULT_CONTEXT_LENGTH}
        notes.append(Note("default_used", "thinker", "no ctx_len in {file}; used {used}", used))
        return DEFAULT_CONTEXT_LENGTH
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise CheckpointError(f"{source}: ctx_len: expected a positive whole number, got {value!r}")
    if values[0] != values[-1]:
        text = "ctx_len is {used} in the set's config, {other} in the Thinker's; used {used}"
        notes.append(Note("config_differs", "thinker", text, {"used": values[0], "other": values[-1]}))
    return int(values[0])
