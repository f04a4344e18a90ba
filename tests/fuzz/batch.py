"""The two files of ``--batch``: JSON Lines of requests and of replies, read by the functions of the command."""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.fuzz.kind import Kind
from tests.fuzz.structure import vary_lines

from muomni.errors import MuomniError

if TYPE_CHECKING:
    import muomni

MODEL = "f" * 64
DEFAULTS = {"max_new_tokens": 2}
REQUESTS = (
    {"text": "Hello!"},
    {"id": "x", "text": "Wie geht's? \u2028 \u00fc", "temperature": 0.7, "top_k": 5, "top_p": 0.9, "seed": 3},
    {"id": 7, "text": "hello", "repetition_penalty": 1.2, "presence_penalty": 0.5, "frequency_penalty": -0.5},
    {"id": [1, {"a": None}], "text": "hi there", "stop": ["a", "the"], "logprobs": 3, "max_new_tokens": 3},
    {"id": "media", "images": ["none.png"], "prompt": "What is it?"},
    {"id": None, "audio": "none.wav", "truncate": True},
    {"id": "film", "video": "none.mp4", "video_frames": 2},
)


@cache
def demo() -> muomni.Omni:
    import muomni

    return muomni.Omni.load(device="cpu", threads=1)


def _request_samples() -> list[bytes]:
    lines = [json.dumps(request, ensure_ascii=False) + "\n" for request in REQUESTS]
    return [line.encode() for line in lines[:4]] + ["".join(lines).encode(), ("\ufeff" + lines[0]).encode()]


def _read_requests(path: Path) -> None:
    from muomni.cli.batch import answer_file
    from muomni.cli.console import Console
    from muomni.cli.session import Session

    class Demo(Session):
        def load(self, one_request: bool = False) -> muomni.Omni:
            return demo()

    session = Demo(Console("fuzz", quiet=True), None, "cpu", 1, as_json=True)
    answer_file(session, path, Path(os.devnull), 4, DEFAULTS)


def _lines() -> list[Any]:
    from muomni.jsonl.requests import read_requests

    return read_requests(_request_samples()[4], "requests", Path(), DEFAULTS)


def _reply_samples() -> list[bytes]:
    from muomni.cli.replies_file import reply_line

    lines = _lines()
    made = [
        reply_line(line.id, line.digest(MODEL), {"text": "a reply", "token_ids": [1, 2]}) for line in lines
    ]
    failed = [reply_line(line.id, line.digest(MODEL), {"error": "no such file"}) for line in lines]
    return [
        b"".join(made[:3]),
        b"".join(made),
        b"".join([*failed[:3], *made[3:]]),
        b"".join([*made[:2], failed[0], failed[4]]),
        made[0][:-1],
        made[1] + made[2][:40],
    ]


def _read_replies(path: Path) -> None:
    """Go on with a file of replies. One that is refused must stay as it is, and no answer may be lost."""
    from muomni.cli.replies_file import RepliesFile

    before, lines = path.read_bytes(), _lines()
    try:
        with RepliesFile(path, lines, MODEL) as replies:
            answered = set(replies._answers)
            for line in replies.unanswered(lines, MODEL):
                replies.append(line, MODEL, {"text": "a new reply"})
    except MuomniError:
        after = path.read_bytes()
        # A last line may have been ended, or removed where it was cut short.
        assert after in (before, before + b"\n") or _without_cut_line(before) == after, (
            "a refused file was changed"
        )
        raise
    kept = path.read_bytes().split(b"\n")
    gone = [line for line in before.split(b"\n") if line not in kept and b'"text"' in line and _whole(line)]
    assert all("error" in json.loads(line) for line in gone), "an answer was lost"
    with RepliesFile(path, lines, MODEL) as replies:
        assert not replies.unanswered(lines, MODEL) and answered <= set(replies._answers)


def _without_cut_line(data: bytes) -> bytes:
    return data[: data.rfind(b"\n") + 1]


def _whole(line: bytes) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


BATCH = {
    "requests": Kind(_request_samples, _read_requests, vary=vary_lines),
    "replies": Kind(_reply_samples, _read_replies, vary=vary_lines),
}
