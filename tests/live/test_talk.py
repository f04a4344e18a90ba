"""Talking: by a microphone and a loudspeaker that the test holds, with the real model between them."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

import muomni
from muomni.cli.run import main
from muomni.live.devices import Loudspeaker, Microphone, import_sounddevice
from muomni.live.talk import TAIL_SECONDS, EchoGate, Talk, spoken_request
from muomni.requests import as_request

Samples = NDArray[np.float32]
SAMPLES = Path(__file__).parents[2] / "checkpoints" / "demo" / "samples"
QUIET = np.zeros(16_000, np.float32)


@pytest.fixture(scope="module")
def omni() -> Iterator[muomni.Omni]:
    with muomni.Omni.load(device="cpu", threads=1) as loaded:
        yield loaded


class Speaker:
    """A loudspeaker of which the test says what was heard."""

    def __init__(self) -> None:
        self.pieces: list[Samples] = []
        self.heard_ms = 0.0
        self.playing = False

    def play(self, samples: Samples) -> None:
        self.pieces.append(samples)
        self.playing = True

    def stop(self) -> float:
        self.playing = False
        return self.heard_ms


class Screen:
    def __init__(self) -> None:
        self.said: list[str] = []
        self.replies: list[tuple[str, str | None]] = []
        self.starts = 0
        self.over_once = threading.Event()

    def listening(self) -> None:
        self.starts += 1

    def text(self, piece: str) -> None:
        self.said.append(piece)

    def over(self, reply: muomni.Reply | None, heard: str | None) -> None:
        assert reply is not None
        self.replies.append((reply.text, heard))
        self.over_once.set()

    def failed(self, error: muomni.MuomniError) -> None:
        raise AssertionError(error)


def loud(window: Samples) -> float:
    return 1.0 if float(np.abs(window).max()) > 0.05 else 0.0


def speech(name: str) -> Iterator[Samples]:
    samples, rate = soundfile.read(SAMPLES / name, dtype="float32")
    assert rate == 16_000
    whole = np.concatenate([samples, QUIET])
    yield from (whole[at : at + 320] for at in range(0, len(whole), 320))


def talk_of(omni: muomni.Omni, speaker: Speaker, screen: Screen) -> tuple[Talk, muomni.Conversation]:
    chat = omni.chat()
    ask = spoken_request(as_request(speech=True, truncate=True), "Answer the question.")
    return Talk(chat, omni.tokenizer, ask, loud, speaker, screen, headphones=True), chat


def test_what_is_asked_aloud_is_answered_aloud(omni: muomni.Omni) -> None:
    speaker, screen = Speaker(), Screen()
    talk, chat = talk_of(omni, speaker, screen)
    talk.listen(speech("days.wav"))
    assert screen.replies == [("Tuesday comes after Monday.", None)]
    assert "".join(screen.said) == "Tuesday comes after Monday." and chat.turns == 1
    assert sum(map(len, speaker.pieces)) > 8000


def test_who_interrupts_is_heard_and_the_rest_is_forgotten(omni: muomni.Omni) -> None:
    speaker, screen = Speaker(), Screen()
    speaker.heard_ms = 900
    talk, chat = talk_of(omni, speaker, screen)

    def microphone() -> Iterator[Samples]:
        yield from speech("days.wav")
        assert screen.over_once.wait(30)  # it is whole, and being played
        yield from speech("question.wav")

    talk.listen(microphone())
    assert screen.starts == 2 and len(screen.replies) == 3
    whole, heard = screen.replies[1]
    assert heard is not None and 0 < len(heard) < len(whole) and whole.startswith(heard)
    assert speaker.pieces and chat.turns == 2

    other = omni.chat()
    samples, rate = soundfile.read(SAMPLES / "days.wav", dtype="float32")
    full = other.say("Answer the question.", audio=(samples, rate), truncate=True)
    assert full.text == whole
    ids = [
        n
        for n in range(1, len(full.token_ids))
        if heard.startswith(omni.tokenizer.decode(full.token_ids[:n]))
    ]
    assert len(ids) < len(full.token_ids)


def test_our_own_echo_is_not_speech_and_a_loud_voice_is() -> None:
    now = [0.0]
    gate = EchoGate(lambda: now[0])
    echo, voice = np.full(320, 0.02, np.float32), np.full(320, 0.2, np.float32)
    assert gate(echo, playing=False).any()
    assert not gate(echo, playing=True).any()
    now[0] = TAIL_SECONDS - 0.01  # the room rings on
    assert not gate(echo, playing=False).any()
    assert gate(voice, playing=True).any() and gate(echo, playing=True).any()  # and its quieter sounds
    now[0] += 1
    assert not gate(echo, playing=True).any()
    now[0] += 1
    assert gate(echo, playing=False).any()


class FakeDevices(ModuleType):
    """PortAudio: a microphone that hears a list, a loudspeaker that plays as fast as it can."""

    PortAudioError = type("PortAudioError", (Exception,), {})

    def __init__(self) -> None:
        super().__init__("sounddevice")
        self.played: list[Samples] = []
        outer = self

        class Stream:
            latency = 0.0

            def __init__(self, callback: Any, blocksize: int = 320, **options: Any) -> None:
                self.callback, self.blocksize, self.options = callback, blocksize, options
                self.closed = threading.Event()

            def start(self) -> None:
                threading.Thread(target=self.run, daemon=True).start()

            def close(self) -> None:
                self.closed.set()

        class OutputStream(Stream):
            def run(self) -> None:
                while not self.closed.is_set():
                    out = np.ones((self.blocksize, 1), np.float32)
                    self.callback(out, len(out), None, None)
                    outer.played.append(out[:, 0])
                    time.sleep(0.001)

        class InputStream(Stream):
            def run(self) -> None:
                for at in range(20):
                    self.callback(
                        np.full((self.blocksize, 1), at / 20, np.float32), self.blocksize, None, None
                    )

        self.OutputStream, self.InputStream = OutputStream, InputStream
        self.sleep = lambda milliseconds: None

    def query_devices(self, kind: str) -> dict[str, float]:
        return {"default_samplerate": 48_000.0}


@pytest.fixture
def devices(monkeypatch: pytest.MonkeyPatch) -> FakeDevices:
    fake = FakeDevices()
    monkeypatch.setitem(sys.modules, "sounddevice", fake)
    return fake


def test_the_loudspeaker_plays_all_in_order_and_counts(devices: FakeDevices) -> None:
    speaker = Loudspeaker(16_000)
    pieces = [np.full(size, size / 2000, np.float32) for size in (1000, 7, 640, 333)]
    for piece in pieces:
        speaker.play(piece)
    assert speaker.playing
    speaker.wait()
    speaker.close()
    played = np.concatenate(devices.played)
    played = played[played > 0]
    np.testing.assert_array_equal(played, np.concatenate(pieces))
    assert speaker.stop() == pytest.approx(1000 * len(played) / 16_000) and not speaker.playing


def test_the_microphone_is_heard_at_the_models_rate(devices: FakeDevices) -> None:
    with Microphone() as microphone:
        samples = np.concatenate([next(microphone) for _ in range(20)])
    assert abs(len(samples) - 20 * 320) < 700  # 0.4 s, but for what the filter holds back
    assert list(microphone) == []


def test_play_speaks_what_is_answered(devices: FakeDevices, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["--text", "What is two plus three?", "--play", "--threads", "1"])
    assert left.value.code in (0, None) and "five" in capsys.readouterr().out
    assert np.abs(np.concatenate(devices.played)).max() > 0.05
    devices.played.clear()
    with pytest.raises(SystemExit) as left:
        main(["--say", "Hello!", "--play", "--threads", "1"])
    assert left.value.code in (0, None)
    assert np.abs(np.concatenate(devices.played)).max() > 0.05


@pytest.mark.parametrize(
    ("failure", "says"),
    [(ImportError("sounddevice"), "muomni\\[live\\]"), (OSError("PortAudio"), "libportaudio2")],
)
def test_what_is_missing_is_said_with_its_install_line(
    monkeypatch: pytest.MonkeyPatch, failure: Exception, says: str
) -> None:
    real = __import__

    def broken(name: str, *arguments: Any, **options: Any) -> Any:
        if name == "sounddevice":
            raise failure
        return real(name, *arguments, **options)

    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    monkeypatch.setattr("builtins.__import__", broken)
    with pytest.raises(muomni.MissingPackageError, match=says):
        import_sounddevice()


def test_a_machine_without_a_microphone_says_so(
    devices: FakeDevices, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(kind: str) -> SimpleNamespace:
        raise devices.PortAudioError("no input device")

    monkeypatch.setattr(devices, "query_devices", none)
    with pytest.raises(muomni.UsageError, match="microphone cannot be used: no input device"):
        Microphone().__enter__()
