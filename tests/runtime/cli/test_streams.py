"""``-``, pipes, URLs and closed streams in the places of files."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import wave
from pathlib import Path

import pytest
from tests.runtime.cli.conftest import Run
from tests.runtime.cli.fake import FakeOmni

from muomni.ort.threads import ThreadPolicy, thread_policy

FAKE = """
import sys
import muomni
from tests.runtime.cli.fake import FakeOmni
vars(muomni)["Omni"] = FakeOmni()
from muomni.cli.run import main
main(sys.argv[1:])
"""
POSIX = pytest.mark.skipif(os.name != "posix", reason="a shell of POSIX")


def shell(command: str, **options: object) -> subprocess.CompletedProcess[bytes]:
    """Run a line of shell in which @run is the command with a stand-in for the model."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "FAKE": FAKE,
    }
    command = command.replace("@run", f'"{sys.executable}" -c "$FAKE"')
    return subprocess.run(  # type: ignore[call-overload, no-any-return]
        ["bash", "-c", command], capture_output=True, env=environment, check=False, **options
    )


def stdin(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data), encoding="utf-8"))


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (b"hello\n", "hello"),
        (b"hello", "hello"),
        (b"\xef\xbb\xbfhello\r\n", "hello"),
        ("two\nlines \u2028 é\n\n".encode(), "two\nlines \u2028 é\n"),
    ],
)
def test_text_from_stdin(
    run: Run, omni: FakeOmni, monkeypatch: pytest.MonkeyPatch, given: bytes, text: str, tmp_path: Path
) -> None:
    stdin(monkeypatch, given)
    assert run("--text", "-")[0] == 0
    assert omni.conversation.turns[0].text == text
    stdin(monkeypatch, given)
    assert run("--say", "-", "--audio-out", tmp_path / "a.wav")[0] == 0
    assert omni.spoken[0]["text"] == text


def test_text_from_stdin_must_be_utf8(run: Run, omni: FakeOmni, monkeypatch: pytest.MonkeyPatch) -> None:
    stdin(monkeypatch, b"caf\xe9\n")
    code, _, err = run("--text", "-")
    assert code == 2 and "--text: what came from stdin is not UTF-8" in err and not omni.loaded


@pytest.mark.parametrize("name", ["-", "/dev/stdin"])
@pytest.mark.parametrize(("option", "field"), [("--audio-in", "audio"), ("--video", "video")])
def test_media_from_stdin(
    run: Run, omni: FakeOmni, monkeypatch: pytest.MonkeyPatch, name: str, option: str, field: str
) -> None:
    stdin(monkeypatch, b"\x00data")
    assert run(option, name)[0] == 0
    assert getattr(omni.conversation.turns[0], field) == b"\x00data"


def test_one_of_several_images_from_stdin(run: Run, omni: FakeOmni, monkeypatch: pytest.MonkeyPatch) -> None:
    stdin(monkeypatch, b"png")
    assert run("--image", "a.png", "--image", "-")[0] == 0
    assert omni.conversation.turns[0].images == (Path("a.png"), b"png")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--text", "-", "--image", "-"],
        ["--image", "-", "--image", "-"],
        ["--audio-in", "-", "--video", "/dev/stdin"],
    ],
    ids=" ".join,
)
def test_only_one_option_reads_stdin(run: Run, omni: FakeOmni, arguments: list[str]) -> None:
    code, _, err = run(*arguments)
    assert code == 2 and "both read stdin" in err and not omni.loaded


def test_nothing_from_stdin_is_an_error(run: Run, omni: FakeOmni, monkeypatch: pytest.MonkeyPatch) -> None:
    stdin(monkeypatch, b"")
    code, _, err = run("--image", "-")
    assert code == 1 and "--image: nothing came" in err


@POSIX
@pytest.mark.parametrize("name", ["-", "/dev/stdout"])
def test_speech_to_stdout_is_a_whole_wav_and_nothing_else(name: str, tmp_path: Path) -> None:
    result = shell(f"@run --text hi --audio-out {name} | cat", cwd=tmp_path)
    with wave.open(io.BytesIO(result.stdout)) as reader:  # of a pipe: the header must be right
        assert (reader.getnframes(), reader.getframerate()) == (1600, 16000)
    assert len(result.stdout) == 44 + 2 * 1600
    assert "réponse to hi\nsecond line\n" in result.stderr.decode()  # the text is not lost
    assert not list(tmp_path.iterdir())  # no file called "-"
    assert shell(f"@run --say hi --audio-out {name} | cat").stdout[:4] == b"RIFF"


