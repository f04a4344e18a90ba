"""What `pip install "muomni[cpu]"` brings, against what the README says it brings."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
UNWANTED = {"torch", "onnx", "librosa", "scipy", "numba"}


def closure(name: str, extras: frozenset[str]) -> set[str]:
    """Distributions that installing ``name[extras]`` here needs, itself included, by normalised name."""
    found: set[str] = set()
    todo = [(name, extras)]
    while todo:
        current, wanted = todo.pop()
        key = re.sub(r"[-_.]+", "-", current).lower()
        if key in found and not wanted:
            continue
        found.add(key)
        for text in metadata.requires(current) or []:
            requirement = Requirement(text)
            marker = requirement.marker
            if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *wanted)):
                todo.append((requirement.name, frozenset(requirement.extras)))
    return found


def installed_bytes(name: str) -> int:
    distribution = metadata.distribution(name)
    paths = [Path(str(distribution.locate_file(file))) for file in distribution.files or []]
    return sum(path.stat().st_size for path in paths if path.is_file() and path.suffix != ".pyc")


def stated(pattern: str) -> float:
    match = re.search(pattern, README)
    assert match, f"the README does not say {pattern}"
    return float(match[1])


@pytest.fixture(scope="module")
def needed() -> set[str]:
    try:
        return closure("muomni", frozenset({"cpu"}))
    except metadata.PackageNotFoundError as error:
        pytest.skip(f"{error} is not installed as a distribution here")


def test_none_of_the_heavy_packages_is_needed(needed: set[str]) -> None:
    assert not needed & UNWANTED


def test_the_installed_size_is_as_stated(needed: set[str]) -> None:
    megabytes = sum(installed_bytes(name) for name in needed) / 1e6
    expected = stated(r"takes (\d+) MB on disk")
    assert 0.7 * expected < megabytes < 1.15 * expected, f"{megabytes:.0f} MB, stated {expected:.0f}"


def test_the_modules_loaded_by_a_run_are_as_stated(parity_bundle: Path) -> None:
    program = (
        "import sys\n"
        "from muomni import Omni\n"
        "image = 'tests/data/parity/inputs/image0.png'\n"
        "audio = 'tests/data/parity/inputs/speech_16k.wav'\n"
        f"omni = Omni.load({str(parity_bundle)!r})\n"
        "omni.generate('hi', images=[image], audio=audio, speech=True, max_new_tokens=2)\n"
        "print('\\n'.join(sorted({name.partition('.')[0] for name in sys.modules})))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    loaded = set(result.stdout.split()) - set(sys.stdlib_module_names)
    third_party = {name for name in loaded if not name.startswith("_")}
    listed = re.search(r"a run loads only ([^.]+)\.", README.replace("\n", " "))
    assert listed, "the README does not list the modules that a run loads"
    names = set(re.findall(r"`([^`]+)`", listed[1]))
    assert third_party <= names | {"muomni"}, sorted(third_party - names)
    assert not third_party & UNWANTED
