"""Replies as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from muomni.replies import Reply, Speech


def json_line(value: Mapping[str, Any], *, ascii_only: bool = False) -> str:
    """An object as one line of JSON, for every reader.

    What only some readers take for the end of a line (U+0085, U+2028, U+2029) is escaped, and so is all beyond
    ASCII where a string cannot be written as UTF-8 (half of a surrogate pair).
    """
    line = json.dumps(value, ensure_ascii=ascii_only, allow_nan=False)
    try:
        line.encode()
    except UnicodeEncodeError:
        return json.dumps(value, allow_nan=False)
    for end in "\x85\u2028\u2029":
        line = line.replace(end, f"\\u{ord(end):04x}")
    return line


def reply_object(reply: Reply, place: str | None = None) -> dict[str, Any]:
    """The JSON form of a reply; ``place`` is where its speech went."""
    from dataclasses import asdict

    value = {
        "text": reply.text,
        "token_ids": list(reply.token_ids),
        "prompt_tokens": reply.prompt_tokens,
        "completion_tokens": reply.completion_tokens,
        "usage": asdict(reply.usage),
        "finish_reason": reply.finish_reason,
        "seed": reply.seed,
        "speech": None if reply.speech is None else speech_object(reply.speech, place),
        "timings": {name: round(seconds, 6) for name, seconds in reply.timings.items()},
        "providers": reply.providers,
        "notes": list(reply.notes),
    }
    if reply.ocr:
        value["ocr"] = list(reply.ocr)
    if reply.logprobs:
        value["logprobs"] = [asdict(logprob) for logprob in reply.logprobs]
    return value


def speech_object(speech: Speech, place: str | None) -> dict[str, Any]:
    """The JSON form of speech; its samples are in the file."""
    return {
        "path": place,
        "sample_rate": speech.sample_rate,
        "seconds": speech.seconds,
        "codes": speech.codes.tolist(),
        "cut_phonemes": speech.cut_phonemes,
        "notes": list(speech.notes),
    }


def reply_line(name: Any, digest: str, value: Mapping[str, Any]) -> bytes:
    """A line of a file of replies.

    Args:
        name: the request's ``id``.
        digest: of the request, see :meth:`muomni.jsonl.requests.Line.digest`.
    """
    return (json_line({"id": name, "request": digest, **value}) + "\n").encode()
