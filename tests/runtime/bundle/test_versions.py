"""Manifests of other versions: older ones run, newer ones run or say which muomni reads them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from muomni import Omni
from muomni.bundle import versions
from muomni.bundle.demo import demo_bundle
from muomni.bundle.manifest import MANIFEST_NAME, READS_WITH, SCHEMA_VERSION, Manifest, parse_manifest
from muomni.errors import ManifestError

TEXT = (demo_bundle() / MANIFEST_NAME).read_text(encoding="utf-8")
WORDS_1 = {new: old for old, new in versions._TEXT_INPUT_1.items()}


def demo() -> dict[str, Any]:
    value: dict[str, Any] = json.loads(TEXT)
    return value


def of_version_1() -> dict[str, Any]:
    """The demo's manifest as version 1 wrote it."""
    value = demo() | {"schema_version": 1}
    del value["reads_with"], value["thinker"]["cache_dtype"], value["talker"]["cache_dtype"]
    value["talker"]["text"] = {WORDS_1.get(key, key): item for key, item in value["talker"]["text"].items()}
    value["vocoder"] |= {"filters": None, "iterations": None}
    return value


def bundle_with(manifest: dict[str, Any], folder: Path) -> Path:
    """The demo with another manifest."""
    for file in demo_bundle().iterdir():
        if file.name != MANIFEST_NAME:
            (folder / file.name).symlink_to(file)
    (folder / MANIFEST_NAME).write_text(json.dumps(manifest), encoding="utf-8")
    return folder


def runs_as_the_demo(folder: Path) -> None:
    omni, expected = Omni.load(folder, device="cpu"), Omni.load(demo_bundle(), device="cpu")
    ids = expected.tokenizer.encode("hello")
    assert np.array_equal(omni.thinker.logits(ids), expected.thinker.logits(ids))
    assert np.array_equal(omni.speak("yes.").samples, expected.speak("yes.").samples)


def test_the_shipped_bundle_is_of_this_version() -> None:
    assert demo()["schema_version"] == SCHEMA_VERSION and demo()["reads_with"] == READS_WITH
    assert parse_manifest(TEXT).to_json() == TEXT


def test_a_bundle_of_version_1_is_read_as_todays_and_runs(tmp_path: Path) -> None:
    value = of_version_1()
    assert parse_manifest(json.dumps(value)) == parse_manifest(TEXT)
    runs_as_the_demo(bundle_with(value, tmp_path))


@pytest.mark.parametrize(
    ("kind", "kept"),
    [("hifigan", {"graph"}), ("griffin_lim", {"n_fft", "filters", "iterations"})],
)
def test_vocoders_of_version_1_keep_the_keys_of_their_kind(kind: str, kept: set[str]) -> None:
    value = of_version_1()
    value["vocoder"] |= {"kind": kind, "filters": "audio_mel_filters.npy", "iterations": 32}
    vocoder = parse_manifest(json.dumps(value)).vocoder
    assert vocoder is not None and vocoder.kind == kind
    assert {name for name in ("graph", "n_fft", "filters", "iterations") if hasattr(vocoder, name)} == kept


def test_an_error_in_a_manifest_of_version_1_says_how_it_was_read() -> None:
    value = of_version_1()
    value["talker"]["text"]["reach"] = 0
    with pytest.raises(
        ManifestError, match=r"version 1, read as 2\.\d+\)\.talker\.text\.context_phonemes: expected 1"
    ):
        parse_manifest(json.dumps(value))


def test_a_bundle_of_an_older_minor_runs_with_the_defaults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a later muomni does with this version's bundles: keys that came since have their defaults."""
    monkeypatch.setattr(versions, "MINOR", versions.MINOR + 1)
    value = demo()
    for stage in ("thinker", "talker"):
        del value[stage]["cache_dtype"]
    del value["thinker"]["draft_candidates"], value["measured"]
    manifest = parse_manifest(json.dumps(value))
    assert manifest.thinker is not None and manifest.thinker.cache_dtype == "float32"
    assert manifest.schema_version == SCHEMA_VERSION
    runs_as_the_demo(bundle_with(value, tmp_path))


def test_a_bundle_of_a_newer_minor_runs_without_the_keys_that_are_not_known(tmp_path: Path) -> None:
    value = demo() | {"schema_version": "2.7", "depth": {"graph": "depth"}}
    value["thinker"]["rope"] = "yarn"
    value["vocoder"]["chunk_frames"] = 8
    value["files"]["tokenizer.model"]["compressed"] = False
    value["graphs"]["depth"] = value["graphs"]["vision"]
    assert parse_manifest(json.dumps(value)).thinker == parse_manifest(TEXT).thinker
    runs_as_the_demo(bundle_with(value, tmp_path))


@pytest.mark.parametrize(
    ("version", "is_newer"), [("2.0", False), (SCHEMA_VERSION, False), ("2.10", True), (1, False)]
)
def test_unknown_keys_are_refused_unless_the_minor_is_newer(version: int | str, is_newer: bool) -> None:
    value = (of_version_1() if version == 1 else demo()) | {"schema_version": version, "colour": "red"}
    if is_newer:
        assert parse_manifest(json.dumps(value)).schema_version == version
        return
    with pytest.raises(ManifestError, match="unknown key 'colour'"):
        parse_manifest(json.dumps(value))


def test_a_newer_minor_is_checked_as_strictly_in_what_is_known() -> None:
    value = demo() | {"schema_version": "2.7"}
    value["vocoder"]["hop_samples"] = 0
    with pytest.raises(ManifestError, match=r"vocoder\.hop_samples: expected 1 to"):
        parse_manifest(json.dumps(value))


def test_a_newer_major_says_which_muomni_reads_it() -> None:
    value = {"schema_version": "3.0", "reads_with": "muomni>=4.2", "shape": "another"}
    with pytest.raises(ManifestError) as caught:
        parse_manifest(json.dumps(value))
    message = str(caught.value)
    assert "schema version 3.0, this muomni reads 1 and 2.x" in message
    assert 'pip install --upgrade "muomni>=4.2"' in message


@pytest.mark.parametrize(
    "version", [0, 2, 99, 2.0, True, None, [], {}, "", "2", "2.", "2.0.1", "-2.0", "two", "२.०"]
)
def test_what_is_no_version_is_refused(version: Any) -> None:
    with pytest.raises(ManifestError, match="schema version"):
        parse_manifest(json.dumps(demo() | {"schema_version": version}))


def test_the_version_that_is_written_is_the_one_that_is_read() -> None:
    assert f"{versions.MAJOR}.{versions.MINOR}" == SCHEMA_VERSION
    assert isinstance(parse_manifest(TEXT), Manifest)
