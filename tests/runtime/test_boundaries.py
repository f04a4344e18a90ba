"""What may import what, and what a run must not load."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

import muomni

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "runtime" / "muomni"
FILES = sorted(PACKAGE.rglob("*.py"))
HEAVY = ("torch", "onnx", "librosa", "scipy", "numba", "muomni_export")
# Imports run one way. A room imports from its own row and from those above; rooms of one row know nothing of
# each other. Modules beside the rooms stand here by their own names.
ROOMS = (
    ("errors", "logs", "urls"),
    ("dsp", "bundle"),
    ("ort", "speech"),
    ("media",),
    ("models",),
    ("requests", "replies"),
    ("events", "jsonl"),
    ("engine",),
    ("omni",),
    ("bench",),
    ("live",),
    ("serve",),
    ("cluster",),
    ("cli",),
)
ROW_OF = {room: row for row, rooms in enumerate(ROOMS) for room in rooms}
MODELS = {path.stem for path in (PACKAGE / "models").glob("*.py")} - {
    "__init__",
    "grammar",
    "registry",
    "sampling",
    "vocoder_stream",
}


def imports_of(path: Path) -> Iterator[str]:
    """Dotted names of every import in a file, wherever it stands; relative ones made absolute."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            folder = path.parent
            for _ in range(node.level - 1):
                folder = folder.parent
            package = ".".join(folder.relative_to(ROOT / "runtime").parts) if node.level else ""
            base = ".".join(part for part in (package, node.module) if part)
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def room_of(module: str) -> str:
    """The room of a dotted module name inside muomni."""
    return module.split(".")[1]


def muomni_imports(path: Path) -> set[str]:
    """Dotted names below muomni that a file imports: modules, and what is taken from them."""
    found = {name for name in imports_of(path) if name.startswith("muomni.")}
    return {name for name in found if room_of(name) in ROW_OF}


def loaded_by(code: str) -> set[str]:
    """Top-level names in ``sys.modules`` after a fresh interpreter ran the code."""
    code += "\nimport json, sys\nprint(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(result.stdout.splitlines()[-1]))


def test_exported_names() -> None:
    assert muomni.__all__ == sorted(muomni.__all__)
    missing = [name for name in muomni.__all__ if not hasattr(muomni, name)]
    assert not missing
    assert {"Omni", "Conversation", "Request", "Reply", "MuomniError", "write_wav"} < set(muomni.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Omin'"):
        muomni.Omin  # noqa: B018


def test_version_is_the_distributions() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == muomni.__version__


def test_importing_muomni_costs_nothing() -> None:
    assert not loaded_by("import muomni") & {"numpy", "onnxruntime", "PIL", "soundfile", "typer", *HEAVY}


def test_command_line_starts_without_numpy() -> None:
    code = "import muomni.cli.run, muomni.cli.doctor, muomni.cli.console"
    assert not loaded_by(code) & {"numpy", "onnxruntime", "PIL", "rich", *HEAVY}


def test_all_modules_are_free_of_torch() -> None:
    files = (path.relative_to(PACKAGE.parent).with_suffix("") for path in PACKAGE.rglob("*.py"))
    names = sorted(".".join(file.parts) for file in files if file.name != "__init__")
    if find_spec("ray") is None:
        names = [name for name in names if not name.startswith("muomni.cluster.")]
    code = f"import importlib\nfor name in {names!r}: importlib.import_module(name)"
    loaded = loaded_by(code)
    assert "numpy" in loaded
    assert not loaded & {"onnxruntime", *HEAVY}


def test_a_run_is_free_of_torch(tmp_path: Path) -> None:
    """Image, audio, text and speech in one run of the demo, which needs no export here."""
    inputs = ROOT / "tests" / "data" / "parity" / "inputs"
    code = f"""
import muomni
omni = muomni.Omni.load({str(ROOT / "onnx_models" / "demo")!r})
reply = omni.generate("What do you see?", images=[{str(inputs / "image0.png")!r}],
                      audio={str(inputs / "speech_22k.wav")!r}, max_new_tokens=4,
                      speech=True, speech_frames=4)
muomni.write_wav({str(tmp_path / "speech.wav")!r}, reply.speech.samples, reply.speech.sample_rate)
"""
    loaded = loaded_by(code)
    assert "onnxruntime" in loaded
    assert not loaded & set(HEAVY)


def test_only_the_ort_room_imports_onnxruntime() -> None:
    guilty = {
        path.relative_to(PACKAGE).parts[0]
        for path in FILES
        if any(name.split(".")[0] == "onnxruntime" for name in imports_of(path))
    }
    assert guilty == {"ort"}


def test_only_the_cluster_room_imports_ray() -> None:
    guilty = {
        path.relative_to(PACKAGE).parts[0]
        for path in FILES
        if {name.split(".")[0] for name in imports_of(path)} & {"ray", "pyarrow"}
    }
    assert guilty == {"cluster"}


def test_nothing_imports_what_the_export_needs() -> None:
    assert FILES
    for path in FILES:
        tops = {name.split(".")[0] for name in imports_of(path)}
        assert not tops & set(HEAVY), path


def test_every_room_has_its_row() -> None:
    rooms = {path.relative_to(PACKAGE).with_suffix("").parts[0] for path in FILES}
    assert rooms - {"__init__", "__main__"} == set(ROW_OF)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_run_one_way(path: Path) -> None:
    room = path.relative_to(PACKAGE).with_suffix("").parts[0]
    if room not in ROW_OF:  # the package itself opens every room, by name
        return
    for imported in muomni_imports(path):
        other = room_of(imported)
        assert other == room or ROW_OF[other] < ROW_OF[room], f"{path} imports {imported}"


def test_models_never_import_each_other() -> None:
    assert len(MODELS) > 5
    for model in MODELS:
        names = muomni_imports(PACKAGE / "models" / f"{model}.py")
        others = {f"muomni.models.{other}" for other in MODELS - {model}}
        assert not names & others, model


def test_ruff_bans_what_the_runtime_must_not_import() -> None:
    lint = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]
    banned = set(lint["flake8-tidy-imports"]["banned-api"])
    assert banned >= {"torch", "onnx", "librosa", "scipy", "onnxruntime"}
    assert "TID" in lint["select"]
    exempt = [pattern for pattern, rules in lint["per-file-ignores"].items() if "TID251" in rules]
    assert [pattern for pattern in exempt if pattern.startswith("runtime")] == [
        "runtime/muomni/ort/providers.py"
    ]
