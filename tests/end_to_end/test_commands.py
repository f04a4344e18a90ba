"""The installed commands on real files: the parity set, speech, the chat."""

from __future__ import annotations

import io
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import time
import wave
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest
import sentencepiece
from tests.end_to_end.conftest import installed_path

PARITY = Path(__file__).parents[1] / "data" / "parity"
EXPECTED: dict[str, Any] = json.loads((PARITY / "expected" / "expected.json").read_text())
QUESTIONS = [name for name in EXPECTED if "greedy" in EXPECTED[name]]
MEDIA = {
    "image0": ("--image", PARITY / "inputs" / "image0.png"),
    "image1": ("--image", PARITY / "inputs" / "image1.png"),
    "audio": ("--audio-in", PARITY / "inputs" / "speech_16k.wav"),
}


class Result(Protocol):
    code: int
    out: str
    err: str


Command = Callable[..., Result]


def media_options(case: dict[str, Any]) -> list[str | Path]:
    return [word for name in case.get("media", "").split("_") if name for word in MEDIA[name]]


@pytest.mark.parametrize("name", QUESTIONS)
def test_every_greedy_id(installed: Command, parity_bundle: Path, name: str) -> None:
    case = EXPECTED[name]
    result = installed(
        *("muomni-run", "--model", parity_bundle, "--text", case["text"], *media_options(case)),
        *("--max-new-tokens", str(len(case["greedy"])), "--json"),
    )
    assert result.code == 0, result.err
    reply = json.loads(result.out)
    assert reply["token_ids"] == case["greedy"]
    assert reply["completion_tokens"] == len(case["greedy"])
    assert reply["prompt_tokens"] >= len(case["ids"]) + len(media_options(case)) // 2
    assert reply["finish_reason"] == "length"
    assert reply["speech"] is None
    assert {"load", "first_token", "decode", "total"} <= reply["timings"].keys()
    assert all(seconds >= 0 for seconds in reply["timings"].values())
    assert all(providers == ["CPUExecutionProvider"] for providers in reply["providers"].values())


def test_default_questions(installed: Command, parity_bundle: Path) -> None:
    """Media without text ask the bundle's question, and --prompt another one."""
    heard = EXPECTED["mm_audio"]  # its text is the default question
    common = ("muomni-run", "--model", parity_bundle, *MEDIA["audio"], "--max-new-tokens", "16", "--json")
    assert json.loads(installed(*common).out)["token_ids"] == heard["greedy"]
    looked = EXPECTED["mm_image0"]
    common = ("muomni-run", "--model", parity_bundle, *MEDIA["image0"], "--max-new-tokens", "16", "--json")
    assert json.loads(installed(*common, "--prompt", looked["text"]).out)["token_ids"] == looked["greedy"]


def test_every_talker_code_and_the_wav(installed: Command, parity_bundle: Path, tmp_path: Path) -> None:
    path = tmp_path / "speech.wav"
    result = installed(
        *("muomni-run", "--model", parity_bundle, "--text", "hello", "--audio_out", path, "--json"),
        *("--speech-temperature", "0", "--speech-frames", "60"),
    )
    assert result.code == 0, result.err
    reply = json.loads(result.out)
    speech = reply["speech"]
    assert speech["codes"] == EXPECTED["talker"]["greedy_codes"]
    assert speech["path"] == str(path)
    with wave.open(str(path)) as reader:
        assert (reader.getnchannels(), reader.getsampwidth()) == (1, 2)
        assert reader.getframerate() == speech["sample_rate"]
        assert reader.getnframes() == pytest.approx(speech["seconds"] * speech["sample_rate"])
        assert any(reader.readframes(reader.getnframes()))
    assert [file.name for file in tmp_path.iterdir()] == ["speech.wav"]
    assert {"talker", "codec", "vocoder"} <= reply["timings"].keys()
    assert "cannot say the reply" in result.err  # this Talker has no text input
    assert reply["notes"]


def test_a_seed_makes_drawing_repeatable(installed: Command, parity_bundle: Path, tmp_path: Path) -> None:
    arguments = ("--text", "hello", "--temperature", "1", "--seed", "3", "--speech-frames", "20", "--json")
    replies = []
    for name in ("a.wav", "b.wav"):
        result = installed("muomni-run", "--model", parity_bundle, *arguments, "--audio-out", tmp_path / name)
        replies.append(json.loads(result.out))
    assert replies[0]["token_ids"] == replies[1]["token_ids"]
    assert replies[0]["speech"]["codes"] == replies[1]["speech"]["codes"]
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()


def test_plain_output(installed: Command, parity_bundle: Path) -> None:
    arguments = ("muomni-run", "--model", parity_bundle, "--text", EXPECTED["prompt0"]["text"])
    plain, silent, as_json = (installed(*arguments, *more) for more in ((), ("--quiet",), ("--json",)))
    assert plain.out == silent.out == json.loads(as_json.out)["text"] + "\n"
    assert silent.err == ""
    assert re.fullmatch(r"muomni-run: device: \S+ .*\d threads?\n", plain.err)


