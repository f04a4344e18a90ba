"""``muomni-run`` against a stand-in for the model: options, streams, exit codes, the chat."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.runtime.cli.conftest import Run
from tests.runtime.cli.fake import CPU, FakeOmni

import muomni
from muomni.cli.console import device_line
from muomni.errors import BundleError, ContextError, DeviceError, InputError, MediaError
from muomni.requests import Request, SpeechOptions


def stdin(monkeypatch: pytest.MonkeyPatch, text: str | bytes) -> None:
    data = text.encode() if isinstance(text, str) else text
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data), encoding="utf-8"))


def test_the_answer_goes_to_stdout_and_the_rest_to_stderr(omni: FakeOmni, run: Run) -> None:
    omni.conversation.notes = ("the text was shortened",)
    code, out, err = run("--model", "bundle", "--text", "hello")
    assert (code, out) == (0, "réponse to hello\nsecond line\n")
    assert err.splitlines() == [
        "muomni-run: note: the text was shortened",
        "muomni-run: device: CPUExecutionProvider (auto: no CUDA here), up to 2 threads",
    ]
    assert omni.loaded == {"path": Path("bundle"), "device": "auto", "threads": None}


def test_quiet_leaves_stderr_empty(omni: FakeOmni, run: Run, tmp_path: Path) -> None:
    omni.conversation.notes = ("something",)
    assert run("--model", "b", "--text", "x", "-q", "--audio-out", tmp_path / "a.wav")[2] == ""


def test_all_options_arrive(omni: FakeOmni, run: Run, tmp_path: Path) -> None:
    out = tmp_path / "out.wav"
    code, _, _ = run(
        *("--model", "b", "--image", "a.png", "--image", "b.png", "--audio_in", "a.wav", "--video", "v.mp4"),
        *("--audio_out", out, "--prompt", "why?", "--max-new-tokens", "9", "--temperature", "0.5"),
        *("--top-k", "3", "--top-p", "0.9", "--repetition-penalty", "1.2", "--seed", "11", "--stop", "a"),
        *("--stop", "b", "--speech-temperature", "0", "--speech-frames", "12", "--speed", "1.25"),
        *("--video-frames", "2"),
        *("--device", "cpu", "--threads", "3", "--truncate"),
    )
    assert code == 0
    assert omni.loaded == {"path": Path("b"), "device": "cpu", "threads": 3}
    assert omni.conversation.turns == [
        Request(
            None,
            images=(Path("a.png"), Path("b.png")),
            audio=Path("a.wav"),
            video=Path("v.mp4"),
            prompt="why?",
            video_frames=2,
            max_new_tokens=9,
            sampling=muomni.SamplingOptions(0.5, 3, 0.9, 1.2, seed=11),
            stop=("a", "b"),
            truncate=True,
            speech=SpeechOptions(temperature=0.0, frames=12, seed=11, speed=1.25),
        )
    ]
    assert not omni.conversation.streamed


def test_speech_is_written_and_said(omni: FakeOmni, run: Run, tmp_path: Path) -> None:
    code, out, err = run("--model", "b", "--text", "x", "--audio-out", tmp_path / "a.wav")
    assert code == 0
    assert (tmp_path / "a.wav").stat().st_size == 44 + 3200
    assert "speech: 0.10 s at 16000 Hz, written to" in err
    assert "wav" not in out


def test_json_is_one_object_on_one_line(omni: FakeOmni, run: Run, tmp_path: Path) -> None:
    path = tmp_path / "μ.wav"
    code, out, _ = run("--model", "b", "--text", "x", "--json", "--audio-out", path)
    assert code == 0
    assert out.count("\n") == 1
    assert "réponse" in out and "μ.wav" in out  # readable, not escaped
    assert json.loads(out) == {
        "text": "réponse to x\nsecond line",
        "token_ids": [5, 6, 2],
        "prompt_tokens": 7,
        "completion_tokens": 3,
        "usage": {
            "text_tokens": 4,
            "image_tokens": 3,
            "audio_tokens": 0,
            "cached_tokens": 0,
            "completion_tokens": 3,
        },
        "finish_reason": "stop",
        "seed": None,
        "speech": {
            "path": str(path),
            "sample_rate": 16000,
            "seconds": 0.1,
            "codes": [[1, 2], [3, 4]],
            "cut_phonemes": 0,
            "notes": [],
        },
        "timings": {"load": 0.5, "first_token": 0.25, "decode": 0.125, "total": 1.0},
        "providers": CPU,
        "notes": [],
    }


def test_json_without_speech(omni: FakeOmni, run: Run) -> None:
    assert json.loads(run("--model", "b", "--text", "x", "--json")[1])["speech"] is None


def test_replies_stream_to_a_terminal(omni: FakeOmni, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    code, out, _ = run("--model", "b", "--text", "hello")
    assert (code, out) == (0, "réponse to hello\nsecond line\n")
    assert omni.conversation.streamed


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (BundleError("b: broken"), 1),
        (DeviceError("no CUDA"), 1),
        (MediaError("a.png: not an image"), 1),
        (ContextError("too long"), 1),
        (InputError("device: expected one of auto, cpu, cuda, got 'tpu'"), 2),
    ],
)
def test_errors_are_one_message(omni: FakeOmni, run: Run, failure: Exception, code: int) -> None:
    omni.failure = failure
    assert run("--model", "b", "--text", "x") == (code, "", f"muomni-run: error: {failure}\n")


def test_an_unexpected_error_has_no_traceback(omni: FakeOmni, run: Run) -> None:
    omni.failure = ZeroDivisionError("division\nby zero")
    code, out, err = run("--model", "b", "--text", "x")
    assert (code, out) == (1, "")
    assert err == (
        "muomni-run: error: unexpected ZeroDivisionError: division by zero; "
        "run again with --debug for the traceback\n"
    )


@pytest.mark.parametrize("failure", [BundleError("b: broken"), ZeroDivisionError("x")])
def test_debug_shows_the_traceback(omni: FakeOmni, run: Run, failure: Exception) -> None:
    omni.failure = failure
    code, _, err = run("--model", "b", "--text", "x", "--debug")
    assert code == 1
    assert "Traceback" in err and "muomni-run: error:" in err


@pytest.mark.parametrize(
    ("arguments", "fragment"),
    [
        (["--temperature", "-1"], "temperature: expected 0 (greedy) or above, got -1.0"),
        (["--temperature", "nan"], "temperature"),
        (["--top-p", "0"], "top_p: expected above 0"),
        (["--top-p", "1.5"], "top_p"),
        (["--top-k", "-1"], "--top-k"),
        (["--repetition-penalty", "0"], "repetition_penalty"),
        (["--seed", "-3"], "--seed"),
        (["--speech-temperature", "-0.1"], "temperature"),
        (["--max-new-tokens", "0"], "--max-new-tokens"),
        (["--speech-frames", "0"], "--speech-frames"),
        (["--video-frames", "0"], "--video-frames"),
        (["--threads", "0"], "--threads"),
        (["--threads", "two"], "--threads"),
        (["--max-new-tokens", "many"], "--max-new-tokens"),
        (["--unknown"], "--unknown"),
        (["stray"], "stray"),
        (["--image"], "--image"),
        (["--audio-out", "speech.mp3"], ".wav"),
    ],
)
def test_wrong_usage(omni: FakeOmni, run: Run, arguments: list[str], fragment: str) -> None:
    code, out, err = run("--model", "b", "--text", "x", *arguments)
    assert (code, out) == (2, "")
    assert fragment in err
    assert "Traceback" not in err
    assert not omni.loaded  # found before anything is loaded


def test_without_a_model_the_demo_answers(run: Run, omni: FakeOmni) -> None:
    assert run("--text", "x")[0] == 0
    assert omni.loaded["path"] is None  # which Omni.load takes for the demo


def test_the_model_from_the_environment(run: Run, omni: FakeOmni, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUOMNI_MODEL", "from-environment")
    assert run("--text", "x")[0] == 0
    assert omni.loaded["path"] == Path("from-environment")


@pytest.mark.parametrize("option", ["--model", "--ckpt_dir"])
def test_a_checkpoint_is_told_how_to_be_exported(run: Run, tmp_path: Path, option: str) -> None:
    (tmp_path / "omni.pt").write_bytes(b"weights")
    code, out, err = run(option, tmp_path, "--text", "x")
    assert (code, out) == (1, "")
    assert f"muomni-export {tmp_path} --out BUNDLE" in err


def test_ctrl_c_is_130(run: Run, omni: FakeOmni) -> None:
    omni.conversation.failures = [KeyboardInterrupt()]
    assert run("--model", "b", "--text", "x") == (130, "", "")


def test_unwritable_output_is_found_before_the_model_runs(run: Run, omni: FakeOmni, tmp_path: Path) -> None:
    code, _, err = run("--model", "b", "--text", "x", "--audio-out", tmp_path / "no" / "folder" / "a.wav")
    assert code == 1
    assert "does not exist" in err
    assert not omni.loaded


def test_piped_chat(run: Run, omni: FakeOmni, monkeypatch: pytest.MonkeyPatch) -> None:
    stdin(monkeypatch, "one\n\n  two  \nreset\nthree\nexit\nfour\n")
    code, out, err = run("--model", "b", "--seed", "5")
    assert code == 0
    assert out.splitlines() == [f"réponse to {word} second line" for word in ("one", "two", "three")]
    assert omni.conversation.resets == 1
    assert "You:" not in out + err and "μOmni:" not in out + err
    assert all(turn.sampling.seed == 5 for turn in omni.conversation.turns)
    assert "device: CPUExecutionProvider" in err


def test_piped_chat_as_json_lines(run: Run, omni: FakeOmni, monkeypatch: pytest.MonkeyPatch) -> None:
    stdin(monkeypatch, "one\ntwo")
    omni.conversation.failures = [ContextError("full")]
    code, out, err = run("--model", "b", "--json", "-q")
    first, second = map(json.loads, out.splitlines())
    assert first == {"error": "full"}
    assert second["text"].startswith("réponse to two")
    assert (code, err) == (1, "muomni-run: error: full\n")


def test_a_failed_turn_does_not_end_the_chat(
    run: Run, omni: FakeOmni, monkeypatch: pytest.MonkeyPatch
) -> None:
    stdin(monkeypatch, "one\ntwo\n")
    omni.conversation.failures = [ContextError("the conversation fills 9 of 9 positions")]
    code, out, err = run("--model", "b")
    assert out == "réponse to two second line\n"
    assert "error: the conversation fills 9 of 9 positions" in err
    assert code == 1  # a script must see that a line has no answer


def test_ctrl_c_ends_a_piped_chat(run: Run, omni: FakeOmni, monkeypatch: pytest.MonkeyPatch) -> None:
    stdin(monkeypatch, "one\ntwo\n")
    omni.conversation.failures = [KeyboardInterrupt()]
    assert run("--model", "b", "-q") == (130, "", "")


def test_a_broken_bundle_ends_the_chat_before_it_starts(
    run: Run, omni: FakeOmni, monkeypatch: pytest.MonkeyPatch
) -> None:
    stdin(monkeypatch, "one\n")
    omni.failure = BundleError("b: no manifest")
    assert run("--model", "b") == (1, "", "muomni-run: error: b: no manifest\n")


def test_terminal_chat(run: Run, omni: FakeOmni, monkeypatch: pytest.MonkeyPatch) -> None:
    typed: list[str | type[BaseException]] = ["one", KeyboardInterrupt, "two", "three", EOFError]

    def type_line(prompt: str) -> str:
        print(prompt, end="")
        line = typed.pop(0)
        if isinstance(line, str):
            return line
        raise line

    monkeypatch.setattr("builtins.input", type_line)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    omni.conversation.failures = [None, KeyboardInterrupt(), ContextError("full")]
    code, out, err = run("--model", "b")
    assert code == 0
    assert out == "You: μOmni: réponse to one\nsecond line\nYou: You: μOmni: \nYou: μOmni: \nYou: "
    assert "stopped; this turn is forgotten" in err
    assert "error: full" in err


def test_device_line() -> None:
    assert device_line("cpu", CPU, 1) == "device: CPUExecutionProvider, 1 thread"
    cuda = {"thinker": ["CUDAExecutionProvider", "CPUExecutionProvider"]}
    assert device_line("auto", cuda, 2) == "device: CUDAExecutionProvider, up to 2 threads"
    assert device_line("auto", {**CPU, "a": ["CUDAExecutionProvider"]}, 2) == (
        "device: CPUExecutionProvider and CUDAExecutionProvider, up to 2 threads"
    )


def command(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "muomni.cli.run", *arguments],
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        **options,
    )


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not add up the time of child processes")
@pytest.mark.parametrize("option", ["--help", "-h", "--version"])
def test_help_is_instant(option: str) -> None:
    """Processor time, which a busy machine changes little: measured at 0.07 s."""
    seconds = []
    for _ in range(3):
        before = os.times()
        result = command(option)
        after = os.times()
        seconds.append(after.children_user - before.children_user)
        assert result.returncode == 0 and result.stdout
        assert result.stderr == ""
    assert min(seconds) < 0.35


def test_help_names_every_option() -> None:
    text = command("--help").stdout
    for option in (
        *("--model", "--ckpt_dir", "--text", "--image", "--audio-in", "--audio_in", "--video", "--audio-out"),
        *("--audio_out", "--prompt", "--max-new-tokens", "--temperature", "--top-k", "--top-p", "--seed"),
        *("--repetition-penalty", "--stop", "--speech-temperature", "--speech-frames", "--video-frames"),
        *("--device", "--threads", "--truncate", "--json", "--quiet", "--debug", "--version"),
    ):
        assert option in text, option


def test_version() -> None:
    assert command("--version").stdout == f"muomni-run {muomni.__version__}\n"


def test_an_ascii_terminal_is_no_reason_to_fail() -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    result = command("--help", env=environment)
    assert result.returncode == 0
    assert "Traceback" not in result.stderr
