"""JSON Lines in: every line is a request or an error of its own, whatever stands in it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from muomni.cli.requests_file import schema_in
from muomni.errors import InputError
from muomni.jsonl.replies import json_line
from muomni.jsonl.requests import Line, read_requests
from muomni.models.grammar import Grammar
from muomni.requests import Request, as_request

ANY_TEXT = st.text()  # without halves of surrogate pairs
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_TEXT, inner, max_size=3),
    max_leaves=5,
)


def read(text: str | bytes, folder: Path = Path(), **defaults: Any) -> list[Line]:
    return read_requests(text.encode() if isinstance(text, str) else text, "q.jsonl", folder, defaults)


def error(text: str) -> str:
    (line,) = read(text)
    assert isinstance(line.wanted, InputError)
    return str(line.wanted)


@given(st.lists(ANY_TEXT, min_size=1, max_size=5), st.booleans())
@settings(deadline=None)
def test_any_text_survives(texts: list[str], ascii_only: bool) -> None:
    source = "\n".join(json.dumps({"text": text}, ensure_ascii=ascii_only) for text in texts)
    lines = read(source)
    assert [line.wanted for line in lines] == [Request(text) for text in texts]
    assert [line.id for line in lines] == list(range(1, len(texts) + 1))


@given(JSON.filter(lambda value: value is not None))
@settings(deadline=None)
def test_any_json_is_an_id(name: Any) -> None:
    (line,) = read(json.dumps({"id": name, "text": "x"}, ensure_ascii=False))
    assert json.loads(line.key) == name


@example({"text": "\n \x0b \x1c \x85 \u2028 \u2029"})
@given(st.dictionaries(st.text(), JSON | st.text(), max_size=4))
@settings(deadline=None, max_examples=50)
def test_what_is_written_is_one_line_for_every_reader(value: dict[str, Any]) -> None:
    line = json_line(value)
    assert json.loads(line) == value
    assert len(line.splitlines()) == 1 and line.encode()


@given(st.binary(max_size=60))
@settings(deadline=None)
def test_no_bytes_are_a_traceback(data: bytes) -> None:
    try:
        lines = read(data)
    except InputError:
        return
    assert all(isinstance(line.wanted, (Request, InputError)) for line in lines)


def test_blank_lines_carriage_returns_and_a_byte_order_mark() -> None:
    lines = read('\ufeff{"text": "a"}\r\n\r\n  \n{"text": "b"}')
    assert [(line.id, line.wanted) for line in lines] == [(1, Request("a")), (4, Request("b"))]


def test_null_is_the_default() -> None:
    (line,) = read('{"id": null, "text": "a", "seed": null, "max_new_tokens": null}', max_new_tokens=7)
    assert line.id == 1 and line.wanted == Request("a", max_new_tokens=7)


def test_files_are_relative_to_the_requests(tmp_path: Path) -> None:
    (line,) = read('{"images": ["a.png", "/b.png"], "audio": "c.wav", "video": "d.mp4"}', tmp_path)
    assert line.wanted == Request(
        images=(tmp_path / "a.png", Path("/b.png")), audio=tmp_path / "c.wav", video=tmp_path / "d.mp4"
    )


def test_all_options_of_a_line_win_over_the_command_line() -> None:
    said = {"temperature": 1, "top_k": 5, "top_p": 0.5, "repetition_penalty": 2, "seed": 3, "stop": "a"}
    (line,) = read(
        json.dumps({"text": "x", "logprobs": 2, **said}), temperature=0.0, stop=["b"], truncate=True
    )
    assert line.wanted == as_request("x", logprobs=2, truncate=True, **said)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("nonsense", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[1]", "expected a JSON object, got list"),
        ('"text"', "expected a JSON object, got str"),
        ('{"text": "x", "seed": ' + "9" * 5000 + "}", "not JSON"),
        ('{"text": "x", "temperature": NaN}', "NaN is no JSON number"),
        ('{"text": "x", "temperature": 1' + "0" * 400 + "}", "is too large"),
        ('{"text": "x", "temperature": 1e400}', "temperature: expected 0"),
        ('{"text": "x", "text": "y"}', "the key 'text' stands in it twice"),
        ('{"text": "x", "colour": null}', "unknown key 'colour'"),
        ('{"text": "half \\ud800"}', "half of a surrogate pair"),
        ('{"text": "x", "stop": ["\\udfff"]}', "half of a surrogate pair"),
        ('{"text": 7}', "text: expected str, got int"),
        ('{"text": "x", "top_k": true}', "top_k: expected int, got bool"),
        ('{"text": "x", "top_k": 2.0}', "top_k: expected int, got float"),
        ('{"text": "x", "truncate": 1}', "truncate: expected bool, got int"),
        ('{"text": "x", "ocr": 1, "images": ["a.png"]}', "ocr: expected bool, got int"),
        ('{"text": "x", "ocr": true}', "ocr: expected an image whose text is to be read, got none"),
        ('{"text": "x", "images": "a.png"}', "images: expected list, got str"),
        ('{"text": "x", "images": [1]}', "images: expected a list of strings"),
        ('{"text": "x", "stop": [null]}', "stop: expected a list of strings"),
        ('{"text": "x", "max_new_tokens": 0}', "at least 1"),
    ],
    ids=lambda value: value[:40],
)
def test_what_is_wrong_is_said(source: str, says: str) -> None:
    assert says in error(source)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ('{"id": 1, "text": "a"}\n{"id": 1, "text": "b"}', "line 2: the id 1 stands in an earlier line"),
        ('{"id": 2, "text": "a"}\n{"text": "b"}', "line 2: the id 2 stands"),
        ('{"id": {"a": 1, "b": 2}}\n{"id": {"b": 2, "a": 1}}', "line 2"),
        ('{"text": "a"}'.encode("utf-16"), "cannot be read as UTF-8"),
    ],
)
def test_a_file_that_cannot_be_answered_is_refused_whole(source: str | bytes, says: str) -> None:
    with pytest.raises(InputError, match=r"q\.jsonl") as caught:
        read(source)
    assert says in str(caught.value)


def test_a_digest_is_of_all_that_decides_the_reply(tmp_path: Path) -> None:
    picture = tmp_path / "a.png"
    picture.write_bytes(b"one")
    plain, *others = (
        '{"text": "x", "images": ["a.png"]}',
        '{"text": "y", "images": ["a.png"]}',
        '{"text": "x"}',
        '{"text": "x", "images": ["a.png", "a.png"]}',
        '{"text": "x", "images": ["a.png"], "max_new_tokens": 3}',
        '{"text": "x", "images": ["a.png"], "temperature": 0.5}',
        '{"text": "x", "images": ["a.png"], "stop": "e"}',
        '{"text": "x", "images": ["missing.png"]}',
    )
    digest = read(plain, tmp_path)[0].digest("model")
    assert len({digest, *(read(other, tmp_path)[0].digest("model") for other in others)}) == 1 + len(others)
    assert read(plain, tmp_path)[0].digest("another model") != digest
    # Neither the name of the request, nor the place of its files, nor the spelling of a default.
    (same,) = read(f'{{"id": "q", "top_k": 0, "text": "x", "images": ["{picture.as_posix()}"]}}')
    assert same.digest("model") == digest
    picture.write_bytes(b"two")
    assert read(plain, tmp_path)[0].digest("model") != digest


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_a_digest_waits_for_no_pipe_and_no_device(tmp_path: Path) -> None:
    """Reading one to its end would take forever, or what it holds from the reply."""
    os.mkfifo(tmp_path / "pipe")
    digests = {
        read(json.dumps({"audio": str(path)}))[0].digest("model") for path in (tmp_path / "pipe", "/dev/zero")
    }
    assert len(digests) == 2


def test_a_file_that_is_no_schema_is_refused_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "schema.json"
    with pytest.raises(InputError, match=r"schema\.json: cannot be read"):
        schema_in(path)
    for content in ("[1]", "{", '{"const": 9007199254740993}', "[" * 100_000):
        path.write_text(content)
        with pytest.raises(InputError, match=r"schema\.json: not a JSON schema"):
            schema_in(path)
    path.write_text('{"type": "integer"}')
    assert schema_in(path) == Grammar.json_schema({"type": "integer"})
