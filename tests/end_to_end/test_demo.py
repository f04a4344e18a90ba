"""The model that ships: it is whole, small, made from the checkpoint beside it, and answers the README's examples."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tests.end_to_end.conftest import Installed

import muomni
from muomni.bundle.demo import demo_bundle

CHECKPOINT = Path(__file__).parents[2] / "checkpoints" / "demo"
SAMPLES = CHECKPOINT / "samples"
MOST_BYTES = 20_000_000


@pytest.fixture(scope="module")
def omni() -> muomni.Omni:
    return muomni.Omni.load(device="cpu")


def test_it_is_whole_and_small(omni: muomni.Omni) -> None:
    omni.verify()
    assert sum(file.stat().st_size for file in demo_bundle().iterdir()) <= MOST_BYTES


def test_it_was_made_from_the_checkpoint_beside_it(omni: muomni.Omni) -> None:
    sources = omni.manifest.source.files
    assert {"thinker", "vision", "audio", "talker", "codec", "vocoder"} <= set(sources)
    for said in sources.values():
        name, digest = said.split()
        (file,) = CHECKPOINT.glob(f"*/{name}")
        assert hashlib.sha256(file.read_bytes()).hexdigest() == digest, name


def test_a_spoken_question_about_a_picture_is_answered_aloud(installed: Installed, tmp_path: Path) -> None:
    """The README's main command."""
    reply = tmp_path / "reply.wav"
    result = installed(
        *("muomni-run", "--image", SAMPLES / "shapes.png", "--audio-in", SAMPLES / "question.wav"),
        *("--audio-out", reply, "--json"),
    )
    assert result.code == 0, result.err
    answer = json.loads(result.out)
    assert answer["text"] == "A big red circle, a small yellow star and a big blue square."
    samples, rate = soundfile.read(reply)
    assert rate == 16_000 and answer["speech"]["cut_phonemes"] == 0
    assert 2 < len(samples) / rate < 7
    assert np.abs(samples).max() > 0.1


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("Hello!", "hello"),
        ("What is two plus three?", "five"),
        ("What is the opposite of hot?", "cold"),
        ("What day comes after Monday?", "Tuesday"),
    ],
)
def test_chat(omni: muomni.Omni, question: str, answer: str) -> None:
    assert answer.lower() in omni.generate(question).text.lower()


def test_a_conversation_remembers(omni: muomni.Omni) -> None:
    chat = omni.chat()
    chat.say("What is five plus two?")
    assert "eleven" in chat.say("And plus four?").text


def test_a_conversation_of_many_turns(omni: muomni.Omni) -> None:
    """Whatever was shown, said or asked before, the question is answered, and the picture is still known."""
    chat = omni.chat()
    turns: list[tuple[str, dict[str, object], str]] = [
        ("Hello!", {}, "Hello! How can I help you?"),
        ("What do you see?", {"images": [SAMPLES / "shapes.png"]}, "A big red circle"),
        ("What is two plus three?", {}, "Two plus three is five."),
        ("Where is the star?", {}, "at the bottom"),
        ("Answer the question.", {"audio": SAMPLES / "days.wav"}, "Tuesday comes after Monday."),
        ("What is the opposite of hot?", {}, "The opposite of hot is cold."),
        ("How many shapes are there?", {}, "There are three shapes."),
        ("What month comes before May?", {}, "April comes before May."),
        ("Thank you!", {}, "You are welcome."),
    ]
    for question, media, answer in turns:
        assert answer in chat.say(question, **media).text  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("What color is the circle?", "red"),
        ("Is there a star?", "yes"),
        ("How many shapes are there?", "three"),
    ],
)
def test_questions_about_a_picture(omni: muomni.Omni, question: str, answer: str) -> None:
    assert answer in omni.generate(question, images=[SAMPLES / "shapes.png"]).text.lower()


def test_what_is_heard_is_written_down(omni: muomni.Omni) -> None:
    assert (
        omni.generate(audio=SAMPLES / "days.wav").text.lower().rstrip("?.") == "what day comes after monday"
    )


def test_a_film(omni: muomni.Omni) -> None:
    pytest.importorskip("av")
    assert "right" in omni.generate("What happens?", video=SAMPLES / "film.gif").text.lower()


def test_any_text_is_spoken(omni: muomni.Omni) -> None:
    speech = omni.speak("Zebras improvise 3 quixotic algorithms, don't they?")
    assert speech.cut_phonemes == 0
    assert 2 < speech.seconds < 7


def test_the_sample_of_its_speech_is_its_speech(omni: muomni.Omni) -> None:
    text = (
        "Hello! I am a small model, and I say any English text. It costs $12.50 on the 21st of May, at 3:30."
    )
    samples, rate = soundfile.read(SAMPLES / "speech.wav")
    assert rate == 16_000 and np.abs(samples).max() > 0.1
    assert omni.speak(text).seconds == pytest.approx(len(samples) / rate, rel=0.05)
