"""One request on its way to an engine and back."""

from __future__ import annotations

from typing import Protocol

from muomni.models.registry import Models
from muomni.replies import Reply
from muomni.requests import Request, SpeechOptions

from .engine import Engine
from .prompt import Prompt, prepare
from .sequence import Sequence
from .timings import Timings


class Turn(Protocol):
    """What is prepared by any thread, joins an engine, and is told when it has succeeded.

    The order is prepare, join, then remember where a reply came, then release; release comes in any case.
    """

    request: Request

    def prepare(self) -> None: ...

    def join(self, engine: Engine, stream_text: bool) -> Sequence: ...

    def remember(self, reply: Reply) -> None: ...

    def release(self) -> None: ...


class LoneTurn:
    """A request of which nothing is remembered."""

    def __init__(self, models: Models, request: Request) -> None:
        self.request = request
        self._models, self._timings = models, Timings()
        self._prompt: Prompt | None = None

    def prepare(self) -> None:
        """Encode the request's media and text."""
        self._prompt = prepare(self.request, self._models, self._timings)

    def join(self, engine: Engine, stream_text: bool) -> Sequence:
        """Be answered by an engine from its next step on."""
        return engine.add(self.request, prompt=self._prompt, timings=self._timings, stream_text=stream_text)

    def remember(self, reply: Reply) -> None:
        """Nothing."""

    def release(self) -> None:
        """Nothing."""


class SaidTurn:
    """A text that is spoken as it is."""

    def __init__(self, models: Models, text: str, options: SpeechOptions) -> None:
        self.request = Request(text, speech=options)
        self._models, self._text, self._options = models, text, options

    def prepare(self) -> None:
        """Load what speaking needs, and refuse a Talker that reads no text."""
        self._models.talker()
        self._models.preload_speech()

    def join(self, engine: Engine, stream_text: bool) -> Sequence:
        """Be spoken by an engine from its next step on."""
        return engine.say(self._text, self._options)

    def remember(self, reply: Reply) -> None:
        """Nothing."""

    def release(self) -> None:
        """Nothing."""
