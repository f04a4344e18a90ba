"""Rows of a data set to requests, and results to rows."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import fs

from muomni.errors import InputError, MuomniError
from muomni.jsonl.replies import reply_line, reply_object
from muomni.jsonl.requests import FILES, key_of, parse_request
from muomni.media.wav import wav_bytes, write_wav
from muomni.replies import Reply, Speech
from muomni.requests import Request

PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
MOST_SEED = 2**63 - 1  # of a column of whole numbers
LINE = "line"
"""Column of a reply as a line of JSON."""
_LOGPROB = pa.struct([("token_id", pa.int64()), ("logprob", pa.float64())])
REPLY_COLUMNS: Mapping[str, pa.DataType] = {
    "text": pa.string(),
    "token_ids": pa.list_(pa.int64()),
    "finish_reason": pa.string(),
    "prompt_tokens": pa.int64(),
    "completion_tokens": pa.int64(),
    "seed": pa.int64(),
    "ocr": pa.list_(pa.string()),
    "logprobs": pa.list_(pa.struct([*_LOGPROB, ("top", pa.list_(_LOGPROB))])),
    "speech": pa.binary(),
    "speech_path": pa.string(),
    "notes": pa.list_(pa.string()),
    "error": pa.string(),
}
"""Columns of a reply. Where ``error`` is not null, all others are."""


def request_of(row: Mapping[str, Any], defaults: Mapping[str, Any], folder: Path) -> Request | InputError:
    """The request of a row, or what is wrong with it.

    Args:
        row: keys of a request of JSON; images, audio and video may be encoded bytes as well as paths.
        defaults: options for what the row does not say.
        folder: where relative paths begin.
    """
    media, said = dict[str, Any](), dict[str, Any]()
    for name, value in row.items():
        if name in FILES and value is not None:
            values = value if isinstance(value, list) else [value]
            if any(isinstance(one, bytes) for one in values):
                places = [one if isinstance(one, bytes) else folder / str(one) for one in values]
                media[name] = places if name == "images" else places[0]
                continue
            value = values if name == "images" else value
        said[name] = value
    try:
        return _checked(parse_request(said, defaults, folder, media))
    except InputError as error:
        return error


def _checked(request: Request) -> Request:
    if (request.sampling.seed or 0) > MOST_SEED:
        raise InputError(f"seed: expected at most {MOST_SEED}, got {request.sampling.seed}")
    return request


@dataclass(frozen=True)
class SpeechPlace:
    """Where speech goes.

    Attributes:
        folder: of WAV files, a path or the URI of a store; None keeps the bytes in the row.
    """

    folder: str | None

    def put(self, speech: Speech, name: Any) -> str | None:
        """Write it under the name of a request; where it is, None where it is kept.

        The name alone decides the file: what is done again after a failure replaces what was begun.
        """
        if self.folder is None:
            return None
        file = name if isinstance(name, str) and PLAIN_NAME.fullmatch(name) else _hashed(name)
        place = f"{self.folder.rstrip('/')}/{file}.wav"
        if "://" not in place:
            write_wav(place, speech.samples, speech.sample_rate)
            return place
        system, path = fs.FileSystem.from_uri(place)
        with system.open_output_stream(path) as stream:
            stream.write(wav_bytes(speech.samples, speech.sample_rate))
        return place


def columns_of(result: Reply | MuomniError, place: str | None) -> dict[str, Any]:
    """A result by column.

    Args:
        place: where its speech is; None keeps the speech as the bytes of a WAV file.
    """
    row = dict[str, Any].fromkeys(REPLY_COLUMNS)
    if isinstance(result, MuomniError):
        row["error"] = str(result)
        return row
    row.update(
        text=result.text,
        token_ids=list(result.token_ids),
        finish_reason=result.finish_reason,
        prompt_tokens=result.prompt_tokens,
        completion_tokens=result.completion_tokens,
        seed=result.seed,
        notes=list(result.notes),
    )
    if result.ocr:
        row["ocr"] = list(result.ocr)
    if result.logprobs:
        row["logprobs"] = [
            {**asdict(one), "top": [{"token_id": token, "logprob": value} for token, value in one.top]}
            for one in result.logprobs
        ]
    if result.speech is not None:
        kept = place is None
        row["speech"] = wav_bytes(result.speech.samples, result.speech.sample_rate) if kept else None
        row["speech_path"] = place
    return row


def line_of(result: Reply | MuomniError, name: Any, digest: str, place: str | None) -> str:
    """A result as the line that ``--batch`` writes, without its end."""
    value = {"error": str(result)} if isinstance(result, MuomniError) else reply_object(result, place)
    return reply_line(name, digest, value).decode().rstrip("\n")


def table_of(rows: Sequence[Mapping[str, Any]], kept: pa.Table) -> pa.Table:
    """Rows of :func:`columns_of` beside columns that are kept as they are."""
    table = kept
    for name, kind in REPLY_COLUMNS.items():
        table = table.append_column(pa.field(name, kind), pa.array([row[name] for row in rows], kind))
    return table


def _hashed(name: Any) -> str:
    return hashlib.sha256(key_of(name).encode()).hexdigest()[:32]
