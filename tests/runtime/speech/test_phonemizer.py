"""Text on its way to sounds: normalising, spelling windows, reading in pieces."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from muomni.speech import letters as spelling
from muomni.speech.normalise import MARKS, normalise
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
    for piece in pieces:
        reader.feed(piece)
    reader.finish()
    return "".join(
        MARKS[n - 1] if n < FIRST_PHONEME else ALPHABET.symbols[(n - FIRST_PHONEME) // 2]
        for n in reader.phonemes
    )


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("It's 3:30, Dr. Who!", "it's three thirty, doctor who!"),
        ("5 - 3 = 2", "five minus three equals two"),
        ("x=-2.5", "ex equals minus two point five"),
        ("$1, €3.", "one dollar, three euros."),
        ("1,234.50", "one thousand two hundred thirty four point five zero"),
        ("the 21st of May", "the twenty first of may"),
        ("well-known “quotes”... yes?", "well known quotes. yes?"),
        ("A GPU runs HTML", "a jee pee you runs aitch tee em ell"),
        ("THE CAT SAT", "the cat sat"),
        ("café naïve", "cafe naive"),
        ("007", "zero zero seven"),
        ("no — wait", "no, wait"),
        ("  \n ", ""),
        ("?!", ""),
    ],
)
def test_normalise(written: str, spoken: str) -> None:
    assert normalise(written) == spoken


def test_normalised_text_has_few_characters() -> None:
    allowed = set(spelling.LETTERS + MARKS + " ")
    rng = np.random.default_rng(0)
    for _ in range(300):
        text = "".join(chr(c) for c in rng.integers(32, 600, 30))
        spoken = normalise(text)
        assert set(spoken) <= allowed, text


def test_pieces_make_no_difference() -> None:
    text = "Hello , I have 3.5 apples — and you ? Don't (ever) ask"
    whole = read([text])
    assert whole == "hello,ihavethreepointfiveapples,andyou?don'teverask."
    assert read(list(text)) == whole
    assert read([text[:7], text[7:30], "", text[30:]]) == whole


def test_a_word_waits_for_the_next_one() -> None:
    reader = Phonemizer(by_letter, ALPHABET)
    reader.feed("one tw")
    assert reader.phonemes == []
    reader.feed("o ")
    assert len(reader.phonemes) == 3
    reader.finish()
    assert len(reader.phonemes) == 7  # and the mark at the end


def test_no_text_has_no_sounds() -> None:
    assert read([""]) == "" == read([" ", "日本"])


def test_window_names_its_word_and_neighbours() -> None:
    letters, first = spelling.window("hello,", "the", "apple")
    assert letters[first : first + 3].min() >= spelling.OWN
    assert spelling.PAUSE in letters[:first]
    assert letters[first + 3] == spelling.GAP
    assert (spelling.window("", "a", "")[0] == [spelling.EDGE, spelling.OWN, spelling.EDGE]).all()


def test_collapse_is_ctc() -> None:
    assert spelling.collapse(np.array([0, 3, 3, 0, 3, 5, 5, 0])) == [3, 3, 5]
    assert spelling.collapse(np.array([], dtype=np.int64)) == []
