"""``--listen``: talk in the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from muomni.errors import MuomniError

from .console import Console, device_line
from .player import loudspeaker_of
from .session import Session

if TYPE_CHECKING:
    from muomni import Reply, Request


class Lines:
    """What is said, on stdout; what happens, on stderr."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._open = False

    def listening(self) -> None:
        """Somebody speaks."""
        self._end_line()
        self._console.note("listening …")

    def text(self, piece: str) -> None:
        """More of a reply."""
        self._console.stream(piece)
        self._open = True

    def over(self, reply: Reply | None, heard: str | None) -> None:
        """A reply is over."""
        self._end_line()
        if heard is not None:
            self._console.note(f"interrupted after: {heard!r}")
        elif reply is not None:
            self._console.notes_of(reply)

    def failed(self, error: MuomniError) -> None:
        """A reply could not be made; the conversation goes on."""
        self._end_line()
        self._console.error(str(error))

    def _end_line(self) -> None:
        if self._open:
            self._console.answer("")
            self._open = False


def listen(session: Session, options: Request, headphones: bool) -> None:
    """Talk until Ctrl-C.

    Raises:
        MissingPackageError, UsageError: there is no microphone or loudspeaker.
        StageError: the bundle cannot hear, or cannot speak.
    """
    from muomni.live.devices import Microphone, import_sounddevice
    from muomni.live.silero import Silero
    from muomni.live.talk import Talk, spoken_request

    import_sounddevice()  # before a model is loaded in vain
    omni = session.load()
    _ = omni.audio_encoder, omni.vocoder
    omni.warm_up()
    ask = spoken_request(options, omni.manifest.prompt.default_spoken_question)
    with loudspeaker_of(omni) as loudspeaker, Microphone() as microphone:
        talk = Talk(
            omni.chat(), omni.tokenizer, ask, Silero(), loudspeaker, Lines(session.console), headphones
        )
        session.console.note(device_line(session.device, omni.providers, omni.threads))
        session.console.note("speak; you may interrupt; Ctrl-C ends it")
        talk.listen(microphone)
