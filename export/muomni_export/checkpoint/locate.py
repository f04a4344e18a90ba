"""Where the files of a checkpoint are: stage folders, newest steps, configs, tokenizer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from muomni.errors import CheckpointError
from muomni_export.files import names_in
from muomni_export.notes import Note
from muomni_export.stages.registry import stage_named

from .catalogue import FILE_STEMS, FOLDER_PREFIXES, MERGED, MERGED_PARTS, OMNI, kind_by_name, parts_of
from .stage_files import ANY_STEMS, EXTENSIONS, find_stage_file, has_stage_file, is_named_for
from .state_dict import strip_wrappers

MERGED_STEMS = ("model", "muomni", "pytorch_model", OMNI)
INDEX_SUFFIX = ".index.json"
MERGED_FILES = tuple(
    f"{stem}{extension}{suffix}"
    for extension in (".safetensors", ".pt", ".pth", ".bin")
    for suffix in ("", INDEX_SUFFIX)
    for stem in MERGED_STEMS
)
"""Names of a file with all stages (or of the index of its shards), the preferred one first."""
TOKENIZER_FILE = "tokenizer.model"
EXPECTED_PATHS = (
    "an omni_sft_* folder (omni.pt), a stage folder "
    f"({', '.join(f'{stems[0]}.pt' for kind, stems in FILE_STEMS.items() if kind != OMNI)}) "
    "or a folder with model.safetensors"
)


@dataclass(frozen=True)
class Located:
    """What a path means: the kind of checkpoint (a key of ``FILE_STEMS``, or "merged"), and its file."""

    kind: str
    folder: Path
    file: Path


def locate(path: Path) -> Located:
    """Find the checkpoint a path means: a stage folder, a merged folder, a folder above, or a file.

    Raises:
        CheckpointError: nothing there, nothing recognised, or more than one candidate.
    """
    path = path.expanduser()
    if not path.exists():
        raise CheckpointError(f"{path}: no such file or folder; expected {EXPECTED_PATHS}")
    if not path.is_dir():
        folder = path.parent.resolve()
        return Located(_kind_of_file(path), folder, folder / path.name)
    folder = path.resolve()
    merged = _merged_file(folder)
    if merged is not None:
        return Located(MERGED, folder, merged)
    kind = _kind_of_folder(folder)
    if kind is not None:
        return Located(kind, folder, find_stage_file(folder, kind))
    return locate(_omni_folder_below(folder))


def find_named_stage(
    kind: str, config: Mapping[str, Any], config_path: Path, folder: Path, notes: list[Note]
) -> Path | None:
    """The folder (or file) of a stage that ``<kind>_ckpt`` names, else a sibling of the omni folder.

    Relative paths start at the folder above ``configs/``. A path that has gone is replaced by a sibling
    folder of the same name, with a note.

    Raises:
        CheckpointError: the config names a stage that is nowhere, or several siblings could be meant.
    """
    named = config.get(f"{kind}_ckpt")
    if named is None or named == "":
        return find_sibling(kind, folder, config_path)
    if not isinstance(named, str):
        raise CheckpointError(f"{config_path}: {kind}_ckpt: expected a path, got {named!r}")
    wanted = Path(named.replace("\\", "/"))
    bases = dict.fromkeys((config_path.parent.parent, folder.parent.parent, config_path.parent))
    places = [base / wanted for base in bases]  # an absolute path stays as it is
    sibling = folder.parent / wanted.name
    for place in dict.fromkeys((*places, sibling)):
        if place.exists():
            if place == sibling and place not in places:
                text = "{config} says {named}, which is not there; used {place}"
                values = {"config": config_path.name, "named": wanted, "place": place}
                notes.append(Note("stage_moved", kind, text, values))
            return place.resolve() if place.is_dir() else place
    looked = tuple(dict.fromkeys((*places, sibling)))
    if kind == "thinker":
        raise CheckpointError(
            f"{config_path}: {kind}_ckpt names {named}, which does not exist; looked at "
            f"{', '.join(map(str, looked))}. Copy the folder there"
        )
    text = "{config} names {named}, which does not exist (looked at {looked})"
    values = {"config": config_path.name, "named": wanted, "looked": looked}
    notes.append(Note("stage_missing", kind, text, values))
    return None


def find_beside(
    kind: str,
    folders: Iterable[Path],
    config: Mapping[str, Any],
    config_path: Path | None,
    folder: Path,
    notes: list[Note],
) -> Path | None:
    """The file of a stage that goes with another: named in the config, in its own folder, else in ``folders``."""
    if config.get(f"{kind}_ckpt") and config_path is not None:
        named = find_named_stage(kind, config, config_path, folder, notes)
        if named is not None:
            return named if named.is_file() else find_stage_file(named, kind)
    sibling = find_sibling(kind, folder, config_path)
    places = ([sibling] if sibling else []) + list(folders)
    return next((find_stage_file(place, kind) for place in places if has_stage_file(place, kind)), None)


def find_config(folder: Path) -> tuple[Path | None, list[Path]]:
    """The JSON of a stage folder, ``configs/<folder name>.json`` first, and all places looked at."""
    places = [
        folder.parent.parent / "configs" / f"{folder.name}.json",
        folder.parent / "configs" / f"{folder.name}.json",
        folder / f"{folder.name}.json",
        folder / "config.json",
    ]
    return next((place for place in places if place.is_file()), None), places


def only_config(folder: Path, kind: str) -> Path | None:
    """The one ``<kind>_*.json`` of a configs folder; None where there is none, or more than one."""
    found = sorted(folder.glob(f"{FOLDER_PREFIXES[kind]}*.json"))
    return found[0] if len(found) == 1 else None


def find_tokenizer(folders: Iterable[Path]) -> Path:
    """``tokenizer.model`` in the first folder that has one.

    Raises:
        CheckpointError: no folder has one (lists them).
    """
    places = [folder / TOKENIZER_FILE for folder in dict.fromkeys(folders)]
    for place in places:
        if place.is_file():
            return place
    looked = ", ".join(str(place) for place in places)
    raise CheckpointError(
        f"no tokenizer: looked at {looked}; copy the tokenizer.model the Thinker was trained with there"
    )


def _kind_of_file(path: Path) -> str:
    if path.name in MERGED_FILES and _is_merged(path):
        return MERGED
    for kind, stems in FILE_STEMS.items():
        for stem in stems:
            if is_named_for(path, stem):
                return kind
    by_name = kind_by_name(path.resolve().parent)
    if path.suffix in EXTENSIONS and path.stem in ANY_STEMS and by_name is not None:
        return by_name
    if path.suffix == ".safetensors":
        return MERGED
    raise CheckpointError(f"{path}: not the name of a checkpoint file; expected {EXPECTED_PATHS}")


def _merged_file(folder: Path) -> Path | None:
    """The file with all stages in a folder, or the index of its shards."""
    places = (folder / name for name in MERGED_FILES)
    return next((place for place in places if place.is_file() and _is_merged(place)), None)


def _is_merged(file: Path) -> bool:
    """Whether a file with such a name has all stages, and not one (or those of omni.pt)."""
    kind = kind_by_name(file.resolve().parent)
    if kind is None and not file.name.startswith(OMNI):
        return True
    first = {strip_wrappers(name).partition(".")[0] for name in names_in(file)}
    return bool(first & MERGED_PARTS.keys() - parts_of(kind or OMNI).keys())


def _kind_of_folder(folder: Path) -> str | None:
    """By the files in the folder, then by its name; None where neither says."""
    by_name = kind_by_name(folder)
    inside = [kind for kind in FILE_STEMS if has_stage_file(folder, kind)]
    # Of a vocoder beside the Talker, as in older sets, the folder is the Talker's.
    inside = [kind for kind in inside if kind == OMNI or stage_named(kind).goes_with not in inside]
    if OMNI in inside:
        return OMNI
    if len(inside) == 1:
        return inside[0]
    if by_name in inside or not inside:
        return by_name
    files = ", ".join(f"{FILE_STEMS[kind][0]}.pt" for kind in inside)
    raise CheckpointError(f"{folder}: expected one stage in a folder, got {files}; name the file to export")


def _omni_folder_below(folder: Path) -> Path:
    """The one ``omni_sft_*`` folder in ``folder/checkpoints`` or ``folder``."""
    found: list[Path] = []
    for place in (folder / "checkpoints", folder):
        found = found or sorted(p for p in place.glob(f"{FOLDER_PREFIXES['omni']}*") if p.is_dir())
    if len(found) == 1:
        return found[0]
    if found:
        raise CheckpointError(
            f"{folder}: expected one omni folder, got {', '.join(map(str, found))}; name one"
        )
    there = ", ".join(sorted(file.name for file in folder.iterdir())[:8]) or "nothing"
    raise CheckpointError(f"{folder}: no checkpoint here: expected {EXPECTED_PATHS}, found {there}")


def find_sibling(kind: str, folder: Path, config_path: Path | None) -> Path | None:
    """``<kind>_<suffix>`` beside a folder ``…_<suffix>``, else the only ``<kind>_*``."""
    prefix = FOLDER_PREFIXES[kind]
    found = sorted(p for p in folder.parent.glob(f"{prefix}_*") if p.is_dir() and p != folder)
    own = next((p for p in FOLDER_PREFIXES.values() if folder.name.startswith(p)), "")
    same = [p for p in found if p.name.removeprefix(prefix) == folder.name.removeprefix(own)]
    if same or len(found) == 1:
        return (same or found)[0]
    if found:
        raise CheckpointError(
            f"{folder}: which {kind} belongs to it? Found {', '.join(p.name for p in found)}; name one as "
            f"{kind}_ckpt in {config_path or 'its config'}"
        )
    return None
