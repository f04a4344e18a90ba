"""The chat of ``muomni-run``: lines in, replies out."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress

from muomni.errors import MuomniError, OutputError
from muomni.replies import Reply

from .console import Console, is_terminal, reply_object

YOU, MODEL = "You: ", "μOmni: "


def chat(ask: Callable[..., Reply], reset: Callable[[], None], console: Console, *, as_json: bool) -> int:
    """Chat until ``exit`` or the end of stdin; give the exit code.

    At a terminal replies stream, Ctrl-C stops one (its turn is then forgotten) and Ctrl-D ends the chat.
    From a pipe there are no prompts: one reply a line, or one JSON object a line with ``as_json``
    (``{"error": …}`` for a turn that failed), and the exit code is 1 if a turn failed.
    """
    typed, shown = is_terminal(sys.stdin), is_terminal(sys.stdout) and not as_json
    if typed:
        with suppress(ImportError):
            import readline  # noqa: F401  (arrow keys and history at the prompt)
        console.note("exit or Ctrl-D ends the chat, reset forgets it, Ctrl-C stops a reply")
    failed = False
    while True:
        try:
            line = _typed_line(shown) if typed else _piped_line()
        except KeyboardInterrupt:
            if not typed:
                raise
            print(file=sys.stderr)
            continue
        if line is None:
            break
        text = line.strip()
        if text == "exit":
            break
        if text == "reset":
            reset()
            console.note("the conversation is forgotten")
        elif text:
            try:
                _turn(ask, text, console, typed, shown, as_json)
            except OutputError:
                raise
            except MuomniError as error:  # the next turn may fit
                failed = True
                console.error(str(error))
                if as_json:
                    console.answer_json({"error": str(error)})
            except KeyboardInterrupt:
                if not typed:
                    raise
                console.note("stopped; this turn is forgotten")
    return 1 if failed and not typed else 0


def _turn(
    ask: Callable[..., Reply], text: str, console: Console, typed: bool, shown: bool, as_json: bool
) -> None:
    if shown:
        if typed:
            console.stream(MODEL)
        try:
            reply = ask(text, on_text=console.stream)
        finally:  # an error or Ctrl-C leaves half a line
            console.answer("")
    else:
        reply = ask(text)
        if as_json:
            console.answer_json(reply_object(reply))
        else:
            console.answer(" ".join(reply.text.splitlines()))
    console.notes_of(reply)


def _typed_line(shown: bool) -> str | None:
    """A line from the terminal; None at Ctrl-D. The prompt goes where the reader is, never into a file."""
    try:
        if shown:
            return input(YOU)
        print(YOU, end="", file=sys.stderr, flush=True)
        line = sys.stdin.readline()
    except EOFError:
        line = ""
    if not line:
        print(file=sys.stderr)
        return None
    return line


def _piped_line() -> str | None:
    line = sys.stdin.readline() if sys.stdin is not None else ""
    return line or None
