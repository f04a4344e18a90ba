"""One response: the events by which a client hears of a reply."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from muomni.errors import MuomniError
from muomni.live.rate import RateStream
from muomni.live.silero import Samples
from muomni.replies import Reply, Usage

from .audio import AudioFormat, to_base64, to_int16
from .items import Item, Part
from .outgoing import Send

Reason = Literal["turn_detected", "client_cancelled"]


class Response:
    """Tells of a reply while it comes about.

    Args:
        send: takes a server event.
        item: that the reply becomes; it is announced with the first piece.
        announce: told when the item is to enter the conversation.
        said: format of the speech; None where the reply is text alone.
        shown: fields of the ``response`` object that do not change.
    """

    def __init__(
        self,
        response_id: str,
        send: Send,
        item: Item,
        announce: Callable[[Item], None],
        said: AudioFormat | None,
        shown: dict[str, Any],
    ) -> None:
        self.id, self.item = response_id, item
        self._send, self._announce, self._said, self._shown = send, announce, said, shown
        self._announced = False
        self._text: list[str] = []
        self._rate: RateStream | None = None
        self._rate_hz = 0
        self._pieces: list[NDArray[np.int16]] = []
        self.status: Literal["in_progress", "completed", "cancelled", "incomplete", "failed"] = "in_progress"
        self._send({"type": "response.created", "response": self.shown()})

    @property
    def speaks(self) -> bool:
        """It has speech, or will have."""
        return self._said is not None

    @property
    def over(self) -> bool:
        """Its last event has been sent."""
        return self.status != "in_progress"

    def shown(self, details: dict[str, Any] | None = None, usage: Usage | None = None) -> dict[str, Any]:
        """The ``response`` object."""
        return {
            "object": "realtime.response",
            "id": self.id,
            "status": self.status,
            "status_details": details,
            "output": [self.item.shown()] if self._announced else [],
            "usage": None if usage is None else _usage(usage),
            **self._shown,
        }

    def text(self, piece: str) -> None:
        """More of the reply's text."""
        self._begin()
        self._text.append(piece)
        self._tell("output_text" if self._said is None else "output_audio_transcript", "delta", delta=piece)

    def speech(self, samples: Samples, rate_hz: int) -> None:
        """More of its speech."""
        assert self._said is not None
        self._begin()
        if self._rate is None:
            self._rate, self._rate_hz = RateStream(rate_hz, self._said.rate_hz), rate_hz
        self._pieces.append(to_int16(samples))
        self._sound(self._rate.push(samples))

    def finish(self, reply: Reply) -> None:
        """It is whole; nothing is told of one that was cancelled."""
        self.item.token_ids = reply.token_ids
        if self.over:
            return
        if self._rate is not None:
            self._sound(self._rate.finish())
        length = reply.finish_reason == "length"
        self._end(
            "incomplete" if length else "completed",
            {"reason": "max_output_tokens"} if length else {},
            reply.usage,
        )

    def cancel(self, reason: Reason) -> None:
        """It ends here; what was said of it stays."""
        self._end("cancelled", {"reason": reason})

    def fail(self, error: MuomniError) -> None:
        """It cannot be given."""
        details = {"type": "invalid_request_error" if isinstance(error, ValueError) else "server_error"}
        self._end("failed", {"error": details | {"code": type(error).__name__, "message": str(error)}})

    def _begin(self) -> None:
        if self._announced:
            return
        self._announced = True
        kind: Literal["output_text", "output_audio"] = "output_text" if self._said is None else "output_audio"
        self.item.status = "in_progress"
        self._send(self._event("response.output_item.added", content=False, item=self.item.shown()))
        self._announce(self.item)
        self.item.parts = [Part(kind, "")]
        self._send(self._event("response.content_part.added", part=self._part()))

    def _sound(self, samples: Samples) -> None:
        assert self._said is not None
        if not len(samples):
            return
        data = self._said.encode(samples)
        self.item.audio_ms += self._said.seconds(len(data)) * 1000
        self._tell("output_audio", "delta", delta=to_base64(data))

    def _end(
        self,
        status: Literal["completed", "cancelled", "incomplete", "failed"],
        details: dict[str, Any],
        usage: Usage | None = None,
    ) -> None:
        if self.over:
            return
        if status in ("completed", "incomplete"):
            self._begin()
        self.status = status
        if self._announced:
            text = "".join(self._text)
            audio = np.concatenate(self._pieces) if self._pieces else None
            self.item.parts = [
                replace(self.item.parts[0], text=text, audio=audio, rate_hz=self._rate_hz or 1)
            ]
            self.item.status = "completed" if status == "completed" else "incomplete"
            if self._said is None:
                self._tell("output_text", "done", text=text)
            else:
                self._tell("output_audio", "done")
                self._tell("output_audio_transcript", "done", transcript=text)
            self._send(self._event("response.content_part.done", part=self._part()))
            self._send(self._event("response.output_item.done", content=False, item=self.item.shown()))
            self._send({"type": "conversation.item.done", "item": self.item.shown()})
        details = {"type": status, **details} if status != "completed" else {}
        self._send({"type": "response.done", "response": self.shown(details or None, usage)})

    def _part(self) -> dict[str, Any]:
        part = self.item.parts[0]
        if self._said is None:
            return {"type": "text", "text": part.text}
        return {"type": "audio", "transcript": part.text}

    def _tell(self, what: str, stage: str, **fields: Any) -> None:
        self._send(self._event(f"response.{what}.{stage}", item_id=self.item.id, **fields))

    def _event(self, name: str, content: bool = True, **fields: Any) -> dict[str, Any]:
        place = {"item_id": self.item.id, "content_index": 0} if content else {}
        return {"type": name, "response_id": self.id, "output_index": 0, **place, **fields}


def _usage(usage: Usage) -> dict[str, Any]:
    """As OpenAI counts; pictures are counted on their own. Speech takes no tokens of the context."""
    return {
        "total_tokens": usage.total_tokens,
        "input_tokens": usage.prompt_tokens,
        "output_tokens": usage.completion_tokens,
        "input_token_details": {
            "text_tokens": usage.text_tokens,
            "audio_tokens": usage.audio_tokens,
            "image_tokens": usage.image_tokens,
            "cached_tokens": usage.cached_tokens,
        },
        "output_token_details": {"text_tokens": usage.completion_tokens, "audio_tokens": 0},
    }
