"""``muomni-run --batch``: resumable, and one bad line does not stop the rest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

DATA = Path(__file__).parents[1] / "data" / "parity" / "inputs"


def write(path: Path, *lines: Any) -> Path:
    texts = (line if isinstance(line, str) else json.dumps(line) for line in lines)
    path.write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
    return path


def replies(path: Path) -> dict[Any, dict[str, Any]]:
    return {value["id"]: value for value in map(json.loads, path.read_text(encoding="utf-8").splitlines())}


@pytest.fixture
def answer(parity_bundle: Path, muomni_run: Any, tmp_path: Path) -> Any:
    def run(*extra: Any) -> Any:
        files = ("--batch", tmp_path / "in.jsonl", "--out", tmp_path / "out.jsonl")
        return muomni_run("--model", parity_bundle, *files, *extra)

    return run


def test_each_line_gets_the_reply_it_gets_alone(
    answer: Any, muomni_run: Any, parity_bundle: Path, tmp_path: Path
) -> None:
    image = tmp_path / "picture.png"
    image.write_bytes((DATA / "image0.png").read_bytes())
    write(
        tmp_path / "in.jsonl",
        {"text": "Hello, how are you?", "max_new_tokens": 9},
        {"id": "seen", "text": "What do you see?", "images": ["picture.png"]},
        {"id": ["any", "json"], "audio": str(DATA / "speech_16k.wav"), "seed": None},
    )
    result = answer("--max-new-tokens", 6)
    assert (result.code, result.out) == (0, "")
    found = {json.dumps(key): value for key, value in _pairs(tmp_path / "out.jsonl")}
    for key, arguments in (
        ("1", ["--text", "Hello, how are you?", "--max-new-tokens", 9]),
        ('"seen"', ["--text", "What do you see?", "--image", image, "--max-new-tokens", 6]),
        ('["any", "json"]', ["--audio-in", DATA / "speech_16k.wav", "--max-new-tokens", 6]),
    ):
        alone = json.loads(muomni_run("--json", "--model", parity_bundle, *arguments).out)
        assert found[key]["token_ids"] == alone["token_ids"]
        assert found[key].keys() - {"id", "request"} == alone.keys()


def _pairs(path: Path) -> list[tuple[Any, dict[str, Any]]]:
    return [(value["id"], value) for value in map(json.loads, path.read_text(encoding="utf-8").splitlines())]


def test_bad_lines_are_answered_with_what_is_wrong(answer: Any, tmp_path: Path) -> None:
    bad = {
        "not json": "not JSON",
        "[1]": "expected a JSON object",
        '{"text": "x", "colour": 1}': "unknown key 'colour'",
        '{"text": 7}': "text: expected str",
        '{"text": "x", "top_k": true}': "top_k: expected int",
        '{"text": "x", "temperature": -1}': "temperature",
        '{"text": "x", "images": "a.png"}': "images: expected list",
        '{"text": "x", "images": ["nowhere.png"]}': "no such file",
        '{"text": "x", "max_new_tokens": 0}': "at least 1",
        "{}": "nothing to answer",
    }
    write(tmp_path / "in.jsonl", *bad, {"text": "hi"})
    result = answer("--max-new-tokens", 3, "--slots", 2)
    assert result.code == 1
    assert f"1 answered, {len(bad)} failed" in result.err
    found = replies(tmp_path / "out.jsonl")
    for number, says in enumerate(bad.values(), start=1):
        assert says in found[number]["error"]
    assert len(found[len(bad) + 1]["token_ids"]) == 3


def test_a_second_run_asks_only_what_has_no_reply(answer: Any, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    write(tmp_path / "in.jsonl", {"text": "one"}, "broken", {"text": "three"})
    assert answer("--max-new-tokens", 2).code == 1
    before = replies(out)
    # As an interruption leaves it: the last line is cut, and one reply is still to come.
    kept = [line for line in out.read_text().splitlines() if json.loads(line)["id"] != 3]
    out.write_text("\n".join(kept) + '\n{"id": 3, "te')
    write(tmp_path / "in.jsonl", {"text": "one"}, {"text": "two"}, {"text": "three"}, {"text": "four"})
    result = answer("--max-new-tokens", 2)
    assert result.code == 0
    assert "1 of 4 requests have their reply" in result.err and "3 answered, 0 failed" in result.err
    after = replies(out)
    assert len(out.read_text().splitlines()) == 4
    assert after[1] == before[1] and after[3]["token_ids"] == before[3]["token_ids"]
    assert answer("--max-new-tokens", 2).code == 0


@pytest.mark.parametrize(
    ("lines", "out", "code", "says"),
    [
        ([{"id": 1, "text": "a"}, {"id": 1, "text": "b"}], None, 2, "stands in an earlier line"),
        ([{"text": "a"}], "a poem, not replies\nand more\n", 1, "no reply of muomni's"),
        ([{"text": "a"}], '{"no id": 1}\n', 1, "no reply of muomni's"),
    ],
)
def test_unusable_files_are_refused_and_left_alone(
    answer: Any, tmp_path: Path, lines: list[Any], out: str | None, code: int, says: str
) -> None:
    write(tmp_path / "in.jsonl", *lines)
    if out is not None:
        (tmp_path / "out.jsonl").write_text(out)
    result = answer()
    assert result.code == code and says in result.err
    assert (tmp_path / "out.jsonl").exists() == (out is not None)
    if out is not None:
        assert (tmp_path / "out.jsonl").read_text() == out


def test_options_that_do_not_go_together_are_wrong_usage(
    answer: Any, muomni_run: Any, parity_bundle: Path
) -> None:
    assert "leave out --text" in answer("--text", "x").err
    result = muomni_run("--model", parity_bundle, "--batch", "x.jsonl")
    assert result.code == 2 and "--batch needs --out" in result.err
