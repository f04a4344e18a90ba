"""What holds for any text that is to be spoken, however it is written and however it is cut."""

# ruff: noqa: SIM905  word lists read better as text

from __future__ import annotations

import subprocess
import sys
import time
import unicodedata
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from muomni.speech.letters import LETTERS
from muomni.speech.normalise import MARKS, Normaliser, normalise

ANY_TEXT = st.text(max_size=60)
"""Every character of Unicode, surrogates too."""
LIKELY = st.sampled_from(
    "$1.50|5|1995|May|21,|2024|(555)|123-4567|+44|20|Dr.|St.|Main|a.m.|pm|10|km/h|€|million|J.|R.|U.S.|Ph.D.|VIII|"
    'Henry|World|War|I|**bold**|# |- |\n|\n\n|1.|[a|b](http://x.y|"t")|```|a@b.com|x|=|-5|5-10|½|1/2|20°|C|東京|'
    "hello|world.|No.|etc.|e.g.,|'90s|...|—|-|–|:)|*|5*3|²|\u00ad|\u200b|😀|%|&|#1|A|US|10am|5pm|3:30|T".split(
        "|"
    )
)
LIKELY_TEXT = st.lists(st.tuples(LIKELY, st.sampled_from(["", " ", " ", " ", "\n"]))).map(
    lambda parts: "".join(piece + space for piece, space in parts)
)
TEXT = st.one_of(ANY_TEXT, LIKELY_TEXT)
SIGNS_AMONG_LETTERS = "ʼﾞﾟ"
"""An apostrophe and two marks of sound, which Unicode counts as letters."""
SEEDED = settings(max_examples=200, derandomize=True, deadline=None)


def spoken(pieces: list[str]) -> list[str]:
    """Words and marks, read as soon as the pieces allow."""
    normaliser = Normaliser()
    out = []
    for piece in pieces:
        normaliser.push(piece)
        while (word := normaliser.next()) is not None:
            out.append(word)
    normaliser.finish()
    while (word := normaliser.next()) is not None:
        out.append(word)
    assert normaliser.finished
    return out


@SEEDED
@given(TEXT)
def test_only_letters_and_marks_come_out(text: str) -> None:
    words = spoken([text])
    assert all(word in MARKS or (word and set(word) <= set(LETTERS)) for word in words), words
    assert set(normalise(text)) <= set(LETTERS + MARKS + " ")


@SEEDED
@given(TEXT)
def test_what_is_normalised_stays_as_it_is(text: str) -> None:
    once = normalise(text)
    assert normalise(once) == once


@SEEDED
@given(TEXT, st.lists(st.integers(0, 400)))
def test_cuts_make_no_difference(text: str, cuts: list[int]) -> None:
    places = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    pieces = [text[a:b] for a, b in pairwise(places)]
    whole = spoken([text])
    assert spoken(pieces) == whole
    assert spoken(list(text)) == whole


@SEEDED
@given(
    st.text(
        st.characters(categories=["L", "N"], exclude_characters=SIGNS_AMONG_LETTERS), min_size=1, max_size=8
    )
)
def test_every_word_is_heard_or_noted(word: str) -> None:
    normaliser = Normaliser()
    normaliser.push(word)
    normaliser.finish()
    heard = normaliser.next()
    assert heard or normaliser.notes


def test_every_letter_of_the_common_scripts_is_heard_or_noted() -> None:
    for c in map(chr, range(0x3000)):
        if unicodedata.category(c)[0] in "LN" and c not in SIGNS_AMONG_LETTERS:
            normaliser = Normaliser()
            normaliser.push(c)
            normaliser.finish()
            assert normaliser.next() or normaliser.notes, ascii(c)


@SEEDED
@given(LIKELY_TEXT)
def test_only_a_few_tokens_are_waited_for(text: str) -> None:
    """What is spoken for a text does not wait for more than eight tokens behind it."""
    normaliser = Normaliser()
    normaliser.push(text + "\n\n" + " then" * 12)
    words = []
    while (word := normaliser.next()) is not None:
        words.append(word)
    assert words.count("then") >= 3


