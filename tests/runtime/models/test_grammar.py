"""Replies that follow a grammar: what comes is valid, or says that it was cut."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st

import muomni
from muomni import Grammar, InputError, Request
from muomni.bundle.manifest import TokenizerEntry
from muomni.models.grammar import Grammars
from muomni.models.tokenizer import Tokenizer

ROOT = Path(__file__).parents[3]
ANSWER = {
    "type": "object",
    "properties": {"sum": {"type": "integer", "minimum": 0, "maximum": 99}, "sure": {"type": "boolean"}},
}
ANSWER |= {"required": ["sum", "sure"], "additionalProperties": False}
ASCII = st.text(
    st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="\\"), min_size=1, max_size=6
)


@pytest.fixture(scope="module")
def omni() -> Iterator[muomni.Omni]:
    with muomni.Omni.load(device="cpu", threads=1) as loaded:
        yield loaded


@pytest.fixture(scope="module", params=["identity, spaces kept", "nmt_nfkc, spaces dropped"])
def byte_tokenizer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    """A tokenizer with byte pieces, whose text begins in either way."""
    folder = tmp_path_factory.mktemp("tokenizer")
    (folder / "text.txt").write_text((ROOT / "README.md").read_text(encoding="utf-8"), encoding="utf-8")
    drops = request.param.endswith("dropped")
    sentencepiece.SentencePieceTrainer.train(
        input=str(folder / "text.txt"),
        model_prefix=str(folder / "model"),
        vocab_size=600,
        model_type="bpe",
        byte_fallback=True,
        character_coverage=0.98,
        add_dummy_prefix=drops,
        remove_extra_whitespaces=drops,
        normalization_rule_name=request.param.partition(",")[0],
        minloglevel=2,
    )
    model = sentencepiece.SentencePieceProcessor(model_file=str(folder / "model.model"))
    ids = {"bos_id": model.bos_id(), "eos_id": model.eos_id(), "unk_id": model.unk_id()}
    return Tokenizer(folder / "model.model", TokenizerEntry("model.model", model.get_piece_size(), **ids))


def schemas(texts: st.SearchStrategy[str]) -> st.SearchStrategy[dict[str, Any]]:
    leaves = st.one_of(
        st.sampled_from([{"type": kind} for kind in ("integer", "number", "boolean", "null")]),
        st.builds(lambda n: {"type": "string", "maxLength": n}, st.integers(0, 8)),
        st.builds(
            lambda a, b: {"type": "integer", "minimum": a, "maximum": a + b},
            st.integers(-(2**52), 2**52),
            st.integers(0, 99),
        ),
        st.builds(
            lambda values: {"enum": values},
            st.lists(texts | st.integers(-(2**53), 2**53) | st.none(), min_size=1, max_size=3),
        ),
    )

    def wider(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        arrays = st.builds(
            lambda item, n: {"type": "array", "items": item, "maxItems": n}, inner, st.integers(0, 3)
        )
        objects = st.builds(
            lambda fields, strict: {
                "type": "object",
                "properties": fields,
                "required": list(fields)[::2],
                **({"additionalProperties": False} if strict else {}),
            },
            st.dictionaries(texts, inner, max_size=3),
            st.booleans(),
        )
        return (
            arrays
            | objects
            | st.builds(lambda some: {"anyOf": some}, st.lists(inner, min_size=1, max_size=3))
        )

    return st.recursive(leaves, wider, max_leaves=6)


def check(schema: dict[str, Any], text: str) -> None:
    jsonschema.validate(json.loads(text), schema)


@settings(max_examples=40, deadline=None)
@given(schema=schemas(ASCII), temperature=st.sampled_from([0.0, 1.5]))
def test_the_demos_replies_follow_any_schema(
    omni: muomni.Omni, schema: dict[str, Any], temperature: float
) -> None:
    grammar = Grammar.json_schema(schema)
    reply = omni.generate("Hello!", grammar=grammar, temperature=temperature, seed=1, max_new_tokens=96)
    if reply.finish_reason == "stop":
        check(schema, reply.text)
    else:
        assert reply.finish_reason == "length" and reply.completion_tokens == 96


@settings(max_examples=60, deadline=None)
@given(
    schema=schemas(st.text(min_size=1, max_size=6)), seed=st.integers(0, 999), extra=st.sampled_from([0, 40])
)
def test_random_logits_make_valid_text_of_any_unicode(
    byte_tokenizer: Tokenizer, schema: dict[str, Any], seed: int, extra: int
) -> None:
    """With byte pieces every character can be written; a head may have more rows than the tokenizer has pieces."""
    constraint = Grammars(byte_tokenizer).start(Grammar.json_schema(schema))
    random = np.random.default_rng(seed)
    ids: list[int] = []
    while len(ids) < 200:
        logits = random.normal(size=byte_tokenizer.pieces + extra).astype(np.float32)
        token = int(constraint.masked(logits).argmax())
        if token == byte_tokenizer.eos_id:
            return check(schema, byte_tokenizer.decode(ids))
        constraint.take(token)
        ids.append(token)
    return None


@settings(max_examples=100, deadline=None)
@given(
    text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n\r\x00\u2581"), max_size=12),
    seed=st.integers(0, 99),
)
def test_a_text_is_written_exactly_by_any_of_its_pieces(
    byte_tokenizer: Tokenizer, text: str, seed: int
) -> None:
    """Spaces at its beginning as well, which SentencePiece drops in its own way."""
    constraint = Grammars(byte_tokenizer).start(Grammar.regex(re.escape(text)))
    random, ids = np.random.default_rng(seed), list[int]()
    while True:
        logits = random.normal(size=byte_tokenizer.pieces).astype(np.float32)
        token = int(constraint.masked(logits).argmax())
        if token == byte_tokenizer.eos_id:
            break
        constraint.take(token)
        ids.append(token)
    assert byte_tokenizer.decode(ids) == text


def test_kinds_of_grammars(omni: muomni.Omni) -> None:
    said = omni.generate("What is two plus three?", grammar=Grammar.regex("(four|five) apples?")).text
    assert re.fullmatch("(four|five) apples?", said)
    options: dict[str, Any] = {"grammar": Grammar.json_object(), "temperature": 5.0, "max_new_tokens": 200}
    drawn = [omni.generate("Hello!", seed=seed, **options) for seed in range(8)]
    whole = [json.loads(reply.text) for reply in drawn if reply.finish_reason == "stop"]
    assert whole and all(isinstance(value, dict) for value in whole)
    lark = 'start: "it is " WORD ("." | "!")\nWORD: /[a-z]{3,5}/'
    assert re.fullmatch(r"it is [a-z]{3,5}[.!]", omni.generate("Hello!", grammar=Grammar.lark(lark)).text)


@pytest.mark.parametrize(
    ("grammar", "said"),
    [
        (Grammar.json_schema({"type": "array", "uniqueItems": True}), "uniqueItems"),
        (Grammar.json_schema({"type": "text"}), "text"),
        (Grammar.json_schema({"$ref": "#/$defs/none"}), "none"),
        (Grammar.regex("a("), "unclosed|a\\("),
        (Grammar.lark("start: other"), "other"),
        (Grammar.lark('%llguidance {"no_forcing": false}\nstart: "a"'), "%llguidance"),
        (Grammar.regex("\u4f60"), "cannot write"),
    ],
)
def test_what_cannot_be_enforced_is_refused(omni: muomni.Omni, grammar: Grammar, said: str) -> None:
    with pytest.raises(InputError, match=said):
        omni.generate("Hello!", grammar=grammar)
    one, other = omni.generate_batch([Request("Hello!", grammar=grammar), "Hello!"])
    assert isinstance(one, InputError)
    assert isinstance(other, muomni.Reply) and other.text == omni.generate("Hello!").text


def test_deep_and_huge_sources_are_errors(omni: muomni.Omni) -> None:
    deep: dict[str, Any] = {"type": "string"}
    for _ in range(300):
        deep = {"type": "array", "items": deep}
    for grammar in (Grammar.json_schema(deep), Grammar.regex("(" * 5000 + ")" * 5000)):
        with pytest.raises(InputError):
            omni.generate("Hello!", grammar=grammar)
    for wrong in (5, None, "x", []):
        with pytest.raises(InputError, match="grammar"):
            Grammar.json_schema(wrong)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="grammar"):
        Grammar.json_schema({"const": {1, 2}})
    with pytest.raises(InputError, match="9007199254740993"):  # llguidance would write ...992
        Grammar.json_schema({"properties": {"id": {"const": -(2**53) - 1}}})
    with pytest.raises(InputError, match=r"muomni\.Grammar"):
        omni.generate("Hello!", grammar=ANSWER)  # type: ignore[arg-type]


def test_it_goes_with_the_other_options(omni: muomni.Omni) -> None:
    grammar = Grammar.json_schema(ANSWER)
    options: dict[str, Any] = {"temperature": 1.2, "top_k": 50, "top_p": 0.95, "repetition_penalty": 1.3}
    options |= {"presence_penalty": 0.5, "frequency_penalty": 0.5, "seed": 3, "logprobs": 2}
    reply = omni.generate("What is two plus three?", grammar=grammar, max_new_tokens=60, **options)
    check(ANSWER, reply.text)
    assert len(reply.logprobs) == len(reply.token_ids) and all(
        np.isfinite(one.logprob) for one in reply.logprobs
    )
    again = omni.generate("What is two plus three?", grammar=grammar, max_new_tokens=60, **options)
    assert again.token_ids == reply.token_ids  # from the cache of prompts, too
    cut = omni.generate("What is two plus three?", grammar=grammar, max_new_tokens=4)
    assert cut.finish_reason == "length" and cut.text.startswith("{")
    assert omni.generate("Hello!", grammar=grammar, stop=['"']).text.strip() == "{"
    pieces = [e.text for e in omni.stream("Hello!", grammar=grammar) if isinstance(e, muomni.TextDelta)]
    check(ANSWER, "".join(pieces))
    assert len(pieces) > 1


def test_in_a_batch_each_has_its_own(omni: muomni.Omni) -> None:
    asked = [
        Request("What is two plus three?", grammar=Grammar.json_schema(ANSWER)),
        Request("Hello!"),
        Request("What is two plus three?", grammar=Grammar.regex("yes|no")),
    ]
    alone = [omni.generate(request).text for request in asked]
    together = omni.generate_batch(asked, slots=3)
    assert [reply.text for reply in together if isinstance(reply, muomni.Reply)] == alone
    assert alone[2] in ("yes", "no")


def test_a_turn_of_a_conversation_and_of_its_fork(omni: muomni.Omni) -> None:
    chat = omni.chat()
    chat.say("My name is Ada.")
    fork = chat.fork()
    assert chat.say("Is my name Ada?", grammar=Grammar.regex("yes|no")).text in ("yes", "no")
    with pytest.raises(InputError, match="cannot write"):
        fork.say("Is my name Ada?", grammar=Grammar.regex("y\u4f60"))
    assert fork.turns == 1 and "Ada" in fork.say("What is my name?").text


def test_without_the_package_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "llguidance", None)
    with (
        muomni.Omni.load(threads=1) as omni,
        pytest.raises(muomni.MissingPackageError, match=r"muomni\[grammar\]"),
    ):
        omni.generate("Hello!", grammar=Grammar.json_object())
