"""What a session and its server have in common: who runs turns, who is told of them, and how events go wrong."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Protocol, TypeVar
from uuid import uuid4

from pydantic import ValidationError

from muomni.engine.conversation import Conversation
from muomni.engine.turn import Turn
from muomni.errors import InputError
from muomni.events import Event
from muomni.live.heard import Decodes
from muomni.requests import Request
from muomni.serve.json_size import MOST_PARTS, parts_of

T = TypeVar("T")


class Running(Protocol):
    """A turn that an engine answers."""

    def cancel(self, keep: bool = False) -> None: ...


class Listener(Protocol):
    """Told of a turn, in the session's own thread."""

    def event(self, event: Event) -> None: ...

    def over(self) -> None:
        """The turn has been released, and no event follows."""
        ...


class Host(Protocol):
    """What a session needs of its server.

    Attributes:
        model: the name that clients are told.
        can_hear, can_speak: whether the bundle has what it takes.
        spoken_question: what is asked of a recording that comes without a text.
        transcript_question: what is asked to have it written down.
        most_tokens: of a reply, where a client sets no limit.
        context_length: positions of the model's context.
    """

    model: str
    can_hear: bool
    can_speak: bool
    spoken_question: str
    transcript_question: str
    most_tokens: int
    context_length: int
    tokenizer: Decodes

    @property
    def voice(self) -> str | None:
        """The name of the one voice, where there is one."""
        return "default" if self.can_speak else None

    def interrupted(self) -> None:
        """Speech has ended a reply; for those who count."""

    def new_chat(self) -> Conversation: ...

    def lone_turn(self, request: Request) -> Turn: ...

    def run(self, turn: Turn, listener: Listener) -> Running:
        """Raises MuomniError where it cannot be taken; the turn has then been released."""
        ...


class ClientError(InputError):
    """A client event that cannot be followed.

    Attributes:
        code, param: OpenAI's words for it.
    """

    def __init__(self, message: str, code: str = "invalid_value", param: str | None = None) -> None:
        super().__init__(message)
        self.code, self.param = code, param


def validation_error(error: ValidationError) -> ClientError:
    """The first thing that is wrong, in our words."""
    first = error.errors()[0]
    param = ".".join(map(str, first["loc"]))
    return ClientError(f"{param}: {first['msg']}, got {str(first['input'])[:100]!r}", param=param)


def new_id(kind: str) -> str:
    """A fresh id, such as ``item_…``."""
    return f"{kind}_{uuid4().hex[:20]}"


def parsed_event(text: str | bytes) -> dict[str, Any]:
    """A client event. Raises ClientError unless it is an object with a type."""
    if parts_of(text) > MOST_PARTS:
        raise ClientError(f"an event holds at most {MOST_PARTS} values of JSON", "event_too_large")
    try:
        event = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ClientError(
            f"expected an event as JSON, got something else ({error})", "invalid_json"
        ) from None
    if not isinstance(event, dict) or not isinstance(event.get("type"), str):
        raise ClientError("expected an object with a type", "invalid_event", "type")
    return event


def handler_of(event: dict[str, Any], handlers: Mapping[str, T]) -> T:
    """What follows an event of this type.

    Raises:
        ClientError: there is no such type.
    """
    handler = handlers.get(event["type"])
    if handler is None:
        known = ", ".join(handlers)
        raise ClientError(
            f"type: expected one of {known}, got {event['type'][:100]!r}", "unknown_event", "type"
        )
    return handler
