"""Recordings that are written down, by the same model, when no reply is waited for."""

from __future__ import annotations

from muomni.errors import MuomniError
from muomni.events import Event, Failed, Finished
from muomni.replies import Reply
from muomni.requests import Request

from .items import Item, Part
from .outgoing import Outgoing
from .protocol import Host

NAME = "conversation.item.input_audio_transcription"


class Transcripts:
    """Recordings of a session that are to be written down."""

    def __init__(self, host: Host, out: Outgoing) -> None:
        self._host, self._out = host, out
        self._waiting: list[tuple[Item, int]] = []

    def want(self, item: Item, index: int) -> None:
        """Have a part of an item written down, later."""
        self._waiting.append((item, index))

    def begin(self) -> None:
        """Begin with all that wait."""
        while self._waiting:
            item, index = self._waiting.pop(0)
            part = item.parts[index]
            if part.audio is None:
                continue
            request = Request(
                self._host.transcript_question, audio=(part.samples(), part.rate_hz), truncate=True
            )
            try:
                self._host.run(self._host.lone_turn(request), Transcript(self, item, index))
            except MuomniError as error:
                self.failed(item, index, error)

    def written(self, item: Item, index: int, reply: Reply) -> None:
        """What a recording says."""
        part = item.parts[index]
        item.parts[index] = Part(part.kind, reply.text, part.audio, part.rate_hz)
        seconds = 0.0 if part.audio is None else len(part.audio) / part.rate_hz
        self._out.say(
            f"{NAME}.completed",
            item_id=item.id,
            content_index=index,
            transcript=reply.text,
            usage={"type": "duration", "seconds": seconds},
        )

    def failed(self, item: Item, index: int, error: MuomniError) -> None:
        """A recording that cannot be written down."""
        details = {"type": "server_error", "code": type(error).__name__, "message": str(error)}
        self._out.say(f"{NAME}.failed", item_id=item.id, content_index=index, error=details)


class Transcript:
    """One of them, in the engine."""

    def __init__(self, transcripts: Transcripts, item: Item, index: int) -> None:
        self._transcripts, self._item, self._index = transcripts, item, index

    def event(self, event: Event) -> None:
        """What the engine says."""
        if isinstance(event, Finished):
            self._transcripts.written(self._item, self._index, event.reply)
        elif isinstance(event, Failed):
            self._transcripts.failed(self._item, self._index, event.error)

    def over(self) -> None:
        """Nothing waits for it."""
