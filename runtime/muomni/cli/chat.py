"""The chat of ``muomni-run``: lines in, replies out."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from muomni.errors import MuomniError, OutputError
from muomni.jsonl.replies import reply_object
from muomni.requests import Request

from .console import device_line, is_terminal
from .player import Playing, player_of
from .session import Session
from .speech_file import SpeechFile

if TYPE_CHECKING:
    from muomni import Conversation

YOU, MODEL = "You: ", "μOmni: "
ENDING = {"exit", "quit", "/exit", "/quit", "/bye"}
RESETTING = {"reset", "/reset"}


def start_chat(
    session: Session, request_of: Callable[[str], Request], audio_out: Path | None, play: bool
) -> int:
    """Chat until a word that ends it, or the end of stdin; give the exit code: 1 if a piped turn failed."""
    speech = None
    if audio_out is not None:
        speech = SpeechFile(audio_out)
        speech.check(session.as_json, several=True)
    return Chat(session, request_of, speech, play).run()


@dataclass
class Chat:
    """A chat at a terminal or through a pipe.

    At a terminal replies stream, Ctrl-C stops one (its turn is then forgotten) and Ctrl-D ends the chat.
    From a pipe there are no prompts: one reply a line, or one JSON object a line with ``--json``
    (``{"error": …}`` for a turn that failed).

    Attributes:
        request_of: a request from the text of a line.
        speech: where the first reply is spoken to; those after it take numbered names beside it.
        play: replies are heard as they are made.
    """

    session: Session
    request_of: Callable[[str], Request]
    speech: SpeechFile | None = None
    play: bool = False
    typed: bool = field(init=False)
    shown: bool = field(init=False)

    def __post_init__(self) -> None:
        self.typed = is_terminal(sys.stdin)
        self.shown = is_terminal(sys.stdout) and not self.session.as_json
        self._spoken = 0
        self._playing: Playing = {}

    def run(self) -> int:
        """Chat to the end; see :func:`start_chat`."""
        console = self.session.console
        omni = self.session.load()
        _ = omni.tokenizer, omni.thinker  # now: a broken bundle should fail before the first prompt
        console.note(device_line(self.session.device, omni.providers, omni.threads))
        with player_of(omni, self.play) as self._playing:
            return self._talk(omni.chat())

    def _talk(self, conversation: Conversation) -> int:
        console = self.session.console
        if self.typed:
            with suppress(ImportError):
                import readline  # noqa: F401  (arrow keys and history at the prompt)
            console.note("exit or Ctrl-D ends the chat, reset forgets it, Ctrl-C stops a reply")
        failed = False
        while (line := self._next_line()) is not None:
            text = line.lstrip("\ufeff").strip()  # a byte order mark: PowerShell begins a pipe with it
            if text.lower() in ENDING:
                break
            if text.lower() in RESETTING:
                conversation.reset()
                console.note("the conversation is forgotten")
            elif text:
                failed |= not self._turn(conversation, text)
        return 1 if failed and not self.typed else 0

    def _turn(self, conversation: Conversation, text: str) -> bool:
        """One turn; whether it was answered."""
        console = self.session.console
        try:
            self._answer(conversation, text)
        except OutputError:
            raise
        except MuomniError as error:  # the next turn may fit
            console.error(str(error))
            if self.session.as_json:
                console.answer_json({"error": str(error)})
            return False
        except KeyboardInterrupt:
            if not self.typed:
                raise
            console.note("stopped; this turn is forgotten")
        return True

    def _answer(self, conversation: Conversation, text: str) -> None:
        console = self.session.console
        request = self.request_of(text)
        if self.shown:
            if self.typed:
                console.stream(MODEL)
            try:
                reply = conversation.say(request, on_text=console.stream, **self._playing)
            finally:  # an error or Ctrl-C leaves half a line
                console.answer("")
        else:
            reply = conversation.say(request, **self._playing)
            if not self.session.as_json:
                console.answer(" ".join(reply.text.splitlines()))
        place = None
        if reply.speech is not None and self.speech is not None:
            self._spoken += 1
            place = self.speech.numbered(self._spoken).write(reply.speech, console)
        if self.session.as_json:
            console.answer_json(reply_object(reply, place))
        console.notes_of(reply)

    def _next_line(self) -> str | None:
        """The next line; None at the end of stdin."""
        while True:
            try:
                return self._typed_line() if self.typed else _piped_line()
            except KeyboardInterrupt:
                if not self.typed:
                    raise
                print(file=sys.stderr)

    def _typed_line(self) -> str | None:
        """A line from the terminal; None at Ctrl-D. The prompt goes where the reader is, never into a file."""
        try:
            if self.shown:
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
