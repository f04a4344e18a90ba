"""``muomni-export`` as a user types it: convert, verify, random."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest

import muomni
from muomni_export import cli

PACKAGES = ("torch", "onnx", "onnxscript", "librosa", "safetensors")


class Result(Protocol):
    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Answer:
    code: int
    out: str
    err: str


Command = Callable[..., Result]

WAITING = re.compile(r"muomni-export:  *\d+\.\d s  ")


def need_packages() -> None:
    for package in PACKAGES:
        pytest.importorskip(package)


@pytest.fixture
def muomni_export(capfd: pytest.CaptureFixture[str]) -> Command:
    """``muomni-export`` in this process; stdout and stderr are caught below Python."""

    def call(*arguments: str | Path) -> Result:
        capfd.readouterr()
        with pytest.raises(SystemExit) as left:
            cli.main([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        return Answer(int(left.value.code or 0), out, err)

    return call


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set's ``checkpoints`` folder; its stages are exported alone, which is quick."""
    need_packages()
    from muomni_export.synthetic.checkpoint_set import write_random_set

    return write_random_set(tmp_path_factory.mktemp("sets") / "a", "micro", seed=3).parent


@pytest.fixture(scope="module")
def bundle(checkpoints: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text-only bundle. Treat as read-only."""
    out = tmp_path_factory.mktemp("bundles") / "text"
    with pytest.raises(SystemExit) as left:
        cli.main([str(checkpoints / "thinker_micro"), "--out", str(out), "--quiet"])
    assert not left.value.code
    return out


# Convert


def test_the_answer_is_a_table_and_progress_goes_to_stderr(
    muomni_export: Command, checkpoints: Path, tmp_path: Path
) -> None:
    out = tmp_path / "bundle"
    result = muomni_export(checkpoints / "vision_micro", "--out", out)
    assert result.code == 0
    heading, row, total = result.out.splitlines()
    assert heading.split() == ["stage", "parameters", "as", "size", "error", "same", "best", "time"]
    stage, parameters, precision, size, unit, error, seconds, _ = row.split()
    manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8"))["graphs"]["vision"]
    assert (stage, parameters, precision, unit) == ("vision", f"{manifest['parameters']:,}", "fp32", "MB")
    assert float(size) == pytest.approx((out / "vision.onnx").stat().st_size / 1e6, abs=0.01)
    assert error == f"{manifest['max_error']:.1e}" and float(seconds) >= 0
    whole = sum(file.stat().st_size for file in out.iterdir()) / 1e6
    assert total == f"{out}: {whole:.2f} MB in all"
    lines = result.err.splitlines()
    assert lines and all(WAITING.match(line) for line in lines)
    said = [WAITING.sub("", line) for line in lines]
    assert said == [
        f"reading {checkpoints / 'vision_micro'}",
        "vision: tracing",
        "vision: comparing with torch",
    ]


def test_quiet_prints_nothing(muomni_export: Command, checkpoints: Path, tmp_path: Path) -> None:
    result = muomni_export("convert", checkpoints / "vision_micro", "-o", tmp_path / "bundle", "--quiet")
    assert (result.code, result.out, result.err) == (0, "", "")
    assert (tmp_path / "bundle" / "manifest.json").is_file()


@pytest.mark.slow
def test_the_installed_command_converts_and_the_runtime_answers(
    installed: Command, checkpoints: Path, tmp_path: Path
) -> None:
    """A folder with spaces and other letters, paths relative to where the command is called."""
    place = tmp_path / "mes modèles μ 模型"
    shutil.copytree(checkpoints.parent, place / "a set")
    checkpoint = Path("a set") / "checkpoints" / "thinker_micro"
    result = installed("muomni-export", checkpoint, "--out", "ein Bündel 🦉", cwd=place)
    assert result.code == 0, result.err
    assert result.out.splitlines()[-1].startswith("ein Bündel 🦉: ")
    assert "Traceback" not in result.err and "Warning" not in result.err
    answer = installed(
        "muomni-run", "--model", "ein Bündel 🦉", "--text", "hi", "--json", "--quiet", cwd=place
    )
    assert answer.code == 0, answer.err
    assert json.loads(answer.out)["prompt_tokens"] >= 2
    assert sorted(path.name for path in place.iterdir()) == ["a set", "ein Bündel 🦉"]


def test_a_home_folder_is_understood(
    muomni_export: Command, checkpoints: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The shell expands ``~``, but not in ``--config=~/file``."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    shutil.copy(checkpoints.parent / "configs" / "vision_micro.json", tmp_path / "mine.json")
    words = (checkpoints / "vision_micro", "--config=~/mine.json", "--out", tmp_path / "bundle", "-q")
    assert muomni_export(*words).code == 0


def test_config_replaces_the_one_found(muomni_export: Command, checkpoints: Path, tmp_path: Path) -> None:
    value = json.loads((checkpoints.parent / "configs" / "thinker_micro.json").read_text())
    other = tmp_path / "other.json"
    other.write_text(json.dumps(value | {"ctx_len": 77}))
    result = muomni_export(
        checkpoints / "thinker_micro", "--config", other, "--out", tmp_path / "bundle", "-q"
    )
    assert result.code == 0, result.err
    manifest = json.loads((tmp_path / "bundle" / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["thinker"]["context_length"] == 77
    assert str(tmp_path) not in (tmp_path / "bundle" / "manifest.json").read_text(encoding="utf-8")


def test_precision(muomni_export: Command, checkpoints: Path, tmp_path: Path) -> None:
    result = muomni_export(checkpoints / "thinker_micro", "--out", tmp_path / "bundle", "--precision", "int8")
    assert result.code == 0, result.err
    row = result.out.splitlines()[1].split()
    assert row[2] == "int8" and row[6].endswith("%")


def test_force(muomni_export: Command, checkpoints: Path, tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    words = (checkpoints / "vision_micro", "--out", out, "-q")
    assert muomni_export(*words).code == 0
    taken = muomni_export(*words)
    assert taken.code == 2
    assert taken.err == (
        f"muomni-export: error: {out}: a bundle is already there; replace it with --force, or choose "
        "another --out\n"
    )
    assert muomni_export(*words, "--force").code == 0


# Errors

WRONG_USAGE = [
    (["CHECKPOINT"], "--out"),
    (["--out", "x"], "CHECKPOINT"),
    (["CHECKPOINT", "--out", "x", "--colour", "red"], "--colour"),
    (
        ["CHECKPOINT", "--out", "x", "--precision", "int3"],
        "expected one of fp32, fp16, int8, int4, got 'int3'",
    ),
    (["CHECKPOINT", "--out", "x", "--precision", "int8,nose=int4"], "no graph 'nose' is exported"),
    (["CHECKPOINT", "--out", "FILE"], "a file is in the way"),
    (["CHECKPOINT", "--out", "FULL"], "not empty and not a bundle"),
    (["random", "x", "--size", "huge"], "expected one of tiny, micro, x4, x16, got 'huge'"),
    (["verify"], "BUNDLE"),
]
FAILED_RUNS = [
    (["nowhere", "--out", "x"], "nowhere: no such file or folder"),
    (["FULL", "--out", "x"], "no checkpoint here"),
    (["CHECKPOINT", "--out", "x", "--config", "nowhere.json"], "nowhere.json"),
    (["CHECKPOINT", "--out", "x", "--config", "FILE"], "FILE"),
    (["CHECKPOINT", "--out", "FILE/x"], "cannot be written"),
    (["verify", "nowhere"], "nowhere: no such folder; a bundle is made with muomni-export"),
    (["verify", "FULL"], "this is not a muomni bundle"),
    (["verify", "CHECKPOINT"], "this is a PyTorch checkpoint"),
    (["random", "FULL", "--size", "micro"], "already there"),
]


@pytest.mark.parametrize(
    ("code", "words", "message"),
    [(2, *case) for case in WRONG_USAGE] + [(1, *case) for case in FAILED_RUNS],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_errors(
    muomni_export: Command,
    checkpoints: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    code: int,
    words: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("FILE").write_text("no json")
    Path("FULL").mkdir()
    Path("FULL", "mine.txt").touch()
    real = [str(checkpoints / "vision_micro") if word == "CHECKPOINT" else word for word in words]
    result = muomni_export(*real)
    assert result.code == code, result.err
    assert message in result.err
    assert result.out == "" and "Traceback" not in result.err
    errors = [line for line in result.err.splitlines() if not WAITING.match(line)]
    own = [line for line in errors if line.startswith("muomni-export: error: ")]
    if own:  # the others are the argument parser's, with the usage above
        assert own == errors[:1]
        assert len(errors) == (3 if "pip install" in result.err else 1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["FILE", "FULL"]


def test_debug_shows_the_traceback(muomni_export: Command, tmp_path: Path) -> None:
    result = muomni_export(tmp_path / "nowhere", "--out", tmp_path / "x", "--debug")
    assert result.code == 1
    assert "Traceback" in result.err
    assert result.err.splitlines()[-1].startswith("muomni-export: error: ")


def test_ctrl_c_is_130_and_leaves_nothing(
    muomni_export: Command, checkpoints: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from muomni_export import export

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(export, "graph_contracts", interrupt)
    result = muomni_export(checkpoints / "vision_micro", "--out", tmp_path / "new" / "bundle")
    assert result.code == 130
    assert list(tmp_path.iterdir()) == []


# Verify


def test_verify_prints_what_it_measured(muomni_export: Command, bundle: Path) -> None:
    result = muomni_export("verify", bundle)
    assert result.code == 0 and result.err == ""
    heading, row, verdict = result.out.splitlines()
    assert heading.split() == ["graph", "error", "now", "at", "export", "tolerance"]
    graph, now, at_export, tolerance = row.split()
    assert graph == "thinker" and float(now) <= 1e-5 and float(at_export) <= 1e-5
    assert float(tolerance) == 1e-4
    assert verdict == f"{bundle}: all files and graphs are as exported (compared with its recording)"


def test_verify_with_the_checkpoint(muomni_export: Command, bundle: Path, checkpoints: Path) -> None:
    thinker = checkpoints / "thinker_micro"
    result = muomni_export("verify", bundle, "--checkpoint", thinker)
    assert result.code == 0
    assert result.out.splitlines()[-1].endswith(f"(compared with {thinker})")


def test_verify_names_the_file_that_changed(muomni_export: Command, bundle: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(bundle, tmp_path / "copy")
    data = bytearray((copy / "tokenizer.model").read_bytes())
    data[100] ^= 1
    (copy / "tokenizer.model").write_bytes(data)
    result = muomni_export("verify", copy)
    assert result.code == 1 and result.out == ""
    assert result.err.startswith(f"muomni-export: error: {copy / 'tokenizer.model'}: the file changed")
    assert len(result.err.splitlines()) == 1


# Random, help, version


def test_random_writes_a_set_that_converts(muomni_export: Command, tmp_path: Path) -> None:
    need_packages()
    result = muomni_export("random", tmp_path / "set", "--size", "micro", "--seed", "4")
    assert (result.code, result.err) == (0, "")
    omni = Path(result.out.strip())
    assert omni == tmp_path / "set" / "checkpoints" / "omni_sft_micro"
    again = muomni_export(omni.parent / "vision_micro", "--out", tmp_path / "bundle", "-q")
    assert again.code == 0, again.err


@pytest.mark.parametrize("words", [["--help"], ["-h"], []], ids=str)
def test_help_says_what_to_type(muomni_export: Command, words: list[str]) -> None:
    result = muomni_export(*words)
    assert result.code == 0
    assert "\n  muomni-export CHECKPOINT --out BUNDLE\n" in result.out
    assert "..." not in result.out.split("Commands:")[1]  # descriptions that are cut off
    assert all(command in result.out for command in ("convert", "verify", "random"))


@pytest.mark.parametrize("command", ["convert", "verify", "random"])
def test_help_of_a_command(muomni_export: Command, command: str) -> None:
    result = muomni_export(command, "--help")
    assert result.code == 0 and f"muomni-export {command}" in result.out


def test_version(muomni_export: Command) -> None:
    assert muomni_export("--version").out == f"muomni-export {muomni.__version__}\n"


def test_help_and_version_load_no_torch(installed: Command) -> None:
    environment = {**os.environ, "PYTHONPROFILEIMPORTTIME": "1"}
    for option in ("--help", "--version"):
        result = installed("muomni-export", option, env=environment)
        assert result.code == 0
        loaded = {line.rsplit("|", 1)[-1].strip() for line in result.err.splitlines() if "|" in line}
        assert "muomni_export.cli" in loaded or "typer" in loaded
        assert not loaded & {"torch", "onnx", "onnxruntime", "numpy", "librosa"}


def test_only_some_stages(muomni_export: Command, checkpoints: Path, tmp_path: Path) -> None:
    words = (checkpoints / "omni_sft_micro", "--out", tmp_path / "bundle")
    assert muomni_export(*words, "--only", "vision, codec").code == 2
    result = muomni_export(*words, "--only", "vision")
    assert result.code == 0, result.err
    assert "vision" in result.out and "thinker" not in result.out
    assert "thinker" not in json.loads((tmp_path / "bundle" / "manifest.json").read_text())["graphs"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows ends a program without asking it")
def test_an_export_that_is_ended_leaves_nothing(checkpoints: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "bundle"
    command = [
        sys.executable,
        "-m",
        "muomni_export.cli",
        str(checkpoints / "omni_sft_micro"),
        "--out",
        str(out),
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        assert process.stderr is not None
        for line in process.stderr:
            if b"tracing" in line:
                break
        assert any(out.parent.iterdir()), "nothing to clean up would prove nothing"
        process.terminate()
        assert process.wait(60) == 128 + signal.SIGTERM
    finally:
        process.kill()
    assert not out.parent.exists()