@POSIX
def test_speech_to_stdout_that_is_a_file(tmp_path: Path) -> None:
    assert shell("@run -q --say hi --audio-out /dev/stdout > a.wav", cwd=tmp_path).returncode == 0
    assert (tmp_path / "a.wav").stat().st_size == 44 + 1600


@POSIX
def test_speech_into_a_process(tmp_path: Path) -> None:
    shell("@run -q --say hi --audio-out >(cat > a.wav); wait $!", cwd=tmp_path)
    assert (tmp_path / "a.wav").stat().st_size == 44 + 1600


def test_json_and_speech_cannot_share_stdout(run: Run, omni: FakeOmni) -> None:
    code, out, err = run("--text", "x", "--json", "--audio-out", "-")
    assert (code, out) == (2, "") and "both write to stdout" in err and not omni.loaded


def test_no_wav_at_a_terminal(run: Run, omni: FakeOmni, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    code, _, err = run("--say", "x", "--audio-out", "-")
    assert code == 2 and "terminal" in err and not omni.loaded


def test_a_recording_is_not_spoken_over(run: Run, omni: FakeOmni, tmp_path: Path) -> None:
    recording = tmp_path / "a.wav"
    recording.write_bytes(b"my voice")
    (tmp_path / "b.wav").symlink_to(recording)
    code, _, err = run("--audio-in", recording, "--audio-out", tmp_path / "b.wav")
    assert code == 2 and "name another file" in err
    assert recording.read_bytes() == b"my voice"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--image", "https://example.org/a.png"],
        ["--audio-in", "http://example.org/a.wav"],
        ["--video", "s3://bucket/a.mp4"],
        ["--text", "x", "--audio-out", "https://example.org/a.wav"],
        ["--batch", "https://example.org/q.jsonl", "--out", "o"],
        ["--batch", "q", "--out", "s3://bucket/o.jsonl"],
    ],
    ids=lambda arguments: arguments[-1],
)
def test_a_url_is_called_one(run: Run, omni: FakeOmni, arguments: list[str]) -> None:
    code, _, err = run(*arguments)
    assert code == 2
    assert "is a URL" in err and "://" in err  # as it was typed
    assert not omni.loaded


@POSIX
@pytest.mark.parametrize(
    "arguments", ["-q --text hi", "-q --text hi --json", "--help", "--version", "-q --say x --audio-out -"]
)
@pytest.mark.parametrize("where", [">&-", "> /dev/full"])
def test_an_answer_that_nobody_gets_is_an_error(arguments: str, where: str) -> None:
    if where != ">&-" and not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    result = shell(f"@run {arguments} {where}")
    assert result.returncode == 1
    assert b"written" in result.stderr and b"Traceback" not in result.stderr


@POSIX
def test_a_reader_that_leaves_is_no_traceback() -> None:
    result = shell("@run --text hi | head -c 0; echo ${PIPESTATUS[0]}")
    assert result.stdout.strip() in (b"141", b"0")  # 0: it was faster than head
    assert b"Traceback" not in result.stderr and b"Broken" not in result.stderr


@POSIX
def test_a_closed_stdout_does_not_matter_to_a_file(tmp_path: Path) -> None:
    assert shell("@run -q --say hi --audio-out a.wav >&-", cwd=tmp_path).returncode == 0
    assert (tmp_path / "a.wav").stat().st_size == 44 + 1600


@POSIX
@pytest.mark.parametrize("streams", ["2>&-", "<&-", "<&- 2>&-"])
def test_other_closed_streams_cost_no_answer(streams: str) -> None:
    assert shell(f"@run --text hi {streams}").stdout.decode() == "réponse to hi\nsecond line\n"


@POSIX
def test_a_closed_stdin_is_named() -> None:
    result = shell("@run --text - <&-")
    assert result.returncode == 2 and b"stdin, which is closed" in result.stderr


def test_empty_environment_variables_are_unset(
    run: Run, omni: FakeOmni, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MUOMNI_MODEL", "")
    monkeypatch.setenv("MUOMNI_THREADS", "")
    assert run("--text", "hi")[0] == 0
    assert omni.loaded["path"] is None
    assert thread_policy() == ThreadPolicy(None)