def test_letters_without_an_end_are_not_waited_for() -> None:
    """A script without spaces must not make one word of a whole book."""
    normaliser = Normaliser()
    normaliser.push("a" * 1000)
    assert normaliser.next() is not None


def test_a_plain_word_waits_for_nothing_but_its_end() -> None:
    normaliser = Normaliser()
    normaliser.push("hello wor")
    assert normaliser.next() == "hello"
    assert normaliser.next() is None
    normaliser.push("ld ")
    assert normaliser.next() == "world"


@pytest.mark.parametrize(
    "unit",
    ["word ", "1234-", "東京", "a", "5 ", "*_[(", "J. ", "+1 ", "<a ", "$", "\n", ". ", "a.b@", "1,234,", "e\u0301",
     "\u00a0", "(555) ", "May ", "1 000 "],
    ids=ascii,
)  # fmt: skip
def test_time_grows_with_the_length_alone(unit: str) -> None:
    """40 kB at a rate that a speaker never reaches; what grows with the square would take a minute."""
    text = unit * (40_000 // len(unit))
    normaliser = Normaliser()
    normaliser.push(text)
    normaliser.finish()
    start, read = time.process_time(), 0
    while normaliser.next() is not None and time.process_time() - start < 10:
        read += 1
    assert normaliser.finished, f"{read} words in 10 s"


def test_a_number_is_named_as_far_as_numbers_have_names() -> None:
    assert normalise("1" + 14 * "0") == "one hundred trillion"
    assert normalise("1" + 15 * "0") == "one" + 15 * " zero"


def test_one_tenth_is_no_mark_out_of_ten() -> None:
    assert normalise("1/10 of it, 9/10 for it") == "one tenth of it, nine out of ten for it"


def test_a_number_of_any_size_is_read() -> None:
    for text in ("1" + ",000" * 49 + "th", "9" * 199, "$" + "9" * 150 + ".50", "1e999", "9" * 15 + "th"):
        assert normalise(text)


def test_libraries_are_loaded_when_they_are_needed() -> None:
    code = """
import sys
from muomni.speech.normalise import normalise
normalise("Hello there, U.S.A., caf\u00e9!")
assert not {"num2words", "anyascii"} & set(sys.modules)
normalise("5 \u6771")
assert {"num2words", "anyascii"} <= set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_first_word_of_a_long_text_comes_at_once() -> None:
    normaliser = Normaliser()
    normaliser.push("The year 1995 was long. " * 200_000)
    start = time.process_time()
    assert [normaliser.next() for _ in range(4)] == ["the", "year", "nineteen", "ninety"]
    assert time.process_time() - start < 0.2


def test_other_scripts_are_spoken_and_noted() -> None:
    normaliser = Normaliser()
    normaliser.push("I met Владимир in 東京, Владимир. ")
    normaliser.finish()
    words = []
    while (word := normaliser.next()) is not None:
        words.append(word)
    assert "vladimir" in words and "dong" in words
    assert normaliser.notes == [
        "words in other scripts were spoken from their Latin spelling: Владимир (Vladimir), 東京 (dong jing)"
    ]


def test_a_character_without_a_reading_is_noted() -> None:
    normaliser = Normaliser()
    normaliser.push("a \ue123 b")
    normaliser.finish()
    while normaliser.next() is not None:
        pass
    assert normaliser.notes == ["characters that have no reading were left out of the speech: U+E123"]


def test_half_a_surrogate_pair_leaves_a_note_that_can_be_printed() -> None:
    normaliser = Normaliser()
    normaliser.push("a 日本\ud800語 b")
    normaliser.finish()
    while normaliser.next() is not None:
        pass
    assert len(normaliser.notes) == 2
    assert "".join(normaliser.notes).encode()
