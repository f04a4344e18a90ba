"""Every class of the reference has an example in its docstring, and each example runs and is right."""

from __future__ import annotations

import doctest
import importlib
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from tests.docs.test_pages import DOCS, SAMPLES

import muomni

# What its text speaks of without making it.
GIVEN = """
import numpy as np
def play(samples, rate=0): assert samples.dtype == np.float32
chat = omni.chat()
chat.say("What do you see?", images=["photo.jpg"])
codes = omni.speak("Hello.").codes
"""
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
OF_THE_PARITY_SET = {"ReferenceTalker", "Ocr", "Recognised"}  # the demo has none


def referenced() -> Iterator[type]:
    """Classes that the reference pages name, but for the errors."""
    for page in sorted((DOCS / "reference").glob("*.md")):
        for name in re.findall(r"^::: (muomni[\w.]*)$", page.read_text(encoding="utf-8"), re.MULTILINE):
            module, _, last = name.rpartition(".")
            found = importlib.import_module(name) if name == "muomni.errors" else None
            found = found or getattr(importlib.import_module(module), last)
            if isinstance(found, type):
                yield found
            else:
                assert isinstance(found, ModuleType) or callable(found)


CLASSES = list(referenced())
assert CLASSES  # each is a parameter of a test


class Checker(doctest.OutputChecker):
    """An example that shows no output may print what it likes."""

    def check_output(self, want: str, got: str, optionflags: int) -> bool:
        return not want or super().check_output(want, got, optionflags)


@pytest.fixture(scope="module")
def demo() -> Iterator[muomni.Omni]:
    with muomni.Omni.load(device="cpu") as omni:
        yield omni


def test_the_reference_names_classes() -> None:
    assert len(CLASSES) > 15


@pytest.mark.parametrize("described", CLASSES, ids=lambda found: found.__name__)
def test_the_example_of_a_class_runs(
    described: type, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert re.search(r"^\s*Example:$", described.__doc__ or "", re.MULTILINE), "its docstring has no example"
    for sample in SAMPLES.iterdir():
        shutil.copy(sample, tmp_path)
    shutil.copy(SAMPLES / "shapes.png", tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    if described.__name__ in OF_THE_PARITY_SET:
        omni = muomni.Omni.load(request.getfixturevalue("parity_bundle"), device="cpu")
    else:
        omni = request.getfixturevalue("demo")
    names = {**vars(importlib.import_module(described.__module__)), "muomni": muomni, "omni": omni}
    if described.__name__ not in OF_THE_PARITY_SET:
        exec(GIVEN, names)
    said: list[str] = []
    runner = doctest.DocTestRunner(Checker(), optionflags=FLAGS)
    for test in doctest.DocTestFinder().find(described, described.__name__, globs=names):
        runner.run(test, out=said.append)
    results = runner.summarize(verbose=False)
    assert results.attempted > 0
    assert results.failed == 0, "".join(said)
