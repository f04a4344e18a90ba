"""``--batch``: a file of requests to a file of replies, resumable.

Replies are JSON lines in the order in which they are finished, with the ``id`` of the request, the hash of it,
and ``error`` in place of an answer where there is none.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from muomni.errors import InputError, MuomniError
from muomni.jsonl.replies import reply_object
from muomni.jsonl.requests import Line
from muomni.requests import Request

from .common import EXIT_FAILED
from .console import Console, is_terminal
from .replies_file import RepliesFile, RepliesStream
from .requests_file import read_file
from .session import Session
from .streams import (
    STDIN,
    STDOUT,
    check_inputs,
    is_device,
    is_stdin,
    is_stdout,
    refuse_url,
    same_file,
    stdin_bytes,
)

if TYPE_CHECKING:
    from muomni import Omni, Reply

Replies = RepliesFile | RepliesStream


def answer_file(session: Session, requests: Path, out: Path, slots: int, defaults: Mapping[str, Any]) -> int:
    """Answer every request that ``out`` has no answer to yet; the exit code.

    Raises:
        InputError: the requests cannot be read, or ``out`` is the same file.
        OutputError: the replies cannot be written, or ``out`` holds something else; what is there stays.
    """
    console = session.console
    check_inputs([("--batch", requests)])
    refuse_url("--out", out)
    _refuse_same_file(requests, out)
    lines = read_file(requests, defaults, stdin_bytes("--batch") if is_stdin(requests) else None)
    omni = session.load()
    model = omni.manifest.identity
    with _open_replies(out, lines, model, console) as replies:
        for note in replies.notes:
            console.note(f"note: {note}")
        todo = replies.unanswered(lines, model)
        if len(todo) < len(lines):
            console.note(
                f"{len(lines) - len(todo)} of {len(lines)} requests have their reply in {out} already"
            )
        run = _Run(omni, replies, model)
        try:
            with _progress(len(todo), out, console) as bar:
                run.answer(todo, slots, bar)
        finally:
            place = "stdout" if is_stdout(out) else out
            console.note(f"{run.answered} answered, {run.failed} failed: {place}")
            if missing := len(todo) - run.answered - run.failed:
                console.note(f"stopped before {missing} more; the same command goes on where it ended")
    return EXIT_FAILED if run.failed else 0


class _Run:
    """Counts what is answered, and writes it down as it comes."""

    def __init__(self, omni: Omni, replies: Replies, model: str) -> None:
        self._omni, self._replies, self._model = omni, replies, model
        self.answered = self.failed = 0

    def answer(self, todo: list[Line], slots: int, bar: Any) -> None:
        asked: list[Line] = []
        wanted: list[Request] = []
        for line in todo:
            if isinstance(line.wanted, Request):
                asked.append(line)
                wanted.append(line.wanted)
            else:
                self._write(line, line.wanted, bar)

        def finished(index: int, result: Reply | MuomniError) -> None:
            self._write(asked[index], result, bar)

        self._omni.generate_batch(wanted, slots=slots, on_result=finished)

    def _write(self, line: Line, result: Reply | MuomniError, bar: Any) -> None:
        if isinstance(result, MuomniError):
            self._replies.append(line, self._model, {"error": str(result)})
            self.failed += 1
        else:
            self._replies.append(line, self._model, reply_object(result))
            self.answered += 1
        bar.update(1)


def _open_replies(out: Path, lines: list[Line], model: str, console: Console) -> Replies:
    if is_stdout(out):
        return RepliesStream(console.answer_bytes)
    if is_device(out):
        return RepliesStream(out.open("wb", buffering=0).write)
    return RepliesFile(out, lines, model)


def _refuse_same_file(requests: Path, out: Path) -> None:
    one = Path(STDIN[1]) if is_stdin(requests) else requests
    other = Path(STDOUT[1]) if is_stdout(out) else out
    if one.is_file() and same_file(one, other):
        raise InputError(f"--out {out} is the file of the requests: name another file for the replies")


def _progress(length: int, out: Path, console: Console) -> Any:
    """A progress bar on stderr; hidden when that is no terminal, shows the replies themselves, or when quiet."""
    hidden = console.quiet or not is_terminal(sys.stderr) or (is_stdout(out) and is_terminal(sys.stdout))
    return typer.progressbar(length=length, hidden=hidden, file=sys.stderr, show_pos=True)
