"""The files that ``--batch`` (or stdin in its place) and ``--json-schema`` name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from muomni.errors import InputError
from muomni.jsonl.requests import Line, read_requests
from muomni.models.grammar import Grammar

from .streams import is_stdin


def read_file(
    path: Path, defaults: Mapping[str, Any], stdin: bytes | None, folder: Path | None = None
) -> list[Line]:
    """Parse the requests of a file, or those that came through stdin.

    Args:
        folder: where its media are; None is the folder of the file, or this one for stdin.

    Raises:
        InputError: it cannot be read, or as in :func:`muomni.jsonl.requests.read_requests`.
    """
    if is_stdin(path) and stdin is not None:
        return read_requests(stdin, "stdin", folder or Path(), defaults)
    return read_requests(_content(path), str(path), folder or path.parent, defaults)


def schema_in(path: Path) -> Grammar:
    """The JSON schema of a file.

    Raises:
        InputError: it cannot be read, or is none.
    """
    content = _content(path)
    try:
        return Grammar.json_schema(json.loads(content))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not a JSON schema ({error})") from error


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from error
