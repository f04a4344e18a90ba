"""Where media come from: a path or bytes, opened with a clear error for what cannot be."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import BinaryIO

from muomni.errors import MediaError

FileSource = str | os.PathLike[str] | bytes


def describe(source: object) -> str:
    """How to call a source in a message: its path, or what it is."""
    if isinstance(source, (str, os.PathLike)):
        return os.fspath(source) if isinstance(os.fspath(source), str) else repr(source)
    return f"the given {type(source).__name__}"


def open_source(source: FileSource, kind: str) -> BinaryIO:
    """Open a path or bytes for reading; ``kind`` ("image", "audio", "video") is for messages.

    Raises:
        MediaError: no such file, a folder, not readable, or empty.
    """
    name = describe(source)
    if isinstance(source, bytes):
        if not source:
            raise MediaError(f"{name}: expected an encoded {kind}, got 0 bytes")
        return io.BytesIO(source)
    path = Path(source)
    try:
        folder, regular = path.is_dir(), path.is_file()
        stream = path.open("rb") if regular or not (folder or path.exists()) else None
    except FileNotFoundError as error:
        raise MediaError(f"{name}: no such file") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = getattr(error, "strerror", None) or error
        raise MediaError(f"{name}: cannot be read ({reason})") from error
    if stream is None:
        what = "a folder" if folder else "a device or a pipe"
        raise MediaError(f"{name}: expected {article(kind)} file, got {what}")
    if path.stat().st_size == 0:
        stream.close()
        raise MediaError(f"{name}: the file is empty, expected {article(kind)} file")
    return stream


def article(kind: str) -> str:
    """ "an image", "an audio", "a video"."""
    return f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"