def test_video(installed: Command, parity_bundle: Path, tmp_path: Path) -> None:
    from PIL import Image

    first, *rest = [
        Image.open(MEDIA[name][1]).convert("RGB").resize((32, 32)) for name in ("image0", "image1")
    ]
    path = tmp_path / "clip.gif"
    first.save(path, save_all=True, append_images=rest * 3)
    arguments = ("muomni-run", "--model", parity_bundle, "--video", path, "--json", "--max-new-tokens", "4")
    reply = json.loads(installed(*arguments).out)
    fewer = json.loads(installed(*arguments, "--video-frames", "2").out)
    assert reply["prompt_tokens"] - fewer["prompt_tokens"] == 2  # an image is one embedding; 4 by default
    assert reply["providers"].keys() == {"thinker", "vision"}


def chat_json(installed: Command, bundle: Path, *lines: str) -> list[dict[str, Any]]:
    result = installed(
        *("muomni-run", "--model", bundle, "--json", "--max-new-tokens", "8"), input="\n".join(lines) + "\n"
    )
    assert result.code == 0, result.err
    return [json.loads(line) for line in result.out.splitlines()]


def test_chat_through_a_pipe(installed: Command, parity_bundle: Path) -> None:
    text = EXPECTED["prompt1"]["text"]
    first, second, again = chat_json(installed, parity_bundle, text, text, "reset", text, "exit", text)
    assert first["token_ids"] == EXPECTED["prompt1"]["greedy"][:8] == again["token_ids"]
    assert second["token_ids"] != first["token_ids"]  # history is kept
    result = installed(
        *("muomni-run", "--model", parity_bundle, "--max-new-tokens", "8"), input=f"{text}\n{text}\n"
    )
    assert result.code == 0
    assert result.out.splitlines() == [" ".join(reply["text"].splitlines()) for reply in (first, second)]
    assert "You:" not in result.out + result.err


def test_a_full_context_does_not_end_the_chat(installed: Command, parity_bundle: Path) -> None:
    text = "word " * 400
    result = installed(
        *("muomni-run", "--model", parity_bundle, "--max-new-tokens", "8"), input=f"{text}\nhello\n"
    )
    assert result.code == 1
    assert "positions" in result.err
    assert result.out.count("\n") == 1


class Terminal:
    """A command on a pseudo-terminal."""

    def __init__(self, *arguments: str | Path, code: str | None = None) -> None:
        import pty

        self.seen, self._unread = "", b""
        program = ["-m", "muomni.cli.run"] if code is None else ["-c", code]
        self.master, slave = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, *program, *map(str, arguments)],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=_take_terminal,
            env={**os.environ, "TERM": "dumb", "PYTHONUTF8": "1"},
        )
        os.close(slave)

    def read_until(self, text: str, seconds: float = 60) -> None:
        """Read what is printed until ``text`` comes after what was seen before."""
        wanted, end = text.encode(), time.monotonic() + seconds
        while wanted not in self._unread:
            assert time.monotonic() < end, f"waited for {text!r}, saw {self._unread!r}"
            if select.select([self.master], [], [], 0.1)[0]:
                new = self._read()
                assert new, f"ended before {text!r}, saw {self._unread!r}"
                self._unread += new
        read = self._unread.index(wanted) + len(wanted)
        self.seen += self._unread[:read].decode(errors="replace")
        self._unread = self._unread[read:]

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def wait(self) -> int:
        while self._read():
            pass
        return self.process.wait(timeout=30)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        os.close(self.master)

    def _read(self) -> bytes:
        try:
            return os.read(self.master, 65536)
        except OSError:  # Linux reports the end of a pseudo-terminal as EIO
            return b""


def _take_terminal() -> None:
    """Make stdin the controlling terminal, so that Ctrl-C becomes a signal, and one that is heard."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a test run in the background of a shell ignores it
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@pytest.fixture
def terminal(parity_bundle: Path) -> Iterator[Callable[..., Terminal]]:
    pytest.importorskip("pty")
    opened: list[Terminal] = []

    def start(*arguments: str | Path, code: str | None = None) -> Terminal:
        opened.append(Terminal("--model", parity_bundle, *arguments, code=code))
        return opened[-1]

    yield start
    for one in opened:
        one.close()


def test_chat_at_a_terminal(terminal: Callable[..., Terminal]) -> None:
    chat = terminal("--max-new-tokens", "8")
    chat.read_until("You: ")
    assert "device: CPUExecutionProvider" in chat.seen
    chat.type("What do you see?\n")
    chat.read_until("μOmni: ")
    chat.read_until("You: ")
    time.sleep(0.3)  # the prompt is shown a moment before the line is waited for
    chat.type("\x03")  # Ctrl-C at the prompt ends nothing
    chat.read_until("You: ")
    chat.type("reset\n")
    chat.read_until("forgotten")
    chat.read_until("You: ")
    chat.type("\x04")  # Ctrl-D
    assert chat.wait() == 0


def test_exit_ends_a_chat_at_a_terminal(terminal: Callable[..., Terminal]) -> None:
    chat = terminal("-q")
    chat.read_until("You: ")
    chat.type("exit\n")
    assert chat.wait() == 0
    assert "device" not in chat.seen


# A reply of a small model is over before a key can be pressed.
SLOWLY = """
import sys, time
from muomni.cli.run import main
from muomni.engine.engine import Engine
step = Engine.step
def slow(*arguments):
    time.sleep(0.1)
    return step(*arguments)
