"""Which character each id stands for: in the file of the weights, or beside it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from muomni.errors import CheckpointError
from muomni_export.files import is_safetensors, read_json, read_weights

METADATA = "ocr_metadata.json"  # what a finished training run writes beside its weights
BY_ID, BY_CHARACTER = "idx_to_char", "char_to_idx"
MARKS = {"<PAD>", "<BOS>", "<EOS>", "<UNK>"}
"""Names of ids that stand for no character."""


def find_characters(source: Path, vocabulary: int) -> list[str] | None:
    """The text of each id, empty where it stands for none; None where no file says.

    Args:
        source: the weights; a merged file has no characters, the ``ocr.pt`` beside it has.

    Raises:
        CheckpointError: ids beyond the vocabulary, two characters for one id, or what is no character.
    """
    for place in places(source):
        found = read_json(place) if place.suffix == ".json" else read_weights(place)
        named = _by_id(place, found)
        if named:
            return _listed(place, named, vocabulary)
    return None


def places(source: Path) -> list[Path]:
    """The files that may say it, the first to be believed first."""
    own = [] if source.suffix == ".json" or is_safetensors(source) else [source]
    folders = [source.parent, *sorted(p for p in source.parent.glob("ocr*") if p.is_dir())]
    beside = [folder / METADATA for folder in folders]
    beside += [file for folder in folders for file in sorted(folder.glob("ocr*.pt"))]
    return list(dict.fromkeys([*own, *(file for file in beside if file.is_file())]))


def _by_id(place: Path, found: Mapping[str, Any]) -> dict[Any, Any]:
    """Id -> name as the file has them; nothing where it has neither map."""
    by_id, by_character = found.get(BY_ID), found.get(BY_CHARACTER)
    if isinstance(by_id, (list, tuple)):
        return dict(enumerate(by_id))
    if isinstance(by_id, Mapping):
        return dict(by_id)
    if by_id is not None:
        raise CheckpointError(
            f"{place}: {BY_ID}: expected a map of ids to characters, got {type(by_id).__name__}"
        )
    if not isinstance(by_character, Mapping):
        return {}
    turned: dict[Any, Any] = {}
    for name, number in by_character.items():
        if number in turned:
            raise CheckpointError(
                f"{place}: {BY_CHARACTER}: expected one character for an id, got {turned[number]!r} and {name!r} "
                f"for {number!r}"
            )
        turned[number] = name
    return turned


def _listed(place: Path, named: Mapping[Any, Any], vocabulary: int) -> list[str]:
    characters = [""] * vocabulary
    for key, name in named.items():
        # JSON has no keys but strings.
        text = str(key) if isinstance(key, (int, str)) and not isinstance(key, bool) else ""
        if not re.fullmatch(r"[0-9]{1,9}", text) or int(text) >= vocabulary:
            raise CheckpointError(
                f"{place}: {BY_ID}: expected ids below {vocabulary} (the rows of decoder.char_embed.weight), got "
                f"{key!r}; they come from different trainings"
            )
        if not isinstance(name, str) or any("\ud800" <= letter <= "\udfff" for letter in name):
            raise CheckpointError(f"{place}: {BY_ID}: expected a character for id {text}, got {name!r}")
        characters[int(text)] = "" if name in MARKS else name
    return characters
