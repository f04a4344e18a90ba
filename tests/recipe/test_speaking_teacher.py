"""The teacher's speech: events, stresses, alignment to frames."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest

pytest.importorskip("librosa")
pytest.importorskip("torch")
try:
    ctypes.CDLL("libespeak-ng.so.1")
except OSError:
    pytest.skip("espeak-ng is not installed", allow_module_level=True)

from muomni.speech.normalise import MARKS
from recipe.speaking import mel
from recipe.speaking.alignment import durations, say, sentence_case
from recipe.speaking.espeak import Espeak
from recipe.speaking.inventory import count_sounds
from recipe.speaking.letters import FAST, words

TEXT = "who are you. the writer of the book, isn't it?"


@pytest.fixture(scope="module")
def espeak() -> Espeak:
    return Espeak()


def test_sounds_have_words_marks_and_stresses(espeak: Espeak) -> None:
    aligned = say(espeak, TEXT)
    marks = [s.symbol for s in aligned.sounds if s.symbol in MARKS]
    assert marks == [".", ",", "?"]
    assert any(s.symbol.startswith("'") for s in aligned.sounds)
    assert [s.word for s in aligned.sounds] == sorted(s.word for s in aligned.sounds)
    starting = [s.word for s in aligned.sounds if s.starts_word]
    assert starting == [0, 1, 2, 3, 4, 5, 7, 8, 9]  # "of the" is one word to espeak


def test_frames_cover_the_samples(espeak: Espeak) -> None:
    aligned = say(espeak, TEXT)
    assert (aligned.frames >= 1).all()
    assert len(aligned.samples) == aligned.frames.sum() * mel.SPEC.hop_samples
    assert len(mel.log_mel(aligned.samples)) == aligned.frames.sum()


def test_pauses_are_quiet_and_vowels_are_loud(espeak: Espeak) -> None:
    aligned = say(espeak, TEXT)
    frame_energy = mel.log_mel(aligned.samples).mean(axis=1)
    ends = np.cumsum(aligned.frames)
    energy = {}
    for sound, end, length in zip(aligned.sounds, ends, aligned.frames, strict=True):
        middle = int(end - length + length // 2)
        energy.setdefault("mark" if sound.symbol in MARKS else sound.symbol[0], []).append(
            frame_energy[middle]
        )
    assert max(energy["mark"]) < min(energy["'"])


def test_timing_is_deterministic(espeak: Espeak) -> None:
    """The samples are not: espeak carries its voice's phase over. The spectra are nearly the same."""
    first, again = say(espeak, TEXT), say(espeak, TEXT)
    assert first.sounds == again.sounds
    assert abs(np.cumsum(first.frames) - np.cumsum(again.frames)).max() <= 1
    n = min(first.frames.sum(), again.frames.sum())
    difference = mel.log_mel(first.samples)[:n] - mel.log_mel(again.samples)[:n]
    assert np.abs(difference).mean() < 0.05


def test_the_letters_see_the_sounds_the_talker_hears(espeak: Espeak) -> None:
    aligned = say(espeak, TEXT)
    inventory = count_sounds([aligned])
    fast = Espeak(FAST)
    spelled = [inventory.symbols[s - 1] for word in words(fast, inventory, TEXT) for s in word.symbols]
    assert spelled == [s.symbol for s in aligned.sounds if s.symbol not in MARKS]


def test_short_sounds_take_a_frame_without_drift() -> None:
    assert durations(np.array([0.2, 0.4, 5.0, 5.1, 9.6])).tolist() == [1, 1, 3, 1, 4]


def test_sentence_case() -> None:
    assert sentence_case("who. are you? i see") == "who. Are you? I see"


def test_compress_and_expand_are_inverse() -> None:
    values = np.array([[0.01, 1.0, 100.0]], dtype=np.float32)
    assert np.allclose(mel.expand(mel.compress(values)), values, rtol=1e-4)
