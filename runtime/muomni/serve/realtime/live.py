"""OpenAI's Live API over a realtime session: sound goes both ways all the time, and the server takes the turns.

A Live client plays what it gets in the order in which it comes, and says nothing of what was heard. So speech is sent
at the pace at which it is played, and what was sent counts as heard when somebody interrupts.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from muomni.errors import MuomniError
from muomni.live.silero import WINDOW, Samples
from muomni.live.turns import Judge

from .audio import AudioFormat, from_base64, to_base64
from .items import MOST_AUDIO_BYTES
from .outgoing import Send, error_fields
from .protocol import ClientError, Host, handler_of, new_id, parsed_event, validation_error
from .session import Session

LONGEST_SECONDS = 3600
AHEAD_SECONDS = 0.3
"""Speech is sent so far ahead of the time at which it is played."""


class _Format(BaseModel):
    type: Literal["audio/pcm", "audio/pcmu", "audio/pcma"] = "audio/pcm"
    rate: int | None = None

    def checked(self) -> AudioFormat:
        """Raises ClientError for a rate that the format does not have."""
        rates = (16_000, 24_000) if self.type == "audio/pcm" else (8_000,)
        if self.rate is not None and self.rate not in rates:
            expected = " or ".join(map(str, rates))
            raise ClientError(
                f"session.audio.format.rate: expected {expected}, got {self.rate}", param="session.audio"
            )
        return AudioFormat(self.type, self.rate or rates[-1])


class _Text(BaseModel):
    text: Annotated[str, Field(min_length=1, max_length=20_000)]


class _Initial(BaseModel):
    role: Literal["developer", "user", "assistant"]
    content: Annotated[list[_Text], Field(min_length=1, max_length=1)]


class _Audio(BaseModel):
    format: _Format | None = None
    output: dict[str, Any] | None = None


class _Start(BaseModel):
    """``session`` of ``session.start``. What this model cannot do is refused, not ignored."""

    model_config = ConfigDict(extra="ignore")
    model: str
    audio: _Audio | None = None
    instructions: Annotated[str, Field(max_length=20_000)] | None = None
    input: Annotated[list[_Initial], Field(max_length=128)] | None = None
    delegation: None = None
    triggers: Annotated[list[Any], Field(max_length=0)] | None = None
    store: Literal[False] | None = None


class LiveSession:
    """One connection, as :class:`muomni.serve.realtime.session.Session` is one of the Realtime API.

    Args:
        check_model: raises MuomniError for a model that is not served.
        ended: told when the client has asked for the end, and has been told of it.
        now: a clock, seconds.

    Example:
        >>> session = LiveSession(host, print, Silero(), check_model, stop)
        >>> session.receive('{"type": "session.start", "session": {"model": "muomni"}}')
    """

    def __init__(
        self,
        host: Host,
        send: Send,
        judge: Judge,
        check_model: Callable[[str], None],
        ended: Callable[[], None],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.id = new_id("live")
        self._host, self._out, self._judge, self._check_model = host, send, judge, check_model
        self._ended, self._now = ended, now
        self._inner: Session | None = None
        self._format = AudioFormat("audio/pcm")
        self._muted = False
        self._begun = 0.0
        self._turn_ms = (0, 0)  # of what was said last
        self._shown: dict[str, Any] = {}
        self._client_event: str | None = None

    def receive(self, text: str | bytes) -> None:
        """Follow a client event; what is wrong with it is an ``error`` event."""
        self._client_event = None
        try:
            event = parsed_event(text)
            self._client_event = event.get("event_id") if isinstance(event.get("event_id"), str) else None
            handler = handler_of(event, HANDLERS)
            if (event["type"] == "session.start") != (self._inner is None):
                raise ClientError("session.start comes first, and once", "invalid_event", "type")
            handler(self, event)
        except ValidationError as error:
            self._error(validation_error(error))
        except MuomniError as error:
            self._error(error)

    def work(self) -> bool:
        """See :meth:`Session.work`."""
        return self._inner is not None and self._inner.work()

    @property
    def waiting_s(self) -> float:
        return 0.0 if self._inner is None else self._inner.waiting_s

    def cut(self) -> Samples:
        return np.zeros((0, WINDOW), np.float32) if self._inner is None else self._inner.cut()

    def settle(self, likely: Iterable[float]) -> None:
        if self._inner is not None:
            self._inner.settle(likely)

    def close(self) -> None:
        """The client is gone."""
        if self._inner is not None:
            self._inner.close()

    # -- client events

    def _on_start(self, event: dict[str, Any]) -> None:
        wanted = _Start.model_validate(event.get("session"))
        self._check_model(wanted.model)
        if not (self._host.can_hear and self._host.can_speak):
            raise ClientError("this bundle cannot hear and speak, which is what a Live session does")
        audio = wanted.audio or _Audio()
        self._format = (audio.format or _Format()).checked()
        inner = Session(self._host, self._from_inner, self._judge, self._format)
        inner.receive(
            json.dumps(
                {
                    "type": "session.update",
                    "session": {
                        "instructions": wanted.instructions or "",
                        "audio": {"input": {"transcription": {"model": self._host.model}}},
                    },
                }
            )
        )
        for item in wanted.input or []:
            role = "system" if item.role == "developer" else item.role
            part = {
                "type": "output_text" if role == "assistant" else "input_text",
                "text": item.content[0].text,
            }
            given = {"type": "message", "role": role, "content": [part]}
            inner.receive(json.dumps({"type": "conversation.item.create", "item": given}))
        self._inner, self._begun = inner, self._now()
        self._shown = {
            "id": self.id,
            "model": self._host.model,
            "status": "active",
            "expires_at": int(time.time()) + LONGEST_SECONDS,
            "instructions": wanted.instructions,
            "audio": {
                "format": {"type": self._format.name, "rate": self._format.rate_hz},
                "output": {"voice": "default"},
            },
            "store": False,
        }
        self._send("session.started", session=self._shown)

    def _on_append(self, event: dict[str, Any]) -> None:
        assert self._inner is not None
        audio = event.get("audio")
        if not isinstance(audio, str):
            raise ClientError("audio: expected base64", param="audio")
        if self._muted:  # silence, of the same length
            data = from_base64(audio, MOST_AUDIO_BYTES)
            audio = to_base64(self._format.silence(len(data)))
        self._inner.receive(json.dumps({"type": "input_audio_buffer.append", "audio": audio}))

    def _on_mute(self, event: dict[str, Any]) -> None:
        self._muted = True
        self._send("session.input_audio.muted")

    def _on_unmute(self, event: dict[str, Any]) -> None:
        self._muted = False
        self._send("session.input_audio.unmuted")

    def _on_close(self, event: dict[str, Any]) -> None:
        self.close()
        usage = {"seconds": float(round(self._now() - self._begun))}
        self._send("session.closed", reason="close_requested", session=self._shown, usage=usage)
        self._ended()

    # -- what the session says

    def _from_inner(self, event: dict[str, Any]) -> None:
        name = event["type"]
        if name == "response.output_audio.delta":
            self._out({"type": "session.output_audio.delta", "delta": event["delta"]})
        elif name == "response.output_audio_transcript.delta":
            at = int((self._now() - self._begun) * 1000)
            self._send("session.output_transcript.delta", delta=event["delta"], start_ms=at, end_ms=at)
        elif name == "conversation.item.input_audio_transcription.completed":
            start, end = self._turn_ms
            self._send(
                "session.input_transcript.delta", delta=f"{event['transcript']} ", start_ms=start, end_ms=end
            )
        elif name == "input_audio_buffer.speech_started":
            self._turn_ms = (event["audio_start_ms"], event["audio_start_ms"])
        elif name == "input_audio_buffer.speech_stopped":
            self._turn_ms = (self._turn_ms[0], event["audio_end_ms"])
        elif name == "response.done":
            self._told(event["response"])
        elif name == "error":
            details = {key: value for key, value in event["error"].items() if key != "event_id"}
            self._send("error", error=details | {"client_event_id": self._client_event})

    def _told(self, response: dict[str, Any]) -> None:
        assert self._inner is not None
        if response["status"] == "failed":
            self._send("error", error=response["status_details"]["error"])
        elif response["status"] == "cancelled" and response["output"]:
            self._inner.forget_unheard(response["output"][0]["id"])
        ratio = self._inner.context_positions / self._host.context_length
        usage = {"seconds": float(round(self._now() - self._begun))}
        self._send("session.usage.updated", usage=usage, context_window={"usage_ratio": ratio})

    def _error(self, error: MuomniError) -> None:
        self._send("error", error=error_fields(error) | {"client_event_id": self._client_event})

    def _send(self, name: str, **fields: Any) -> None:
        answers = {} if self._client_event is None else {"client_event_id": self._client_event}
        self._out({"type": name, "event_id": new_id("event"), **answers, **fields})


HANDLERS: dict[str, Callable[[LiveSession, dict[str, Any]], None]] = {
    "session.start": LiveSession._on_start,
    "session.input_audio.append": LiveSession._on_append,
    "session.input_audio.mute": LiveSession._on_mute,
    "session.input_audio.unmute": LiveSession._on_unmute,
    "session.close": LiveSession._on_close,
}
