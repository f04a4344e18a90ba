"""Where the commands write: stdout carries the answer and nothing else, stderr everything said about it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from muomni.errors import OutputError

if TYPE_CHECKING:
    from muomni.replies import Reply, Speech


@dataclass(frozen=True)
class Console:
    """The streams of one command; ``quiet`` leaves errors alone on stderr."""

    command: str
    quiet: bool = False

    def answer(self, text: str, end: str = "\n") -> None:
        """Write to stdout, at once.

        Raises:
            OutputError: it cannot be written (a full disk behind a redirection).
            BrokenPipeError: nobody reads it.
        """
        try:
            print(text, end=end, flush=True)
        except BrokenPipeError:
            _abandon_stdout()
            raise
        except OSError as error:
            _abandon_stdout()
            raise OutputError(f"the answer could not be written to stdout: {error.strerror}") from error

    def stream(self, piece: str) -> None:
        """Write a piece of an answer."""
        self.answer(piece, end="")

    def answer_json(self, value: Mapping[str, Any]) -> None:
        """Write one object on one line."""
        plain = getattr(sys.stdout, "encoding", None) or "utf-8"
        self.answer(json.dumps(value, ensure_ascii=plain.lower() != "utf-8", allow_nan=False))

    def note(self, message: str) -> None:
        if not self.quiet:
            self._stderr(message)

    def error(self, message: str) -> None:
        self._stderr(f"error: {message}")

    def notes_of(self, reply: Reply, audio_out: Path | None = None) -> None:
        """Say what the reader of a reply should know, and where its speech went."""
        for note in reply.notes:
            self.note(f"note: {note}")
        if reply.speech is not None and audio_out is not None:
            self.note_of_speech(reply.speech, audio_out)

    def note_of_speech(self, speech: Speech, audio_out: Path) -> None:
        """Say how long it is and where it went."""
        self.note(f"speech: {speech.seconds:.2f} s at {speech.sample_rate} Hz, written to {audio_out}")

    def _stderr(self, message: str) -> None:
        with suppress(OSError):  # a closed stderr must not cost the answer
            print(f"{self.command}: {message}", file=sys.stderr, flush=True)


def is_terminal(stream: Any) -> bool:
    """Whether a stream is a terminal; a closed one (None) is not."""
    return stream is not None and bool(stream.isatty())


def _abandon_stdout() -> None:
    """Point stdout nowhere, so that Python's flush at exit does not fail a second time."""
    with suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def reply_object(reply: Reply, audio_out: Path | None = None) -> dict[str, Any]:
    """The JSON form of a reply."""
    return {
        "text": reply.text,
        "token_ids": list(reply.token_ids),
        "prompt_tokens": reply.prompt_tokens,
        "completion_tokens": reply.completion_tokens,
        "finish_reason": reply.finish_reason,
        "speech": None if reply.speech is None else speech_object(reply.speech, audio_out),
        "timings": {name: round(seconds, 6) for name, seconds in reply.timings.items()},
        "providers": reply.providers,
        "notes": list(reply.notes),
    }


def speech_object(speech: Speech, audio_out: Path | None) -> dict[str, Any]:
    """The JSON form of speech; its samples are in the file."""
    return {
        "path": None if audio_out is None else str(audio_out),
        "sample_rate": speech.sample_rate,
        "seconds": speech.seconds,
        "codes": speech.codes.tolist(),
        "cut_phonemes": speech.cut_phonemes,
    }


def device_line(device: str, providers: Mapping[str, Sequence[str]], threads: int) -> str:
    """What the graphs loaded so far really run on."""
    used = " and ".join(sorted({names[0] for names in providers.values()}))
    if device == "auto" and used == "CPUExecutionProvider":
        used += " (auto: no CUDA here)"
    return f"device: {used}, {'1 thread' if threads == 1 else f'up to {threads} threads'}"
