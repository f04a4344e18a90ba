r"""A table of sentences and how they are read: ``readings.tsv``, text and reading with a tab between.

In the text ``\n`` is a line break, ``\u00ad`` a character that cannot be seen, ``\\`` a backslash.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from muomni.speech.normalise import normalise

ESCAPE = re.compile(r"\\(?:(n)|u([0-9a-f]{4})|(\\))")


def unescape(text: str) -> str:
    return ESCAPE.sub(lambda e: "\n" if e[1] else chr(int(e[2], 16)) if e[2] else "\\", text)


LINES = (Path(__file__).parent / "readings.tsv").read_text(encoding="utf-8").split("\n")
READINGS = [
    (unescape(text), reading) for text, _, reading in (line.partition("\t") for line in LINES if line)
]


def test_the_table_is_large_and_without_repetition() -> None:
    assert len(READINGS) >= 300
    assert len({text for text, _ in READINGS}) == len(READINGS)


@pytest.mark.parametrize(("text", "reading"), READINGS)
def test_reading(text: str, reading: str) -> None:
    assert normalise(text) == reading
    assert normalise(reading) == reading  # what is read is not read differently again


def test_a_text_around_changes_no_reading() -> None:
    """Each sentence reads the same between others, with the full stop that a paragraph ends with."""
    for text, reading in READINGS:
        if text.startswith("```") or not reading:
            continue
        between = f"Before that.\n\n{text}\n\nAfter that."
        mark = "" if reading[-1] in ".?!" else "."
        assert normalise(between) == f"before that. {reading}{mark} after that."
