"""A response of a session and the turn that makes it, in the engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from muomni.errors import ExecutionError
from muomni.events import Event, Failed, Finished, SpeechDelta, TextDelta

from .protocol import Running
from .response import Response

if TYPE_CHECKING:
    from .replies import Replies


class Exchange:
    """A response and its turn.

    Attributes:
        main: it is the conversation's next turn, and not one beside it.
        waited_for: nothing of it has been heard, or read, yet.
    """

    running: Running

    def __init__(self, replies: Replies, response: Response, main: bool) -> None:
        self.response, self.main, self.waited_for = response, main, True
        self._replies = replies

    def event(self, event: Event) -> None:
        """What the engine says; a response that was cancelled tells no more of it."""
        response = self.response
        match event:
            case TextDelta(text) if not response.over:
                response.text(text)
                self._arrived(response.speaks)
            case SpeechDelta(samples, rate_hz) if not response.over:
                response.speech(samples, rate_hz)
                self._arrived(False)
            case Finished(reply):
                response.finish(reply)
                if self.main:
                    self._replies.remembered(self, reply)
            case Failed(error):
                response.fail(error)

    def over(self) -> None:
        """The engine has let go of the turn."""
        self.response.fail(ExecutionError("the reply was given up: the client took too little of it"))
        self.waited_for = False
        self._replies.over(self)

    def _arrived(self, more_is_waited_for: bool) -> None:
        if self.waited_for and not more_is_waited_for:
            self.waited_for = False
            self._replies.arrived()
