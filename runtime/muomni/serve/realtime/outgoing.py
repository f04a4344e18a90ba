"""Server events: each has an id, and errors have OpenAI's shape."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from muomni.errors import InputError, MuomniError

from .protocol import ClientError, new_id

Send = Callable[[dict[str, Any]], None]


def error_fields(error: MuomniError) -> dict[str, Any]:
    """What a client is told of an error, but for the event that it answers."""
    code, param = (
        (error.code, error.param) if isinstance(error, ClientError) else (type(error).__name__, None)
    )
    kind = "invalid_request_error" if isinstance(error, InputError) else "server_error"
    return {"type": kind, "code": code, "message": str(error), "param": param}


class Outgoing:
    """What a session says.

    Args:
        send: takes an event, ready to be written as JSON.

    Attributes:
        client_event: id of the event that is being followed; errors name it.
    """

    def __init__(self, send: Send) -> None:
        self._send = send
        self.client_event: str | None = None

    def emit(self, event: dict[str, Any]) -> None:
        """Say an event that has all but its id."""
        self._send({"event_id": new_id("event"), **event})

    def say(self, name: str, **fields: Any) -> None:
        """Say an event of this type."""
        self.emit({"type": name, **fields})

    def error(self, error: MuomniError) -> None:
        """Say what is wrong."""
        self.say("error", error=error_fields(error) | {"event_id": self.client_event})
