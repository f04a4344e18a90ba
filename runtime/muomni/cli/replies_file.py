"""The replies of ``--batch``: one JSON object a line, appended as each request is finished.

A file is only ever changed when every line of it was written by muomni: lines are told by their ``id`` and by
``request``, the hash of what was asked. A last line that an interruption cut is removed; an error is replaced
when its request is answered; an answer is never dropped.
"""

from __future__ import annotations

import errno
import json
import os
import re
import secrets
import shlex
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from muomni.errors import OutputError
from muomni.jsonl.replies import reply_line
from muomni.jsonl.requests import DIGEST_LETTERS, Line, key_of

DIGEST = re.compile(rf"[0-9a-f]{{{DIGEST_LETTERS}}}")


class RepliesStream:
    """Replies to stdout or a pipe: nothing is there to resume."""

    notes: tuple[str, ...] = ()

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write = write

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def unanswered(self, lines: Iterable[Line], model: str) -> list[Line]:
        return list(lines)

    def append(self, line: Line, model: str, value: Mapping[str, Any]) -> None:
        self._write(reply_line(line.id, line.digest(model), value))


class RepliesFile:
    """Replies to a file, locked while it is open; a context manager.

    Args:
        path: the file; made when it is not there, and removed again if nothing is written.
        requests: the requests that will be asked, by which a cut first line is known.
        model: the identity of the bundle.

    Raises:
        OutputError: it cannot be opened, another process writes it, or a line of it is not muomni's.
    """

    def __init__(self, path: Path, requests: Iterable[Line], model: str) -> None:
        self.path = Path(os.path.realpath(path))
        self.notes: list[str] = []
        self._answers: dict[str, str] = {}
        self._errors: dict[str, int] = {}
        self._replaced: set[int] = set()
        try:
            self._file, self._made = _open(self.path)
        except (OSError, ValueError) as error:
            raise OutputError(f"{path}: {_reason(error, self.path)}") from error
        try:
            self._lock()
            *lines, tail = self._file.read().split(b"\n")
            for index, source in enumerate(lines):
                if source.strip():
                    self._index(index, source)
            if tail:
                self._mend_end(tail, len(lines), requests, model)
        except BaseException as error:
            self._close()
            if isinstance(error, OSError):
                raise OutputError(f"{path}: {_reason(error, self.path)}") from error
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._replaced and kind is not OutputError:
                self._drop_replaced()
        except OSError as error:
            raise OutputError(f"{self.path}: {_reason(error, self.path)}") from error
        finally:
            self._close()

    def unanswered(self, lines: Iterable[Line], model: str) -> list[Line]:
        """The requests that have no answer here yet.

        Raises:
            OutputError: an answer here is to another question of the same id.
        """
        todo, others = [], []
        for line in lines:
            digest = self._answers.get(line.key)
            if digest is None:
                todo.append(line)
            elif digest != line.digest(model):
                others.append(line.key)
        if others:
            more = f" (and {len(others) - 1} more)" if len(others) > 1 else ""
            raise OutputError(
                f"{self.path}: its reply to the id {others[0]}{more} was made for another question, with other "
                "options or by another model; choose another --out, or delete those lines to ask again"
            )
        return todo

    def append(self, line: Line, model: str, value: Mapping[str, Any]) -> None:
        """Write a reply, at once.

        Raises:
            OutputError: it cannot be written; the lines before it stay.
        """
        data = memoryview(reply_line(line.id, line.digest(model), value))
        try:
            start = self._file.seek(0, os.SEEK_END)
            try:
                while data:
                    data = data[self._file.write(data) :]
            except OSError:
                self._file.truncate(start)  # no half a line on a full disk
                raise
        except OSError as error:
            raise OutputError(f"{self.path}: {_reason(error, self.path)}") from error
        if line.key in self._errors:
            self._replaced.add(self._errors.pop(line.key))

    def _index(self, index: int, source: bytes) -> None:
        """Note what a complete line answers."""
        value = _own(source)
        if value is None:
            raise OutputError(
                f"{self.path}: line {index + 1} is no reply of muomni's, so the file is left as it is; "
                "choose another --out"
            )
        key = key_of(value["id"])
        if key in self._errors:
            self._replaced.add(self._errors.pop(key))
        if "error" in value:
            self._errors[key] = index
        else:
            self._answers[key] = value["request"]

    def _mend_end(self, tail: bytes, index: int, requests: Iterable[Line], model: str) -> None:
        """End a last line that lacks its newline, or remove it where an interruption cut it."""
        if _own(tail) is not None:
            self._file.seek(0, os.SEEK_END)
            self._file.write(b"\n")
            self._index(index, tail)
            return
        if _is_json(tail):  # a whole line of somebody else's
            ours = False
        elif self._answers or self._errors:
            ours = tail.startswith(b'{"id": ') or b'{"id": '.startswith(tail)
        else:  # the only line: it must be the beginning of a reply to one of these very requests
            ours = any(
                tail.startswith(begin) or begin.startswith(tail)
                for begin in (reply_line(r.id, r.digest(model), {})[:-2] for r in requests)
            )
        if not ours:
            raise OutputError(
                f"{self.path}: its last line is no reply of muomni's, so the file is left as it is; "
                "choose another --out"
            )
        self._file.truncate(self._file.seek(0, os.SEEK_END) - len(tail))

    def _drop_replaced(self) -> None:
        """Remove the errors whose requests have a newer line."""
        self._file.seek(0)
        lines = self._file.read().split(b"\n")
        kept = b"\n".join(line for index, line in enumerate(lines) if index not in self._replaced)
        temporary = self.path.with_name(f".muomni-{secrets.token_hex(8)}.tmp")
        try:
            with temporary.open("xb") as file:
                file.write(kept)
                file.flush()
                os.fsync(file.fileno())
            temporary.chmod(self.path.stat().st_mode & 0o7777)
            if os.name == "nt":  # there an open file cannot be replaced
                self._file.close()
            temporary.replace(self.path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise

    def _lock(self) -> None:
        """Keep other runs out; the system gives the lock back when this process ends, however it ends."""
        try:
            _lock(self._file)
        except (BlockingIOError, PermissionError):
            self._made = False
            raise OutputError(
                f"{self.path}: another run is writing it; wait for its end, or choose another --out"
            ) from None
        except OSError as error:  # some network file systems
            self.notes.append(f"{self.path} cannot be locked ({error.strerror}): let no other run write it")
        if not os.path.samestat(os.fstat(self._file.fileno()), self.path.stat()):
            raise OutputError(f"{self.path}: another run has just ended writing it; start again")

    def _close(self) -> None:
        if self._file.closed:
            return
        made_for_nothing = self._made and self._file.seek(0, os.SEEK_END) == 0
        if os.name == "nt":  # there an open file cannot be removed
            self._file.close()
        if made_for_nothing:
            self.path.unlink(missing_ok=True)
        self._file.close()


def _open(path: Path) -> tuple[BinaryIO, bool]:
    """The file for reading and writing, without a buffer, and whether it was made."""
    try:
        return path.open("r+b", buffering=0), False
    except FileNotFoundError:
        return path.open("x+b", buffering=0), True


def _lock(file: BinaryIO) -> None:
    try:
        import fcntl
    except ImportError:
        import msvcrt

        far = 1 << 62  # no byte of the file, so that others may read it
        file.seek(far)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        file.seek(0)
    else:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)


def _own(source: bytes) -> dict[str, Any] | None:
    """The object of a line that muomni wrote; None for any other line."""
    try:
        value = json.loads(source)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or "id" not in value:
        return None
    digest = value.get("request")
    if not isinstance(digest, str) or not DIGEST.fullmatch(digest):
        return None
    answer = value.get("error", value.get("text"))
    return value if isinstance(answer, str) else None


def _is_json(source: bytes) -> bool:
    try:
        json.loads(source)
    except (ValueError, RecursionError):
        return False
    return True


def _reason(error: OSError | ValueError, path: Path) -> str:
    """What the system said, and what to do about it."""
    said = getattr(error, "strerror", None) or str(error)
    number = getattr(error, "errno", None)
    if number == errno.ENOENT:
        return f"the folder does not exist; make it first: mkdir -p {shlex.quote(str(path.parent))}"
    if number in (errno.EISDIR, errno.ENOTDIR):
        return f"expected a file to write, and a folder to hold it ({said})"
    if number in (errno.ENOSPC, errno.EDQUOT):
        return f"{said}; make room, and start again: what is answered is not asked again"
    return f"cannot be written: {said}"
