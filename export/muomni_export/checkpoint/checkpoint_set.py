"""Read a trained μOmni: from the path a user gives to each stage's weights and config."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from muomni.errors import CheckpointError

from .configs import Config
from .layouts import (
    FILE_PARTS,
    MERGED_PARTS,
    NEEDS,
    Parts,
    names_of,
    read_merged,
    read_omni,
    read_stage,
    torch_sections,
)
from .locate import Located, locate
from .state_dict import Section, canonical_state, strip_wrappers

PART_NAMES = {stage: part for parts in (*FILE_PARTS.values(), MERGED_PARTS) for part, stage in parts.items()}
SOUND_CONTEXT = "context."  # names only a Talker has that is told what to say
LETTERS_FILE, INVENTORY_FILE = "letters.pt", "sounds.json"
TOLD = "a Talker that is told what to say"


@dataclass(frozen=True)
class StageWeights:
    """One stage: float32 weights under the names of its module, and its config.

    ``prefix`` is what the file puts before a name; ``stored_names`` has each tensor's full name in the file.
    """

    state: dict[str, Tensor]
    config: dict[str, Any]
    source: Path
    prefix: str
    stored_names: Mapping[str, str] = field(default_factory=dict)
    config_source: Path | None = None

    def stored(self, name: str) -> str:
        """The name a tensor has, or would have, in the file."""
        return self.stored_names.get(name, self.prefix + name)


@dataclass(frozen=True)
class CheckpointSet:
    """All that was found.

    ``stages`` has some of: thinker, vision, vision_projector, audio, audio_projector, talker, letters, codec,
    vocoder. ``inventory`` names the sounds that a Talker which is told what to say knows; None for others.
    ``context_length`` is in positions, 0 where there is no Thinker; ``root`` is the folder that was read.
    """

    stages: Mapping[str, StageWeights]
    tokenizer: Path | None
    context_length: int
    notes: tuple[str, ...]
    root: Path
    inventory: Path | None = None


def read_checkpoint(path: Path, config: Path | None = None) -> CheckpointSet:
    """Find and read a checkpoint.

    Args:
        path: an ``omni_sft_*`` folder, a stage folder, a merged folder, a folder above or one of their files.
        config: a JSON file to read instead of the one found.

    Raises:
        CheckpointError: a file that is missing, unreadable, unsafe or foreign, or weights of no use.
    """
    found = locate(path)
    if config is not None:
        config = config.expanduser().absolute()
    if found.kind == "ocr":
        raise CheckpointError(f"{found.file}: OCR is not exported yet; export the omni folder beside it")
    reader = {"omni": read_omni, "merged": read_merged}.get(found.kind, read_stage)
    try:
        return _assemble(found, reader(found, config))
    except RecursionError as error:
        raise CheckpointError(f"{found.file}: nested too deeply for a checkpoint") from error


def _add_reading(sections: dict[str, Section], configs: dict[str, Config]) -> Path | None:
    """Letters to sounds and the list of sounds, beside a Talker that is told what to say; the list."""
    folder = sections["talker"].file.parent
    keys = (strip_wrappers(raw) for raw, _ in sections["talker"].entries.values())
    if not any(key.startswith(SOUND_CONTEXT) for key in keys):
        return None
    letters, inventory = folder / LETTERS_FILE, folder / INVENTORY_FILE
    if "letters" not in sections:
        if not letters.is_file():
            raise CheckpointError(f"{folder}: expected {LETTERS_FILE}, which {TOLD} needs; found none")
        sections |= torch_sections(letters, "letters")
    if not inventory.is_file():
        raise CheckpointError(f"{folder}: expected {INVENTORY_FILE}, which {TOLD} needs; found none")
    config, source = configs.get("talker", ({}, None))
    own = config.get("letters")
    configs["letters"] = (dict(own) if isinstance(own, Mapping) else {}, source)
    return inventory


def _assemble(found: Located, parts: Parts) -> CheckpointSet:
    sections, configs = parts.sections, parts.configs
    for stage, needed in NEEDS.items():
        if stage in sections and needed not in sections and found.kind != stage:
            own = {name: section for name, section in sections.items() if section.file == found.file}
            raise CheckpointError(
                f"{found.file}: expected a part named {PART_NAMES[needed]} (the {stage} stage is of no use "
                f"without it), got {names_of(own)}"
            )
    inventory = _add_reading(sections, configs) if "talker" in sections else None
    stages = {}
    for stage, section in sections.items():
        state = canonical_state(section, stage)
        config, source = configs.get(stage, ({}, None))
        stages[stage] = StageWeights(
            state.tensors, config, section.file, section.prefix, state.stored_names, source
        )
    return CheckpointSet(
        stages, parts.tokenizer, parts.context_length, tuple(parts.notes), found.folder, inventory
    )
