"""``muomni-doctor``: what it finds and what it says to do about it."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

import muomni
from muomni.cli import checks
from muomni.cli.doctor import main
from muomni.errors import DeviceError, MissingPackageError
from muomni.ort import providers, session

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MUOMNI_MODEL", raising=False)
    monkeypatch.delenv("MUOMNI_THREADS", raising=False)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: str | Path) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as left:
            main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return int(left.value.code or 0), out, err

    return call


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Versions of installed distributions; a test changes it to pretend."""
    versions = {"onnxruntime": "1.22.0", "numpy": "2.0", "torch": "2.9"}

    def version(name: str) -> str:
        if name not in versions:
            raise metadata.PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr(metadata, "version", version)
    return versions


def test_all_right_here(run: Run) -> None:
    code, out, err = run()
    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == "all right"
    assert "session: runs on CPUExecutionProvider" in out or "session: runs on CUDAExecutionProvider" in out
    assert muomni.__version__ in out


def test_json(run: Run) -> None:
    code, out, err = run("--json", "--device", "cpu")
    assert (code, err) == (0, "")
    report = json.loads(out)
    found = {check["name"]: check for check in report["checks"]}
    assert report["ok"] is True
    assert found["session"]["data"] == {"device": "cpu", "providers": ["CPUExecutionProvider"]}
    assert "CPUExecutionProvider" in found["ONNX Runtime"]["data"]["available_providers"]
    assert found["threads"]["data"]["threads"] >= 1
    assert {check["status"] for check in report["checks"]} <= {"ok", "note", "problem"}


def test_both_wheels_are_a_problem(run: Run, installed: dict[str, str]) -> None:
    installed["onnxruntime-gpu"] = "1.22.0"
    code, out, _ = run()
    assert code == 1
    assert "problem  ONNX Runtime: 2 wheels that overwrite each other are installed" in out
    assert "pip uninstall -y onnxruntime onnxruntime-gpu" in out
    assert 'pip install "muomni[cpu]"' in out
    assert out.splitlines()[-1] == "needs fixing: ONNX Runtime"


def test_no_onnxruntime(run: Run, installed: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    del installed["onnxruntime"]

    def missing() -> Any:
        raise MissingPackageError(
            f"ONNX Runtime is not installed; install it with\n  {providers.INSTALL_LINE}"
        )

    monkeypatch.setattr(providers, "import_onnxruntime", missing)
    code, out, err = run()
    assert (code, err) == (1, "")
    assert "problem  ONNX Runtime: not installed" in out
    assert 'pip install "muomni[cpu]"' in out


def test_a_device_that_cannot_be_had(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(device: str) -> list[str]:
        raise DeviceError("device 'cuda' was asked for, but there is none")

    monkeypatch.setattr(session, "providers_for", refuse)
    code, out, _ = run("--device", "cuda")
    assert code == 1
    assert "device 'cuda' cannot be used" in out and "but there is none" in out


def test_cuda_offered_but_not_given_is_a_note(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The GPU wheel without its CUDA libraries: a session quietly gets the CPU alone."""
    runtime = pytest.importorskip("onnxruntime")
    offered = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(runtime, "get_available_providers", lambda: offered)
    monkeypatch.setattr(session, "providers_for", lambda device: ["CPUExecutionProvider"])
    code, out, _ = run()
    assert code == 0
    assert "note     session: runs on CPUExecutionProvider" in out and "although CUDA is offered" in out
    assert 'pip install "muomni[gpu]"' in out


def test_missing_extras_are_notes(
    run: Run, installed: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = checks.import_module

    def no_av(name: str) -> Any:
        if name == "av":
            raise ImportError(name)
        return real(name)

    monkeypatch.setattr(checks, "import_module", no_av)
    code, out, _ = run()
    assert code == 0
    assert 'pip install "muomni[video]"' in out
    assert "without onnx, onnxscript, librosa, safetensors: not needed to run" in out


def test_a_package_that_cannot_be_imported(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    real = checks.import_module

    def no_libsndfile(name: str) -> Any:
        if name == "soundfile":
            raise OSError("sndfile library not found")
        return real(name)

    monkeypatch.setattr(checks, "import_module", no_libsndfile)
    code, out, _ = run()
    assert code == 1
    assert "problem  soundfile: cannot be imported: sndfile library not found" in out


def test_unusable_thread_count(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUOMNI_THREADS", "many")
    code, out, _ = run()
    assert code == 1
    assert "MUOMNI_THREADS='many'" in out


def test_unknown_device_is_wrong_usage(run: Run) -> None:
    code, out, err = run("--device", "tpu")
    assert (code, out) == (2, "")
    assert "expected one of auto, cpu, cuda, got 'tpu'" in err


@pytest.mark.parametrize("arguments", [["--model", "no/such/folder"], ["--model", "."]])
def test_no_bundle(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, _ = run(*arguments)
    assert code == 1
    assert "problem  bundle:" in out
    assert out.splitlines()[-1] == "needs fixing: bundle"


def test_the_probe_is_the_model_it_says_it_is() -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.load_model_from_string(checks.PROBE)
    onnx.checker.check_model(model, full_check=True)
    assert [node.op_type for node in model.graph.node] == ["Identity"]
    assert model.opset_import[0].version == 17


def test_where_the_nodes_of_cuda_graphs_run_is_shown(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    placement = {
        "thinker": {"CUDAExecutionProvider": {"MatMul": 17, "Add": 8}},
        "audio": {"CUDAExecutionProvider": {"Conv": 7}, "CPUExecutionProvider": {"Concat": 3, "Add": 2}},
    }
    monkeypatch.setattr("muomni.omni.Omni.placement", property(lambda omni: placement))
    code, out, _ = run()
    assert code == 0
    shown = "placement: 32 nodes on CUDAExecutionProvider, 5 nodes on CPUExecutionProvider (shapes: audio Add, Concat)"
    assert shown in out
