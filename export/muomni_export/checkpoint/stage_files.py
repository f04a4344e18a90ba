"""The file of a stage in a folder: its own name, its newest step, or what other names trainers give."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from muomni.errors import CheckpointError

from .catalogue import FILE_STEMS, kind_by_name

EXTENSIONS = (".pt", ".pth", ".ckpt", ".bin", ".safetensors")
ANY_STEMS = ("model", "pytorch_model", "checkpoint", "last", "best", "final")
"""Names of a stage's file in a folder that is named after the stage."""
ENDINGS = ("best", "final", "last", "latest", "ema")
"""What may follow the name of a stage's file, the preferred one first."""
DEEPSPEED_TAG, DEEPSPEED_FILE = "latest", "mp_rank_00_model_states.pt"


def is_named_for(file: Path, stem: str) -> bool:
    """Whether a file's name is a stage's, alone or with a step or another ending."""
    ending = "|".join(ENDINGS)
    return file.suffix in EXTENSIONS and bool(
        re.fullmatch(rf"{stem}(?:[_-](?:step|epoch)[_=-]?\d+|_(?:{ending}))?", file.stem)
    )


def find_stage_file(folder: Path, kind: str) -> Path:
    """``<stage>.pt``, or the newest ``<stage>_step_<N>.pt`` by number, or what other names trainers give.

    Raises:
        CheckpointError: none is there.
    """
    stems = FILE_STEMS[kind]
    for stem in stems:
        exact = _first_file(folder, [stem])
        found = (
            exact or _newest_step(folder, stem) or _first_file(folder, [f"{stem}_{end}" for end in ENDINGS])
        )
        if found is not None:
            return found
    if kind_by_name(folder) == kind:
        found = _first_file(folder, ANY_STEMS) or _deepspeed_file(folder)
        if found is not None:
            return found
    looked = [f"{stem}{end}" for stem in stems for end in (".pt", "_step_<N>.pt")]
    there = sorted(file.name for file in folder.iterdir()) if folder.is_dir() else []
    shown = ", ".join(there[:8]) or "nothing"
    raise CheckpointError(f"{folder}: no {kind} checkpoint; expected {' or '.join(looked)}, found {shown}")


def _first_file(folder: Path, stems: Iterable[str]) -> Path | None:
    places = (folder / f"{stem}{extension}" for stem in stems for extension in EXTENSIONS)
    return next((place for place in places if place.is_file()), None)


def _newest_step(folder: Path, stem: str) -> Path | None:
    """Of ``<stem>_step_<N>``, by number."""
    steps = {
        int(match[1]): file
        for file in folder.glob(f"{stem}*")
        if (match := re.fullmatch(rf"{stem}[_-](?:step|epoch)[_=-]?(\d+)", file.stem))
        and file.suffix in EXTENSIONS
        and file.is_file()
    }
    return steps[max(steps)] if steps else None


def _deepspeed_file(folder: Path) -> Path | None:
    """The weights that DeepSpeed's tag names.

    Raises:
        CheckpointError: they are divided among processes (ZeRO stage 3).
    """
    tag = folder / DEEPSPEED_TAG
    name = tag.read_text(encoding="utf-8", errors="replace").strip() if tag.is_file() else ""
    if not name or Path(name).name != name:
        return None
    if any((folder / name).glob("zero_pp_rank_*_model_states.pt")):
        raise CheckpointError(
            f"{folder / name}: the weights are divided among processes (ZeRO stage 3); gather them with the "
            "zero_to_fp32.py that DeepSpeed put beside them, and export what it writes"
        )
    file = folder / name / DEEPSPEED_FILE
    return file if file.is_file() else None


def has_stage_file(folder: Path, kind: str) -> bool:
    try:
        find_stage_file(folder, kind)
    except CheckpointError:
        return False
    return True
