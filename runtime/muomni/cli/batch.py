"""``muomni-run --batch``: a file of requests to a file of replies, resumable.

Requests are JSON lines with the arguments of :meth:`muomni.Omni.generate` and an optional ``id`` (by default
the number of the line); files are relative to the folder of the requests. Replies are JSON lines in the order
in which they are finished, with that ``id``, and with ``error`` in place of an answer where there is none.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import typer

from muomni.errors import InputError, MuomniError, OutputError

from .common import EXIT_FAILED
from .console import Console, is_terminal, reply_object

if TYPE_CHECKING:
    from muomni import Omni, Reply, Request

Options = Mapping[str, Any]
KINDS: Mapping[str, tuple[type, ...]] = {
    "text": (str,),
    "images": (list,),
    "audio": (str,),
    "video": (str,),
    "prompt": (str,),
    "video_frames": (int,),
    "max_new_tokens": (int,),
    "temperature": (int, float),
    "top_k": (int,),
    "top_p": (int, float),
    "repetition_penalty": (int, float),
    "seed": (int,),
    "stop": (list, str),
    "truncate": (bool,),
}


@dataclass(frozen=True)
class Line:
    """One line of the requests: its id, and what is asked or what is wrong with it."""

    id: Any
    wanted: Request | InputError


def answer_file(omni: Omni, requests: Path, out: Path, rows: int, defaults: Options, console: Console) -> int:
    """Answer every request that ``out`` has no reply to yet; the exit code.

    Raises:
        InputError: the requests cannot be read.
        OutputError: the replies cannot be written; those written so far stay.
    """
    lines = list(read_lines(requests, defaults))
    done = keep_replies(out)
    todo = [line for line in lines if json.dumps(line.id) not in done]
    if len(todo) < len(lines):
        console.note(f"{len(lines) - len(todo)} of {len(lines)} requests have their reply in {out} already")
    failed = 0
    try:
        with out.open("a", encoding="utf-8") as file:
            failed += sum(
                _write(file, line, line.wanted) for line in todo if isinstance(line.wanted, InputError)
            )
            sound = [line for line in todo if not isinstance(line.wanted, InputError)]
            with _progress(len(sound), console) as bar:

                def finished(index: int, result: Reply | MuomniError) -> None:
                    nonlocal failed
                    failed += _write(file, sound[index], result)
                    bar.update(1)

                wanted = [line.wanted for line in sound if not isinstance(line.wanted, InputError)]
                omni.generate_batch(wanted, slots=rows, on_result=finished)
    except OSError as error:
        raise OutputError(f"{out}: could not be written ({error.strerror or error})") from error
    console.note(f"{len(todo) - failed} answered, {failed} failed: {out}")
    return EXIT_FAILED if failed else 0


def read_lines(path: Path, defaults: Options) -> Iterator[Line]:
    """Parse the requests; what is wrong with a line is kept beside its id.

    Raises:
        InputError: the file cannot be read, or two lines have the same id.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as UTF-8 text ({error})") from error
    seen: set[str] = set()
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        name: Any = number
        try:
            value = json.loads(line)
            if not isinstance(value, dict):
                raise InputError(f"expected a JSON object, got {type(value).__name__}")
            name = value.pop("id", number)
            wanted: Request | InputError = parse_request(value, defaults, path.parent)
        except (json.JSONDecodeError, RecursionError) as error:
            wanted = InputError(f"not JSON ({error})")
        except InputError as error:
            wanted = error
        key = json.dumps(name)
        if key in seen:
            raise InputError(f"{path}: line {number}: the id {key} stands in an earlier line as well")
        seen.add(key)
        yield Line(name, wanted)


def parse_request(value: dict[str, Any], defaults: Options, folder: Path) -> Request:
    """A request from its JSON object.

    Raises:
        InputError: an unknown key, a value of another type or out of range.
    """
    from muomni import Request, SamplingOptions

    for key, item in value.items():
        if key not in KINDS:
            raise InputError(f"unknown key {key!r}; expected {', '.join(('id', *KINDS))}")
        wrong_bool = isinstance(item, bool) and KINDS[key] != (bool,)
        if item is not None and (wrong_bool or not isinstance(item, KINDS[key])):
            expected = " or ".join(kind.__name__ for kind in KINDS[key])
            raise InputError(f"{key}: expected {expected}, got {type(item).__name__}")
    given = {**defaults, **{key: item for key, item in value.items() if item is not None}}

    def file(key: str) -> Path | None:
        return folder / given[key] if given.get(key) is not None else None

    images = given.get("images", [])
    for key in ("images", "stop"):
        items = given.get(key, [])
        if isinstance(items, list) and not all(isinstance(item, str) for item in items):
            raise InputError(f"{key}: expected a list of strings")
    stop = given.get("stop", ())
    return Request(
        text=given.get("text"),
        images=[folder / image for image in images],
        audio=file("audio"),
        video=file("video"),
        prompt=given.get("prompt"),
        video_frames=given.get("video_frames"),
        max_new_tokens=given["max_new_tokens"],
        sampling=SamplingOptions(
            given["temperature"], given["top_k"], given["top_p"], given["repetition_penalty"], given["seed"]
        ),
        stop=(stop,) if isinstance(stop, str) else tuple(stop),
        truncate=given["truncate"],
    )


def keep_replies(out: Path) -> set[str]:
    """Ids (as JSON) that have a reply in ``out``; errors and a line cut by an interruption are removed.

    Raises:
        OutputError: the file cannot be read or rewritten, or holds something else.
    """
    if not out.exists():
        return set()
    kept, done = [], set()
    try:
        lines = out.read_text(encoding="utf-8").splitlines(keepends=True)
        for line in lines:
            try:
                value = json.loads(line)
            except json.JSONDecodeError:
                if line is lines[-1]:
                    continue
                raise OutputError(f"{out}: not a file of replies; choose another --out") from None
            if not isinstance(value, dict) or "id" not in value:
                raise OutputError(f"{out}: not a file of replies; choose another --out")
            if "error" not in value:
                kept.append(line)
                done.add(json.dumps(value["id"]))
        if len(kept) < len(lines):
            temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
            temporary.write_text("".join(kept), encoding="utf-8")
            temporary.replace(out)
    except (OSError, UnicodeDecodeError) as error:
        raise OutputError(f"{out}: cannot be read or rewritten ({error})") from error
    return done


def _write(file: IO[str], line: Line, result: Reply | MuomniError) -> bool:
    """Append a line, at once; whether it is an error."""
    failed = isinstance(result, MuomniError)
    value = {"error": str(result)} if isinstance(result, MuomniError) else reply_object(result, None)
    file.write(json.dumps({"id": line.id, **value}, ensure_ascii=False) + "\n")
    file.flush()
    return failed


def _progress(length: int, console: Console) -> Any:
    """A progress bar on stderr; hidden when that is no terminal, or when quiet."""
    hidden = console.quiet or not is_terminal(sys.stderr)
    return typer.progressbar(length=length, hidden=hidden, file=sys.stderr, show_pos=True)
