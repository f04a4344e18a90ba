"""The chat: how it ends, and how it speaks."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest
from tests.runtime.cli.conftest import Run
from tests.runtime.cli.fake import FakeOmni

from muomni.requests import SpeechOptions


def typed(monkeypatch: pytest.MonkeyPatch, *lines: str) -> None:
    data = "".join(f"{line}\n" for line in lines).encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data), encoding="utf-8"))


@pytest.mark.parametrize("word", ["exit", "quit", "/exit", "/quit", "/bye", "EXIT", "Quit", "  /bye  "])
def test_words_that_end_it(run: Run, omni: FakeOmni, monkeypatch: pytest.MonkeyPatch, word: str) -> None:
    typed(monkeypatch, "one", word, "two")
    code, out, _ = run()
    assert (code, out) == (0, "réponse to one second line\n")


@pytest.mark.parametrize("word", ["exit the room", "bye", "please quit"])
def test_words_that_do_not(run: Run, omni: FakeOmni, monkeypatch: pytest.MonkeyPatch, word: str) -> None:
    typed(monkeypatch, word)
    assert run()[1] == f"réponse to {word} second line\n"


@pytest.mark.parametrize("word", ["reset", "/reset", "RESET"])
def test_a_word_that_forgets(run: Run, omni: FakeOmni, monkeypatch: pytest.MonkeyPatch, word: str) -> None:
    typed(monkeypatch, "one", word, "two")
    assert run()[0] == 0 and omni.conversation.resets == 1


def test_each_reply_is_spoken_into_a_file_of_its_own(
    run: Run, omni: FakeOmni, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "r-2.wav").write_bytes(b"mine")
    typed(monkeypatch, "one", "two", "three")
    code, out, err = run("--audio-out", tmp_path / "r.wav", "--speed", "1.5", "--json")
    assert code == 0
    spoken = [tmp_path / name for name in ("r.wav", "r-3.wav", "r-4.wav")]
    assert [json.loads(line)["speech"]["path"] for line in out.splitlines()] == list(map(str, spoken))
    assert {file.stat().st_size for file in spoken} == {44 + 3200}
    assert (tmp_path / "r-2.wav").read_bytes() == b"mine"
    assert all(f"written to {file}" in err for file in spoken)
    assert {turn.speech for turn in omni.conversation.turns} == {SpeechOptions(speed=1.5)}


@pytest.mark.parametrize("place", ["-", "/dev/stdout"])
def test_a_chat_does_not_speak_into_one_stream(run: Run, omni: FakeOmni, place: str) -> None:
    code, _, err = run("--audio-out", place)
    assert code == 2 and "a chat speaks each reply into a WAV file" in err and not omni.loaded


def test_a_folder_that_is_missing_is_found_before_the_first_turn(
    run: Run, omni: FakeOmni, tmp_path: Path
) -> None:
    code, _, err = run("--audio-out", tmp_path / "none" / "r.wav")
    assert code == 1 and "does not exist" in err and not omni.loaded


def test_a_reply_whose_speech_failed_is_still_given(run: Run, omni: FakeOmni, tmp_path: Path) -> None:
    omni.conversation.mute = True
    code, out, err = run("--text", "x", "--audio-out", tmp_path / "a.wav")
    assert code == 1 and out.startswith("réponse to x")
    assert "no speech was made" in err and not (tmp_path / "a.wav").exists()
