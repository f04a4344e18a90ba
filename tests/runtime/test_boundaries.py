"""What may import what, and what a run must not load."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import muomni

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "runtime" / "muomni"
MODULES = {path.stem: path for path in sorted(PACKAGE.glob("*.py"))}
HEAVY = ("torch", "onnx", "librosa", "scipy", "numba", "muomni_export")
STAGES = ("vision", "listening", "thinker", "talker", "text_talker", "codec", "vocoder", "tokenizer")

# The arrows of the design, errors first. A module may import modules of its own layer and those above it.
LAYERS = (
    ("errors", "threads", "stopwatch"),
    (
        "strict_json",
        "manifest",
        "bundle",
        "sampling",
        "stft",
        "resample",
        "mel",
        "griffin_lim",
        "sources",
        "truncation",
        "containers",
        "wav",
        "demo",
        "normalise",
        "spelling",
        "inventory",
        "reading",
        "spoken_text",
    ),
    ("contract", "image", "audio", "video"),
    ("session",),
    ("decoder",),
    STAGES,
    ("stages", "vocoder_stream", "reply", "prompt", "generation", "speaking", "conversation"),
    ("batch",),
    ("omni",),
)
LAYER_OF = {module: index for index, layer in enumerate(LAYERS) for module in layer}


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


def muomni_imports(path: Path) -> set[str]:
    """Modules of muomni that a file imports."""
    names = (name.split(".") for name in imports_of(path))
    return {name[1] for name in names if name[0] == "muomni" and len(name) > 1 and name[1] in MODULES}


def loaded_by(code: str) -> set[str]:
    """Top-level names in ``sys.modules`` after a fresh interpreter ran the code."""
    code += "\nimport json, sys\nprint(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(result.stdout.splitlines()[-1]))


def test_exported_names() -> None:
    assert muomni.__all__ == sorted(muomni.__all__)
    missing = [name for name in muomni.__all__ if not hasattr(muomni, name)]
    assert not missing
    assert set(muomni.__all__) == {
        *(
            "BatchRequest",
            "BundleError",
            "CheckpointError",
            "ContextError",
            "DeviceError",
            "GraphError",
            "InputError",
        ),
        *("ManifestError", "MediaError", "MissingPackageError", "MuomniError", "OutputError", "ParityError"),
        *("StageError", "Conversation", "Manifest", "Omni", "Reply", "Request", "SamplingOptions"),
        *("Speech", "SpeechOptions", "__version__", "write_wav"),
    }
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
    code = f"import importlib\nfor name in {names!r}: importlib.import_module(name)"
    loaded = loaded_by(code)
    assert "numpy" in loaded
    assert not loaded & {"onnxruntime", *HEAVY}


def test_a_run_is_free_of_torch(parity_bundle: Path, tmp_path: Path) -> None:
    """Every stage in one run: image, audio, text, speech."""
    inputs = ROOT / "tests" / "data" / "parity" / "inputs"
    code = f"""
import muomni
omni = muomni.Omni.load({str(parity_bundle)!r})
reply = omni.generate("What do you see?", images=[{str(inputs / "image0.png")!r}],
                      audio={str(inputs / "speech_22k.wav")!r}, max_new_tokens=4,
                      speech=True, speech_frames=4)
muomni.write_wav({str(tmp_path / "speech.wav")!r}, reply.speech.samples, reply.speech.sample_rate)
"""
    loaded = loaded_by(code)
    assert "onnxruntime" in loaded
    assert not loaded & set(HEAVY)


def test_only_session_imports_onnxruntime() -> None:
    guilty = [
        path.name
        for path in PACKAGE.rglob("*.py")
        if any(name.split(".")[0] == "onnxruntime" for name in imports_of(path))
    ]
    assert guilty == ["session.py"]


def test_nothing_imports_what_the_export_needs() -> None:
    for path in PACKAGE.rglob("*.py"):
        tops = {name.split(".")[0] for name in imports_of(path)}
        assert not tops & set(HEAVY), path


def test_every_module_has_its_layer() -> None:
    assert set(MODULES) - {"__init__"} == set(LAYER_OF)


@pytest.mark.parametrize("module", sorted(LAYER_OF))
def test_arrows_run_one_way(module: str) -> None:
    for imported in muomni_imports(MODULES[module]) - {"__init__"}:
        assert LAYER_OF[imported] <= LAYER_OF[module], f"{module} imports {imported}, which is above it"
    assert "muomni.cli" not in set(imports_of(MODULES[module]))


@pytest.mark.parametrize("stage", STAGES)
def test_stages_never_import_each_other(stage: str) -> None:
    assert not muomni_imports(MODULES[stage]) & set(STAGES)


def test_ruff_bans_what_the_runtime_must_not_import() -> None:
    lint = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]
    banned = set(lint["flake8-tidy-imports"]["banned-api"])
    assert banned >= {"torch", "onnx", "librosa", "scipy", "onnxruntime"}
    assert "TID" in lint["select"]
    exempt = [pattern for pattern, rules in lint["per-file-ignores"].items() if "TID251" in rules]
    assert [pattern for pattern in exempt if pattern.startswith("runtime")] == ["runtime/muomni/session.py"]
