"""Where the commands write: stdout carries the answer and nothing else, stderr everything said about it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from muomni.errors import OutputError
from muomni.jsonl.replies import json_line

if TYPE_CHECKING:
    from muomni.replies import Reply, Speech


@dataclass(frozen=True)
class Console:
    """The streams of one command.

    Attributes:
        command: its name, before every message.
        quiet: errors alone on stderr.
        sound_on_stdout: stdout carries speech, so text goes to stderr.
    """

    command: str
    quiet: bool = False
    sound_on_stdout: bool = False

    def answer(self, text: str, end: str = "\n") -> None:
        """Write text of the answer, at once.

        Raises:
            OutputError: it cannot be written (a full disk behind a redirection).
            BrokenPipeError: nobody reads it.
        """
        if self.sound_on_stdout:
            if not self.quiet:
                with suppress(OSError):
                    print(text, end=end, file=sys.stderr, flush=True)
            return
        with self._writing():
            print(text, end=end, flush=True)

    def answer_bytes(self, data: bytes) -> None:
        """Write bytes of the answer (speech, lines of JSON), at once; raises as :meth:`answer`."""
        with self._writing():
            sys.stdout.flush()
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()

    def stream(self, piece: str) -> None:
        """Write a piece of an answer."""
        self.answer(piece, end="")

    def answer_json(self, value: Mapping[str, Any]) -> None:
        """Write one object on one line."""
        plain = getattr(sys.stdout, "encoding", None) or "utf-8"
        self.answer(json_line(value, ascii_only=plain.lower() != "utf-8"))

    def note(self, message: str) -> None:
        if not self.quiet:
            self._stderr(message)

    def error(self, message: str) -> None:
        self._stderr(f"error: {message}")

    def notes_of(self, reply: Reply) -> None:
        """Say what the reader of a reply should know."""
        for read in filter(None, reply.ocr):
            self.note(f"text in the image: {read}")
        for note in reply.notes:
            self.note(f"note: {note}")

    def note_of_speech(self, speech: Speech, place: str) -> None:
        """Say how long it is and where it went."""
        self.note(f"speech: {speech.seconds:.2f} s at {speech.sample_rate} Hz, written to {place}")

    @staticmethod
    def abandon_stdout() -> None:
        """Point stdout nowhere, so that Python's flush at exit does not fail a second time."""
        with suppress(OSError, ValueError, AttributeError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, sys.stdout.fileno())
            os.close(nowhere)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            self.abandon_stdout()
            raise
        except OSError as error:
            self.abandon_stdout()
            raise OutputError(f"the answer could not be written to stdout: {error.strerror}") from error

    def _stderr(self, message: str) -> None:
        with suppress(OSError):  # a closed stderr must not cost the answer
            print(f"{self.command}: {message}", file=sys.stderr, flush=True)


def is_terminal(stream: Any) -> bool:
    """Whether a stream is a terminal; a closed one (None) is not."""
    return stream is not None and bool(stream.isatty())


def device_line(device: str, providers: Mapping[str, Sequence[str]], threads: int) -> str:
    """What the graphs loaded so far really run on."""
    used = " and ".join(sorted({names[0] for names in providers.values()}))
    if device == "auto" and used == "CPUExecutionProvider":
        used += " (auto: no CUDA here)"
    return f"device: {used}, {'1 thread' if threads == 1 else f'up to {threads} threads'}"
