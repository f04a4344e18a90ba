"""``-`` and pipes: what stands in the place of a file on the command line."""

from __future__ import annotations

import stat
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from muomni.errors import InputError, MediaError
from muomni.urls import url_in

from .console import is_terminal

STDIN = ("-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0")
STDOUT = ("-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")
MOST_BYTES = 1 << 29
"""Of a picture, sound or film that comes through a pipe: it is held in memory."""


def is_stdin(name: str | Path) -> bool:
    return str(name) in STDIN


def is_stdout(name: str | Path) -> bool:
    return str(name) in STDOUT


def is_device(path: Path) -> bool:
    """Whether it is there and neither a file nor a folder: a pipe, a terminal, ``/dev/null``."""
    try:
        return path.exists() and not (path.is_file() or path.is_dir())
    except (OSError, ValueError):
        return False


def is_pipe(path: Path) -> bool:
    """Whether it is a pipe with a name, or one that a shell made: ``<(…)``, ``>(…)``."""
    try:
        return stat.S_ISFIFO(path.stat().st_mode)
    except (OSError, ValueError):
        return False


def check_inputs(named: Iterable[tuple[str, str | Path]]) -> None:
    """Check what options read from, as (option, what it names).

    Raises:
        InputError: two of them read stdin, stdin is closed, or one is a URL.
    """
    readers = []
    for option, name in named:
        refuse_url(option, name)
        if is_stdin(name):
            readers.append(option)
    if len(readers) > 1:
        raise InputError(f"{' and '.join(readers)} both read stdin: only one can")
    if readers and sys.stdin is None:
        raise InputError(f"{readers[0]} reads stdin, which is closed")


def refuse_url(option: str, name: str | Path) -> None:
    """Refuse a URL in the place of a file.

    Raises:
        InputError: it is one.
    """
    if url := url_in(name):
        raise InputError(f"{option}: {url} is a URL, and muomni opens no connection: give the name of a file")


def stdin_text(option: str) -> str:
    """All of stdin as text, without the newline that ends it.

    Raises:
        InputError: it is not UTF-8.
    """
    data = stdin_bytes(option)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{option}: what came from stdin is not UTF-8 text ({error})") from error
    return text.removesuffix("\n").removesuffix("\r")


def stdin_bytes(option: str) -> bytes:
    """All of stdin."""
    return _stdin(option).read()


def text_of(option: str, given: str) -> str:
    """The text of an option: as given, or from stdin."""
    return stdin_text(option) if given == "-" else given


def media_of(option: str, path: Path) -> Path | bytes:
    """A picture, sound or film as the engine takes it: the path of a file, or the bytes that came from stdin.

    Raises:
        MediaError: more bytes than fit into memory.
    """
    if is_stdin(path):
        if is_terminal(sys.stdin):
            raise InputError(f"{option} - reads a file from stdin, which is a terminal: add < FILE")
        data = _stdin(option).read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise MediaError(
                f"{option}: more than {MOST_BYTES >> 20} MiB came from stdin; write it to a file"
            )
        if not data:
            raise MediaError(f"{option}: nothing came from stdin")
        return data
    return path


def _stdin(option: str) -> BinaryIO:
    if sys.stdin is None:
        raise InputError(f"{option} reads stdin, which is closed")
    return sys.stdin.buffer


def same_file(one: Path, other: Path) -> bool:
    """Whether two names are one file, by any link."""
    try:
        return one.samefile(other)
    except (OSError, ValueError):
        return False
