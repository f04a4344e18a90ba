"""docs/bundle-format.md says what the code reads, no more and no less."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest

from muomni.bundle import manifest as classes
from muomni.bundle.demo import demo_bundle

PAGE = (Path(__file__).parents[3] / "docs" / "bundle-format.md").read_text(encoding="utf-8")
SECTIONS = {
    "The manifest": classes.Manifest,
    "file": classes.FileEntry,
    "graph": classes.GraphEntry,
    "source": classes.SourceEntry,
    "prompt": classes.PromptEntry,
    "measured": classes.MeasuredEntry,
    "tokenizer": classes.TokenizerEntry,
    "thinker": classes.ThinkerStage,
    "vision": classes.VisionStage,
    "audio": classes.AudioStage,
    "mel": classes.MelEntry,
    "talker": classes.TalkerStage,
    "ocr": classes.OcrStage,
    "text": classes.TextInput,
    "codec": classes.CodecStage,
    "hifigan": classes.HifiganVocoder,
    "spectral": classes.SpectralVocoder,
    "griffin_lim": classes.GriffinLimVocoder,
}


def section(heading: str) -> str:
    found = re.search(rf"^#+ {re.escape(heading)}\n(.*?)(?=^#|\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None, heading
    return found[1]


@pytest.mark.parametrize("heading", SECTIONS)
def test_a_table_has_the_fields_in_their_order(heading: str) -> None:
    rows = re.findall(r"^\| `(\w+)` \|", section(heading), re.MULTILINE)
    assert rows == [field.name for field in dataclasses.fields(SECTIONS[heading])]


def test_every_class_of_the_manifest_has_its_section() -> None:
    there = {
        value
        for value in vars(classes).values()
        if isinstance(value, type) and dataclasses.is_dataclass(value)
    }
    assert there == set(SECTIONS.values())


@pytest.mark.parametrize("heading", SECTIONS)
def test_a_default_is_said(heading: str) -> None:
    fields = dataclasses.fields(SECTIONS[heading])
    assert fields
    for field in fields:
        row = next(line for line in section(heading).splitlines() if line.startswith(f"| `{field.name}` |"))
        if field.default is not dataclasses.MISSING and field.name != "kind":
            assert "default" in row or "or null" in row, row


def within(part: Any, whole: Any) -> bool:
    if isinstance(part, dict):
        return all(key in whole and within(item, whole[key]) for key, item in part.items())
    return bool(part == whole)


def test_the_excerpt_is_the_shipped_bundles() -> None:
    excerpt = json.loads(re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)[0])
    manifest = json.loads((demo_bundle() / classes.MANIFEST_NAME).read_text(encoding="utf-8"))
    assert within(excerpt, manifest)


def test_the_page_is_of_this_version() -> None:
    assert f"This page describes {classes.SCHEMA_VERSION}." in PAGE
    assert f'"{classes.READS_WITH}"' in PAGE


def test_the_code_runs(capsys: pytest.CaptureFixture[str]) -> None:
    exec(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)[0], {})
    assert capsys.readouterr().out == "spectral 384\n"
