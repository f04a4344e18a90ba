"""Where media come from: a path or bytes, opened with a clear error for what cannot be."""

from __future__ import annotations

import io
import os
import re
import stat
from pathlib import Path
from typing import Any, BinaryIO

from muomni.errors import MediaError

FileSource = str | os.PathLike[str] | bytes | bytearray | memoryview

FILE_TYPES = (str, os.PathLike, bytes, bytearray, memoryview)
MAX_PIPE_BYTES = 1 << 28
"""What is read of a pipe, which does not tell its size: 256 MiB, two hours of CD sound."""

URL = re.compile(r"(?i)data:|[a-z][a-z0-9+.-]+:/")  # at least two letters: C:/ is a drive

VIA_PYAV = 'Install PyAV: pip install "muomni[video]", or convert it: ffmpeg -i FILE out.wav'
HEIC_BRANDS = rb"hei[cmsx]|hev[cmsx]|mif1|msf1"
FORMATS = (  # first bytes, what they begin, and the option that takes it where there is one
    (rb"....ftyp(?:" + HEIC_BRANDS + rb")", "a HEIC picture", "--image"),
    (rb"....ftypavi[fs]", "an AVIF picture", "--image"),
    (rb"\x89PNG|\xff\xd8\xff|GIF8|RIFF....WEBP|II\*\0|MM\0\*|BM.{12}[(|l\x0c]\0\0\0", "a picture", "--image"),
    (rb"....ftypM4[AB] ", "an M4A recording", "--audio-in"),
    (
        rb"RIFF....WAVE|fLaC|ID3|FORM....AIF|caff|#!AMR|\xff[\xf1\xf9\xfb\xf3]",
        "a recording",
        "--audio-in",
    ),
    (
        rb"....(?:ftyp|moov|mdat|wide)|RIFF....AVI |OggS|\x1aE\xdf\xa3|FLV\x01|\x00\x00\x01\xba",
        "a film or a recording",
        None,
    ),
    (rb"version https://git-lfs", "a git-LFS pointer; fetch the file itself: git lfs pull", None),
    (rb"(?i)\s*<(?:!doctype html|html|head|body)", "a web page; download the file that it shows", None),
    (rb"(?is)\s*(?:<\?xml.*)?<svg", "an SVG drawing; convert it to PNG", None),
    (rb"%PDF", "a PDF; convert its pages to PNG", None),
    (rb"PK\x03\x04|\x1f\x8b|7z\xbc\xaf|Rar!", "an archive; unpack it", None),
)


def recognise(head: bytes, option: str) -> str:
    """What a file seems to be whose reader refused it, and what to do: " (it looks like …)", or "".

    Args:
        head: its first bytes.
        option: the command line's option that it was given for.
    """
    for pattern, what, belongs in FORMATS:
        if re.match(pattern, head, re.DOTALL):
            advice = "" if belongs in (None, option) else f"; give it with {belongs}"
            return f" (it looks like {what}{advice})"
    return ""


def describe(source: object) -> str:
    """How to call a source in a message: its path, or what it is."""
    if isinstance(source, (str, os.PathLike)):
        return os.fsdecode(source)
    return f"the given {type(source).__name__}"


def open_source(source: Any, kind: str) -> BinaryIO:
    """Open a path or bytes for reading; ``kind`` ("image", "audio", "video") is for messages.

    A pipe is read to its end, so that what comes back can be searched like a file.

    Raises:
        MediaError: no path and no bytes; a URL; no such file, a folder, not readable, empty, or an endless pipe.
    """
    name = describe(source)
    if not isinstance(source, FILE_TYPES):
        raise MediaError(f"{kind}: expected a path or bytes, got {type(source).__name__}")
    if isinstance(source, (bytes, bytearray, memoryview)):
        if not len(source):
            raise MediaError(f"{name}: expected an encoded {kind}, got 0 bytes")
        return io.BytesIO(source)
    if URL.match(name) and not _exists(name):
        raise MediaError(
            f"{name[:200]}: a URL, expected a file; download it first and give its path, or its bytes"
        )
    try:
        mode = Path(name).stat().st_mode
        stream = _open(Path(name)) if stat.S_ISREG(mode) or stat.S_ISFIFO(mode) else None
    except FileNotFoundError as error:
        raise MediaError(f"{name}: no such file") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = getattr(error, "strerror", None) or error
        raise MediaError(f"{name}: cannot be read ({reason})") from error
    if stream is None:
        what = "a folder" if stat.S_ISDIR(mode) else "a device"
        raise MediaError(f"{name}: expected {article(kind)} file, got {what}")
    if stat.S_ISFIFO(mode):
        with stream:
            data = stream.read(MAX_PIPE_BYTES + 1)
        if len(data) > MAX_PIPE_BYTES:
            raise MediaError(
                f"{name}: more than {MAX_PIPE_BYTES >> 20} MiB came from the pipe; give it as a file"
            )
        stream = io.BytesIO(data)
    if stream.seek(0, os.SEEK_END) == 0:
        stream.close()
        raise MediaError(f"{name}: the file is empty, expected {article(kind)} file")
    stream.seek(0)
    return stream


def is_pipe(source: object) -> bool:
    """Can this be read only once?"""
    return (
        isinstance(source, (str, os.PathLike))
        and _exists(describe(source))
        and Path(describe(source)).is_fifo()
    )


def first_line(error: BaseException) -> str:
    """What an exception says, short enough for a message."""
    lines = (
        str(getattr(error, "error_string", None) or getattr(error, "strerror", None) or error)
        .strip()
        .splitlines()
    )
    return lines[0][:200] if lines else type(error).__name__


def article(kind: str) -> str:
    """ "an image", "an audio", "a video"."""
    return f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"


def _exists(name: str) -> bool:
    try:
        return Path(name).exists()
    except (OSError, ValueError):
        return False


def _open(path: Path) -> BinaryIO:
    return path.open("rb")
