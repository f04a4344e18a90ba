"""The version of the manifest's format: what this muomni reads, and how older manifests become today's.

``schema_version`` is ``"major.minor"``. A minor version adds keys that have defaults: a manifest of an older minor is
read with the defaults, one of a newer minor without the keys that this muomni does not know. A major version changes
what is there; such a manifest says in ``reads_with`` which muomni reads it, and this one quotes that.
"""

from __future__ import annotations

import re
from typing import Any

from muomni.errors import ManifestError

MAJOR, MINOR = 2, 2
SCHEMA_VERSION = f"{MAJOR}.{MINOR}"
READS_WITH = "muomni>=0.1.0"
"""The first release that reads this major version, as pip writes it."""

_TEXT_INPUT_1 = {
    "letters_graph": "phonemizer_graph",
    "inventory": "phonemes",
    "sounds": "phoneme_ids",
    "reach": "context_phonemes",
    "elapsed": "elapsed_frames",
}
"""Words of version 1, and what they are called since."""

_NOT_OF_KIND_1 = {
    "hifigan": {"n_fft", "receptive_field_frames", "filters", "iterations"},
    "spectral": {"filters", "iterations"},
    "griffin_lim": {"graph", "receptive_field_frames"},
}
"""In version 1 every vocoder had every key; these meant nothing to a vocoder of that kind."""


def to_current(value: object, where: str) -> tuple[dict[str, Any], bool]:
    """A manifest's JSON in this version's form, and whether it is of a newer minor version.

    Raises:
        ManifestError: no object, no version, or one that this muomni does not read.
    """
    given = value if isinstance(value, dict) else {}
    version, reader = given.get("schema_version"), given.get("reads_with")
    if type(version) is int and version == 1:
        return from_1(given), False
    found = re.fullmatch(r"([0-9]{1,9})\.([0-9]{1,9})", version) if isinstance(version, str) else None
    if found is not None and int(found[1]) == MAJOR:
        return given, int(found[2]) > MINOR
    if isinstance(reader, str):
        cure = f'it is read with {reader[:60]}: pip install --upgrade "{reader[:60]}"'
    else:
        cure = "export the checkpoint again with muomni-export, or install the muomni that wrote the bundle"
    message = (
        f"{where}: schema version {str(version)[:60]}, this muomni reads 1 and {MAJOR}.x (it writes "
        f'"{SCHEMA_VERSION}"); {cure}'
    )
    # JSON can spell half a surrogate pair, which no terminal can show.
    raise ManifestError(message.encode(errors="backslashreplace").decode())


def from_1(old: dict[str, Any]) -> dict[str, Any]:
    """A manifest of version 1 as one of version 2. What is wrong in it stays, for the reader to refuse."""
    new = {**old, "schema_version": SCHEMA_VERSION, "reads_with": READS_WITH}
    talker, vocoder = old.get("talker"), old.get("vocoder")
    if isinstance(talker, dict) and isinstance(text := talker.get("text"), dict):
        renamed = {_TEXT_INPUT_1.get(key, key): item for key, item in text.items()}
        new["talker"] = {**talker, "text": renamed}
    if isinstance(vocoder, dict) and isinstance(kind := vocoder.get("kind"), str):
        unused = _NOT_OF_KIND_1.get(kind, set())
        new["vocoder"] = {key: item for key, item in vocoder.items() if key not in unused}
    return new
