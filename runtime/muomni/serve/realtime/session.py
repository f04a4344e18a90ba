"""A session as a state machine: client events and the engine's events in, server events out.

It does no input or output of its own, knows no clock and no thread; whoever drives it does. Every client event is
answered by an event or by an ``error`` event, whatever it is and whenever it comes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from pydantic import ValidationError

from muomni.errors import MuomniError
from muomni.live.silero import Samples
from muomni.live.turns import RATE_HZ, Judge, Spoken

from .audio import AudioFormat, from_base64, to_int16
from .config import FormatConfig, ResponseOptions, SessionConfig
from .incoming import IncomingAudio
from .item_list import ItemList
from .items import MOST_AUDIO_BYTES, Item, Part
from .outgoing import Outgoing, Send
from .protocol import ClientError, Host, handler_of, new_id, parsed_event, validation_error
from .replies import Replies
from .transcripts import Transcripts

PCM = AudioFormat("audio/pcm")
ROUNDING_MS = 50
"""A client's clock may say that it has played a little more than it was sent."""


class Session:
    """One connection.

    Args:
        host: see :class:`Host`.
        send: takes a server event, ready to be written as JSON.
        judge: finds speech; None refuses ``server_vad``.
        audio_format: of both ways, until the client asks for another.

    Example:
        >>> session = Session(host, print, Silero())
        >>> session.open()
        >>> session.receive('{"type": "response.create"}')
        >>> while session.work(): ...
    """

    def __init__(self, host: Host, send: Send, judge: Judge | None, audio_format: AudioFormat = PCM) -> None:
        self.id = new_id("sess")
        self.config = SessionConfig(output_modalities=["audio"] if host.can_speak else ["text"])
        chosen = FormatConfig.of(audio_format)
        self.config.audio.input.format = self.config.audio.output.format = chosen
        if judge is None:
            self.config.audio.input.turn_detection = None
        heard = self.config.audio.input
        self._host, self._out = host, Outgoing(send)
        self._incoming = IncomingAudio(judge, heard.turn_detection, heard.format.format)
        self._next_item_id = new_id("item")  # of what is being said
        self._started_at = 0
        self.items = ItemList(self._out)
        self.replies = Replies(host, self._out, self.items, lambda: self.config, self._write_down)
        self._transcripts = Transcripts(host, self._out)

    # -- what comes in

    def open(self) -> None:
        """Say hello."""
        self._out.say("session.created", session=self._shown())

    def receive(self, text: str | bytes) -> None:
        """Follow a client event; what is wrong with it is an ``error`` event."""
        self._out.client_event = None
        try:
            event = parsed_event(text)
            event_id = event.get("event_id")
            self._out.client_event = event_id if isinstance(event_id, str) else None
            handler = handler_of(event, HANDLERS)
            if event["type"] != "input_audio_buffer.append":  # it is about what came before it
                while self.work():
                    pass
            handler(self, event)
        except ValidationError as error:
            self._out.error(validation_error(error))
        except MuomniError as error:
            self._out.error(error)

    def work(self) -> bool:
        """Look through a little of the sound that has come; whether there is more."""
        if self._incoming.waiting:
            for spoken in self._incoming.work():
                self._spoken(spoken)
        return self._incoming.waiting

    @property
    def waiting_s(self) -> float:
        """Seconds of sound that nobody has looked through."""
        return self._incoming.waiting_s

    def cut(self) -> Samples:
        """A part of :meth:`work`, see :meth:`IncomingAudio.cut`; :meth:`settle` is the other."""
        return self._incoming.cut()

    def settle(self, likely: Iterable[float]) -> None:
        for spoken in self._incoming.settle(likely):
            self._spoken(spoken)

    def close(self) -> None:
        """The client is gone: nothing more is made for it."""
        self.replies.close()

    def forget_unheard(self, item_id: str) -> None:
        """Of a reply that was cut off: what was not sent was not heard."""
        item = self.items[item_id]
        if item.parts and item.parts[0].kind == "output_audio":
            self.replies.truncate(item, item.audio_ms)

    @property
    def context_positions(self) -> int:
        """Positions of the model's context that the conversation takes."""
        return self.replies.context_positions

    # -- client events

    def _on_session_update(self, event: dict[str, Any]) -> None:
        changes = event.get("session")
        if not isinstance(changes, dict):
            raise ClientError("session: expected an object", param="session")
        new = self.config.updated(changes)
        if "audio" in new.output_modalities and not self._host.can_speak:
            raise ClientError("session.output_modalities: this bundle cannot speak; expected ['text']")
        self._incoming.configure(new.audio.input.turn_detection, new.audio.input.format.format)
        self.config = new
        self._out.say("session.updated", session=self._shown())

    def _on_append(self, event: dict[str, Any]) -> None:
        if not self._host.can_hear:
            raise ClientError("this bundle cannot hear: it has no audio encoder")
        audio = event.get("audio")
        if not isinstance(audio, str):
            raise ClientError("audio: expected base64", param="audio")
        self._incoming.push(from_base64(audio, MOST_AUDIO_BYTES))

    def _on_commit(self, event: dict[str, Any]) -> None:
        incoming = self._incoming
        start = self._started_at if incoming.speaking else incoming.start
        samples = incoming.take(start, incoming.end)
        incoming.clear()
        if not len(samples):
            raise ClientError(
                "the input audio buffer is empty; append audio first", "input_audio_buffer_commit_empty"
            )
        self._commit(samples)
        self._write_down()

    def _on_clear(self, event: dict[str, Any]) -> None:
        self._incoming.clear()
        self._out.say("input_audio_buffer.cleared")

    def _on_item_create(self, event: dict[str, Any]) -> None:
        heard = self.config.audio.input.format.format
        self.items.create(event.get("item"), event.get("previous_item_id"), heard)

    def _on_item_delete(self, event: dict[str, Any]) -> None:
        item = self.items[event.get("item_id")]
        self.replies.stop(item)
        self.items.delete(item)

    def _on_item_retrieve(self, event: dict[str, Any]) -> None:
        item = self.items[event.get("item_id")]
        audio = self.config.audio
        format_ = (audio.output if item.role == "assistant" else audio.input).format.format
        self._out.say("conversation.item.retrieved", item=item.shown(format_))

    def _on_item_truncate(self, event: dict[str, Any]) -> None:
        item = self.items[event.get("item_id")]
        end_ms = event.get("audio_end_ms")
        if item.role != "assistant" or not item.parts or item.parts[0].kind != "output_audio":
            raise ClientError("item_id: only what was spoken can be truncated", param="item_id")
        if event.get("content_index", 0) != 0:
            raise ClientError("content_index: expected 0", param="content_index")
        if isinstance(end_ms, bool) or not isinstance(end_ms, int) or end_ms < 0:
            raise ClientError("audio_end_ms: expected milliseconds", param="audio_end_ms")
        self.replies.stop(item)
        if end_ms > item.audio_ms + ROUNDING_MS:
            raise ClientError(
                f"audio_end_ms: the audio lasts {item.audio_ms:.0f} ms, got {end_ms}", param="audio_end_ms"
            )
        self.replies.truncate(item, min(end_ms, item.audio_ms))
        self._out.say("conversation.item.truncated", item_id=item.id, content_index=0, audio_end_ms=end_ms)

    def _on_response_create(self, event: dict[str, Any]) -> None:
        given = event.get("response")
        self.replies.create(ResponseOptions.model_validate({} if given is None else given))

    def _on_response_cancel(self, event: dict[str, Any]) -> None:
        self.replies.cancel_by_client(event.get("response_id"))

    def _on_output_clear(self, event: dict[str, Any]) -> None:
        # Of WebRTC, where the server plays. Here the client does, and there is nothing to clear.
        raise ClientError(
            "output_audio_buffer.clear is for WebRTC; here stop playing, and send conversation.item.truncate",
            "unsupported_event",
        )

    # -- turns of the person

    def _spoken(self, spoken: Spoken) -> None:
        turns = self.config.audio.input.turn_detection
        assert turns is not None
        if spoken.what == "started":
            self._started_at = max(spoken.at, self._incoming.start)
            start_ms = self._started_at * 1000 // RATE_HZ
            self._out.say(
                "input_audio_buffer.speech_started", audio_start_ms=start_ms, item_id=self._next_item_id
            )
            if turns.interrupt_response:
                self.replies.interrupt()
            return
        end_ms = spoken.at * 1000 // RATE_HZ
        self._out.say("input_audio_buffer.speech_stopped", audio_end_ms=end_ms, item_id=self._next_item_id)
        self._commit(self._incoming.take(self._started_at, spoken.at))
        if turns.create_response:
            try:
                self.replies.create(ResponseOptions())
            except MuomniError as error:
                self._out.error(error)
        self._write_down()

    def _commit(self, samples: Samples) -> None:
        item = Item(self._next_item_id, "user", [Part("input_audio", audio=to_int16(samples))])
        self._next_item_id = new_id("item")
        before = self.items.last_id
        self._out.say("input_audio_buffer.committed", item_id=item.id, previous_item_id=before)
        self.items.add(item)
        self._out.say("conversation.item.done", item=item.shown(), previous_item_id=before)
        if self.config.audio.input.transcription is not None:
            self._transcripts.want(item, 0)

    def _write_down(self) -> None:
        """What was said is written down when no reply is waited for."""
        if not self.replies.waited_for:
            self._transcripts.begin()

    def _shown(self) -> dict[str, Any]:
        return self.config.shown(self.id, self._host.model, self._host.voice)


HANDLERS: dict[str, Callable[[Session, dict[str, Any]], None]] = {
    "session.update": Session._on_session_update,
    "input_audio_buffer.append": Session._on_append,
    "input_audio_buffer.commit": Session._on_commit,
    "input_audio_buffer.clear": Session._on_clear,
    "conversation.item.create": Session._on_item_create,
    "conversation.item.delete": Session._on_item_delete,
    "conversation.item.retrieve": Session._on_item_retrieve,
    "conversation.item.truncate": Session._on_item_truncate,
    "response.create": Session._on_response_create,
    "response.cancel": Session._on_response_cancel,
    "output_audio_buffer.clear": Session._on_output_clear,
}
