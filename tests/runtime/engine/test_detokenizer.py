"""The text stream: what is sent joins to the text, and stop strings never leak."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
import sentencepiece
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from muomni.bundle.manifest import TokenizerEntry
from muomni.engine.detokenizer import Detokenizer
from muomni.models.tokenizer import Tokenizer


class ByteTokenizer:
    """Ids are the bytes of UTF-8 text; an incomplete character decodes to U+FFFD, as SentencePiece does."""

    def decode(self, ids: Sequence[int]) -> str:
        return bytes(ids).decode("utf-8", errors="replace")

    def is_text(self, token: int) -> bool:
        return True

    def is_continuation_byte(self, token: int) -> bool:
        return 0x80 <= token < 0xC0

    def text_after(self, token: int) -> tuple[str, int]:
        return "", 0


def stream(text: str, stop: Sequence[str]) -> tuple[str, list[str], bool]:
    """The whole text, the pieces sent before it was over, and whether a stop string ended it."""
    out = Detokenizer(ByteTokenizer(), stop)
    pieces = [out.push(token) for token in text.encode()]
    return "".join(pieces) + out.finish(), pieces, out.stopped


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
        assert whole == expected
        assert expected.startswith("".join(pieces))
        assert stopped == ("abab" in text)


def test_an_empty_stop_string_stops_nothing() -> None:
    assert stream("abc", [""])[0] == "abc"


@pytest.fixture(scope="module")
def byte_fallback(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    """A real tokenizer with pieces for single bytes."""
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.model"
    words = [
        "the",
        "quick",
        "brown",
        "fox",
        "jumps",
        "over",
        "a",
        "lazy",
        "dog",
        "and",
        "some",
        "more",
        "words",
        "to",
        "have",
        "pieces",
        "of",
    ]
    lines = [" ".join(words[i:] + words[:i]) for i in range(len(words))]
    with path.open("wb") as file:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(lines * 5),
            model_writer=file,
            vocab_size=330,
            byte_fallback=True,
            hard_vocab_limit=False,
            minloglevel=2,
        )
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(path)).get_piece_size()
    return Tokenizer(path, TokenizerEntry(path.name, pieces, 0, 1, 2))


def tokens(tokenizer: Tokenizer, draw: st.DrawFn) -> list[int]:
    """Any ids, with many whole characters cut into bytes, lone bytes and special ids among them."""
    character = st.sampled_from("é日🙂€").map(lambda c: byte_ids(tokenizer, c))
    anything = st.integers(0, tokenizer.pieces + 2).map(lambda i: [i])
    parts = draw(st.lists(st.one_of(anything, character, anything), max_size=40))
    return [token for part in parts for token in part]


def byte_ids(tokenizer: Tokenizer, text: str) -> list[int]:
    return [int(tokenizer._model.piece_to_id(f"<0x{byte:02X}>")) for byte in text.encode()]


@given(data=st.data())
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_pieces_join_to_what_all_ids_at_once_decode_to(byte_fallback: Tokenizer, data: st.DataObject) -> None:
    ids = data.draw(st.composite(lambda draw: tokens(byte_fallback, draw))())
    out = Detokenizer(byte_fallback)
    pieces = [out.push(token) for token in ids]
    assert "".join(pieces) + out.finish() == byte_fallback.decode(ids)


def test_the_next_id_costs_as_many_decoded_ids_however_long_the_text_is(byte_fallback: Tokenizer) -> None:
    """All ids were decoded anew for each: 2.4 ms an id after 4,096 of them."""
    decoded: list[int] = []

    class Counting(ByteTokenizer):
        def decode(self, ids: Sequence[int]) -> str:
            decoded.append(len(ids))
            return super().decode(ids)

    out = Detokenizer(Counting())
    for token in "日本語 and so on, ".encode() * 50:
        out.push(token)
    assert max(decoded) < 16
