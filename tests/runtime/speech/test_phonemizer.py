"""Text on its way to sounds: normalising, spelling windows, reading in pieces."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from muomni.speech import letters as spelling
from muomni.speech.normalise import MARKS
from muomni.speech.phonemes import FIRST_PHONEME, Phonemes
from muomni.speech.phonemizer import Phonemizer

ALPHABET = Phonemes(tuple(spelling.LETTERS))


def by_letter(letters: NDArray[np.int64]) -> NDArray[np.float32]:
    """A letters graph that says every own letter as itself, and the gap before a vowel's word as nothing."""
    own = np.clip(letters - spelling.OWN, -1, len(spelling.LETTERS) - 1) + 1
    logits = np.zeros((*letters.shape, spelling.SLOTS, 1 + len(spelling.LETTERS)), dtype=np.float32)
    np.put_along_axis(logits[:, :, 1], np.maximum(own, 0)[..., None], 1, axis=-1)
    return logits


def read(pieces: list[str]) -> str:
    reader = Phonemizer(by_letter, ALPHABET)
    ids = []
    for piece in pieces:
        reader.push(piece)
        ids += reader.read(3)
    reader.finish()
    while not reader.finished:
        ids += reader.read()
    return "".join(
        MARKS[n - 1] if n < FIRST_PHONEME else ALPHABET.symbols[(n - FIRST_PHONEME) // 2] for n in ids
    )


def test_pieces_make_no_difference() -> None:
    text = "Hello , I have 3.5 apples — and you ? Don't (ever) ask"
    whole = read([text])
    assert whole == "hello,ihavethreepointfiveapples,andyou?don'teverask."
    assert read(list(text)) == whole
    assert read([text[:7], text[7:30], "", text[30:]]) == whole


def test_a_word_waits_for_the_next_one() -> None:
    reader = Phonemizer(by_letter, ALPHABET)
    reader.push("one tw")
    assert reader.read() == []
    reader.push("o ")
    assert len(reader.read()) == 3
    reader.finish()
    assert not reader.finished
    assert len(reader.read(99)) == 4  # and the mark at the end
    assert reader.finished


def test_a_long_text_is_read_a_word_at_a_time() -> None:
    words = []

    def counting(letters: NDArray[np.int64]) -> NDArray[np.float32]:
        words.append(letters)
        return by_letter(letters)

    reader = Phonemizer(counting, ALPHABET)
    reader.push("The quick brown fox jumps over the lazy dog. " * 400)
    assert len(reader.read()) == 3
    assert len(words) == 1
    assert len(reader.read(10)) == 10
    assert len(words) == 3


def test_every_text_ends_a_sentence() -> None:
    assert read(["one"]) == read(["one,"]) == read(["one."]) == "one."
    assert read(["one?"]) == "one?"


def test_no_text_has_no_sounds() -> None:
    assert read([""]) == "" == read([" ", "😀"])


def test_window_names_its_word_and_neighbours() -> None:
    letters, first = spelling.window("hello,", "the", "apple")
    assert letters[first : first + 3].min() >= spelling.OWN
    assert spelling.PAUSE in letters[:first]
    assert letters[first + 3] == spelling.GAP
    assert (spelling.window("", "a", "")[0] == [spelling.EDGE, spelling.OWN, spelling.EDGE]).all()


def test_collapse_is_ctc() -> None:
    assert spelling.collapse(np.array([0, 3, 3, 0, 3, 5, 5, 0])) == [3, 3, 5]
    assert spelling.collapse(np.array([], dtype=np.int64)) == []
