"""Names by which stages are found in files and folders, from what each stage says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from muomni_export.stages.registry import STAGES, state_dicts

MERGED = "merged"  # kind of a file with all stages
OMNI = "omni"  # the file of the fine-tuned Thinker and the projectors; no stage of its own

FILE_STEMS: Mapping[str, tuple[str, ...]] = {
    OMNI: (OMNI,),
    **{stage.name: stage.file_stems for stage in STAGES if stage.file_stems},
}
"""Kind of file ("omni", or the name of a stage) -> its names without an extension, the preferred one first."""

FOLDER_PREFIXES: Mapping[str, str] = {
    OMNI: "omni_sft",
    **{stage.name: stage.folder_prefix for stage in STAGES if stage.folder_prefix},
}

MERGED_PARTS: Mapping[str, str] = {part.merged: part.name for part in state_dicts() if part.merged}
"""Prefix in a file with all stages -> state dict."""


def parts_of(kind: str) -> dict[str, str]:
    """Names of the parts in a kind of file -> state dicts."""
    return {name: part.name for part in state_dicts() for name in part.files.get(kind, ())}


def part_names(state_dict: str) -> list[str]:
    """All names that a state dict has in files, the preferred one first."""
    found = next(part for part in state_dicts() if part.name == state_dict)
    return list(dict.fromkeys(name for names in found.files.values() for name in names))


def kind_by_name(folder: Path) -> str | None:
    """The kind that the name of a folder says; None where it says none."""
    return next((k for k, prefix in FOLDER_PREFIXES.items() if folder.name.startswith(prefix)), None)
