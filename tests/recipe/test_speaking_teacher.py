"""What espeak-ng says of a text: events, stresses, words; and the grid of frames."""

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
from recipe.speaking.alignment import durations, name_sounds, sentence_case, split_words
from recipe.speaking.espeak import Espeak
from recipe.speaking.letters import FAST, words
from recipe.speaking.phonemes import count_phonemes
from recipe.teachers.kokoro_phonemes import SPACE, pieces

TEXT = "who are you. the writer of the book, isn't it?"


@pytest.fixture(scope="module")
def espeak() -> Espeak:
    return Espeak()


def test_sounds_have_words_marks_and_stresses(espeak: Espeak) -> None:
    words = split_words(TEXT)
    sounds, first_samples, end = name_sounds(espeak.speak(sentence_case(TEXT)), TEXT, *words)
    assert [s.symbol for s in sounds if s.symbol in MARKS] == [".", ",", "?"]
    assert any(s.symbol.startswith("'") for s in sounds)
    assert [s.word for s in sounds] == sorted(s.word for s in sounds)
    starting = [s.word for s in sounds if s.starts_word]
    assert starting == [0, 1, 2, 3, 4, 5, 7, 8, 9]  # "of the" is one word to espeak
    assert first_samples == sorted(first_samples) and first_samples[-1] < end


def test_the_letters_see_the_phonemes_the_talker_hears(espeak: Espeak) -> None:
    heard = [piece.symbol for piece in pieces(espeak, TEXT) if piece.text != SPACE]
    phonemes = count_phonemes([heard])
    spelled = [phonemes.symbols[s - 1] for word in words(Espeak(FAST), phonemes, TEXT) for s in word.symbols]
    assert spelled == [symbol for symbol in heard if symbol not in MARKS]


def test_ipa_has_the_same_words(espeak: Espeak) -> None:
    names, ipa = espeak.words("the writer of the book"), espeak.words("the writer of the book", ipa=True)
    assert [len(word) for word in names] == [len(word) for word in ipa]
    assert ipa[0] == ["ð", "ə"]


def test_short_sounds_take_a_frame_without_drift() -> None:
    assert durations(np.array([0.2, 0.4, 5.0, 5.1, 9.6])).tolist() == [1, 1, 3, 1, 4]


def test_sentence_case() -> None:
    assert sentence_case("who. are you? i see") == "who. Are you? I see"


def test_compress_and_expand_are_inverse() -> None:
    values = np.array([[0.01, 1.0, 100.0]], dtype=np.float32)
    assert np.allclose(mel.expand(mel.compress(values)), values, rtol=1e-4)