Engine.step = slow
main(sys.argv[1:])
"""


def test_ctrl_c_stops_a_reply_and_forgets_its_turn(terminal: Callable[..., Terminal]) -> None:
    case = EXPECTED["prompt2"]
    chat = terminal("--max-new-tokens", "32", code=SLOWLY)
    chat.read_until("You: ")
    chat.type("What do you see?\n")
    chat.read_until("μOmni: ")
    time.sleep(0.5)
    chat.type("\x03")
    chat.read_until("stopped; this turn is forgotten")
    chat.read_until("You: ")
    chat.type(case["text"] + "\n")
    chat.read_until("μOmni: ")
    before = len(chat.seen)
    chat.read_until("You: ")
    chat.type("\x04")
    assert chat.wait() == 0
    # The reply is the one a fresh conversation gives.
    model = sentencepiece.SentencePieceProcessor(
        model_file=str(PARITY / "checkpoints" / "thinker_tiny" / "tokenizer.model")
    )
    shown = chat.seen[before:].replace("\r\n", "\n")
    assert model.decode(case["greedy"]) in shown


def test_speech_goes_through_a_pipe_and_back(installed: Command) -> None:
    """With the model that ships: a WAV on stdout, heard from stdin."""
    spoken = subprocess.run(
        [installed_path("muomni-run"), "-q", "--say", "What day comes after Monday?", "--audio-out", "-"],
        capture_output=True,
        check=True,
    )
    with wave.open(io.BytesIO(spoken.stdout)) as reader:
        assert 1 < reader.getnframes() / reader.getframerate() < 5
    heard = subprocess.run(
        [installed_path("muomni-run"), "-q", "--audio-in", "-"],
        input=spoken.stdout,
        capture_output=True,
        check=True,
    )
    assert "day" in heard.stdout.decode().lower()


def test_text_from_stdin_is_answered(installed: Command) -> None:
    result = installed("muomni-run", "-q", "--text", "-", input="What is two plus three?\n")
    assert "five" in result.out


def test_the_module_is_the_command(installed: Command) -> None:
    """For where the scripts are not on the PATH."""
    result = subprocess.run(
        [sys.executable, "-m", "muomni", "-q", "--text", "What is two plus three?"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "five" in result.stdout
    version = [sys.executable, "-m", "muomni", "--version"]
    assert subprocess.run(version, capture_output=True, text=True, check=True).stdout.startswith(
        "muomni-run "
    )


def test_a_piped_chat_speaks_each_reply(installed: Command, tmp_path: Path) -> None:
    result = installed("muomni-run", "--audio-out", tmp_path / "r.wav", input="Hello!\nHow are you?\n/bye\n")
    assert result.code == 0 and len(result.out.splitlines()) == 2
    assert sorted(file.name for file in tmp_path.iterdir()) == ["r-2.wav", "r.wav"]


def test_faster_speech_is_shorter(installed: Command, tmp_path: Path) -> None:
    seconds = []
    for name, speed in (("slow.wav", "0.7"), ("plain.wav", "1"), ("fast.wav", "1.5")):
        words = ("--say", "What day comes after Monday?", "--speed", speed, "--audio-out", tmp_path / name)
        assert installed("muomni-run", "-q", *words).code == 0
        with wave.open(str(tmp_path / name)) as reader:
            seconds.append(reader.getnframes() / reader.getframerate())
    assert seconds[0] == pytest.approx(seconds[1] / 0.7, rel=0.1)
    assert seconds[2] == pytest.approx(seconds[1] / 1.5, rel=0.1)


def test_doctor(installed: Command, parity_bundle: Path) -> None:
    result = installed("muomni-doctor", "--model", parity_bundle)
    assert result.code == 0, result.out
    assert "every sha256 as in the manifest" in result.out
    assert "thinker, vision, audio, talker, codec, vocoder, ocr: 9 graphs load and run on" in result.out
    report = json.loads(installed("muomni-doctor", "--model", parity_bundle, "--json").out)
    graphs = next(check for check in report["checks"] if check["name"] == "graphs")
    assert set(graphs["data"]["providers"]) >= {"thinker", "vision", "audio", "talker", "codec", "vocoder"}


def test_doctor_finds_a_changed_byte(installed: Command, parity_bundle: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(parity_bundle, bundle)
    data = bytearray((bundle / "vocoder.onnx").read_bytes())
    data[-1] ^= 1
    (bundle / "vocoder.onnx").write_bytes(data)
    result = installed("muomni-doctor", "--model", bundle)
    assert result.code == 1
    assert "vocoder.onnx: the file changed since export" in result.out
