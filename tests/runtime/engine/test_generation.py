"""The text stream: what is sent joins to the text, and stop strings never leak."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest

from muomni.engine.generation import TextStream


class ByteTokenizer:
    """Ids are the bytes of UTF-8 text; an incomplete character decodes to U+FFFD, as SentencePiece does."""

    def decode(self, ids: Sequence[int]) -> str:
        return bytes(ids).decode("utf-8", errors="replace")


def stream(text: str, stop: Sequence[str]) -> tuple[str, list[str], bool]:
    pieces: list[str] = []
    out = TextStream(ByteTokenizer(), stop, pieces.append)  # type: ignore[arg-type]
    ids = text.encode()
    stopped = any(out.update(ids[: n + 1]) for n in range(len(ids)))
    return out.finish(), pieces, stopped


@pytest.mark.parametrize("text", ["hello", "naïve 日本語 🙂!", "", "ends in €"])
def test_pieces_join_to_the_text_and_hold_no_broken_character(text: str) -> None:
    whole, pieces, stopped = stream(text, [])
    assert (whole, "".join(pieces), stopped) == (text, text, False)
    assert all("�" not in piece for piece in pieces)


@pytest.mark.parametrize(
    ("stop", "expected"),
    [
        (["END"], "one two "),
        (["x", "END"], "one two "),
        (["ND"], "one two E"),
        (["ND", "END"], "one two "),
    ],
)
def test_text_ends_before_the_stop_string_and_nothing_of_it_is_sent(stop: list[str], expected: str) -> None:
    whole, pieces, stopped = stream("one two END three", stop)
    assert stopped
    assert whole == "".join(pieces) == expected


def test_a_beginning_of_a_stop_string_is_sent_once_it_turns_out_otherwise() -> None:
    for length in itertools.product("ab", repeat=6):
        text = "".join(length)
        whole, pieces, stopped = stream(text, ["abab"])
        expected = text.split("abab")[0]
        assert whole == "".join(pieces) == expected
        assert stopped == ("abab" in text)


def test_an_empty_stop_string_stops_nothing() -> None:
    assert stream("abc", [""])[0] == "abc"
