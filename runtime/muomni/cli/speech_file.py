"""Where ``--audio-out`` writes speech: a WAV file, stdout or a pipe."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from muomni.errors import InputError, OutputError

from .console import Console, is_terminal
from .streams import is_pipe, is_stdout, refuse_url, same_file

if TYPE_CHECKING:
    from muomni.replies import Speech


@dataclass(frozen=True)
class SpeechFile:
    """One place for one speech."""

    path: Path

    @property
    def on_stdout(self) -> bool:
        return is_stdout(self.path)

    def check(self, as_json: bool, *, several: bool = False, inputs: Iterable[Path] = ()) -> None:
        """Refuse now what is sure to fail after minutes of work.

        Args:
            as_json: stdout carries JSON.
            several: it will be spoken more than once.
            inputs: files that must not be written over.

        Raises:
            InputError: a terminal, a URL, a name that does not end in .wav, or one of the ``inputs``.
            OutputError: a folder that is missing or cannot be written.
        """
        refuse_url("--audio-out", self.path)
        if several and (self.on_stdout or is_pipe(self.path)):
            raise InputError(
                "--audio-out: a chat speaks each reply into a WAV file: name a file, as reply.wav"
            )
        if self.on_stdout:
            if as_json:
                raise InputError("--json and --audio-out - both write to stdout: leave one out")
            if is_terminal(sys.stdout):
                raise InputError("--audio-out - writes WAV to stdout, which is a terminal: add > speech.wav")
        elif not is_pipe(self.path):
            from muomni.media.wav import check_writable

            check_writable(self.path)
            if any(same_file(self.path, source) for source in inputs):
                raise InputError(f"--audio-out {self.path} is what is listened to: name another file")

    def write(self, speech: Speech, console: Console) -> str:
        """Write it, say so, and give the place's name.

        Raises:
            OutputError: it cannot be written.
            BrokenPipeError: nobody reads it.
        """
        from muomni.media.wav import wav_bytes, write_wav

        place = "stdout" if self.on_stdout else str(self.path)
        if self.on_stdout:
            console.answer_bytes(wav_bytes(speech.samples, speech.sample_rate))
        elif is_pipe(self.path):
            try:
                self.path.write_bytes(wav_bytes(speech.samples, speech.sample_rate))
            except BrokenPipeError:
                raise
            except OSError as error:
                raise OutputError(f"{self.path}: could not be written: {error.strerror}") from error
        else:
            write_wav(self.path, speech.samples, speech.sample_rate)
        console.note_of_speech(speech, place)
        return place

    def numbered(self, number: int) -> SpeechFile:
        """The place of a chat's reply: the first goes to the name given, later ones to names that are free."""
        if number == 1:
            return self
        path = self.path.with_stem(f"{self.path.stem}-{number}")
        return self.numbered(number + 1) if path.exists() else SpeechFile(path)
