"""A session as a state machine: client events and the engine's events in, server events out.

It does no input or output of its own, knows no clock and no thread; whoever drives it does. Every client event is
answered by an event or by an ``error`` event, whatever it is and whenever it comes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from muomni.engine.turn import Turn
from muomni.errors import InputError, MuomniError
from muomni.live.heard import heard_text, ids_within
from muomni.live.silero import Samples
from muomni.live.turns import RATE_HZ, Judge, Spoken
from muomni.models.sampling import SamplingOptions
from muomni.replies import Reply
from muomni.requests import Request, SpeechOptions

from .audio import AudioFormat, from_base64, to_int16
from .config import FormatConfig, ResponseOptions, SessionConfig
from .context import Context, with_question
from .exchange import Exchange, Transcript
from .incoming import IncomingAudio
from .items import MOST_AUDIO_BYTES, Item, Part, item_from
from .protocol import ClientError, Host, handler_of, new_id, parsed_event
from .response import Reason, Response

MOST_ITEMS = 1000
MOST_KEPT_BYTES = 16 * 1024 * 1024
"""Sound of earlier items; beyond it the oldest is let go of."""
MOST_RESPONSES = 4
"""At once, those beside the conversation included."""
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

    def __init__(
        self,
        host: Host,
        send: Callable[[dict[str, Any]], None],
        judge: Judge | None,
        audio_format: AudioFormat = PCM,
    ) -> None:
        self.id = new_id("sess")
        self.config = SessionConfig(output_modalities=["audio"] if host.can_speak else ["text"])
        chosen = FormatConfig.of(audio_format)
        self.config.audio.input.format = self.config.audio.output.format = chosen
        if judge is None:
            self.config.audio.input.turn_detection = None
        self.items: list[Item] = []
        self._host, self._out = host, send
        heard = self.config.audio.input
        self._incoming = IncomingAudio(judge, heard.turn_detection, heard.format.format)
        self._context = Context(host.new_chat, host.spoken_question)
        self._conversation_id = new_id("conv")
        self._next_item_id = new_id("item")  # of what is being said
        self._started_at = 0
        self._exchanges: list[Exchange] = []  # that are not over
        self._wanted: ResponseOptions | None = None  # to be created when the one before has let go
        self._unheard: list[tuple[Item, int]] = []  # to be written down
        self._client_event: str | None = None

    # -- what comes in

    def open(self) -> None:
        """Say hello."""
        self._send("session.created", session=self._shown())

    def receive(self, text: str | bytes) -> None:
        """Follow a client event; what is wrong with it is an ``error`` event."""
        self._client_event = None
        try:
            event = parsed_event(text)
            self._client_event = event.get("event_id") if isinstance(event.get("event_id"), str) else None
            handler = handler_of(event, HANDLERS)
            if event["type"] != "input_audio_buffer.append":  # it is about what came before it
                while self.work():
                    pass
            handler(self, event)
        except ValidationError as error:
            first = error.errors()[0]
            param = ".".join(map(str, first["loc"]))
            self._error(
                ClientError(f"{param}: {first['msg']}, got {str(first['input'])[:100]!r}", param=param)
            )
        except MuomniError as error:
            self._error(error)

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
        self._wanted = None
        for exchange in tuple(self._exchanges):
            exchange.running.cancel()

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
        self._send("session.updated", session=self._shown())

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
        self.write_down()

    def _on_clear(self, event: dict[str, Any]) -> None:
        self._incoming.clear()
        self._send("input_audio_buffer.cleared")

    def _on_item_create(self, event: dict[str, Any]) -> None:
        given = event.get("item")
        wanted = given.get("id") if isinstance(given, dict) else None
        if wanted is not None and (not isinstance(wanted, str) or not 0 < len(wanted) <= 64):
            raise ClientError("item.id: expected text of 1 to 64 characters", param="item.id")
        if any(item.id == wanted for item in self.items):
            raise ClientError(f"item.id: there is an item {wanted!r} already", "item_exists", "item.id")
        item = item_from(given, wanted or new_id("item"), self.config.audio.input.format.format)
        after = event.get("previous_item_id")
        at = (
            len(self.items)
            if after is None
            else 0
            if after == "root"
            else self._index(after, "previous_item_id") + 1
        )
        self._add(item, at)
        self._send("conversation.item.done", item=item.shown(), previous_item_id=self._before(item))

    def _on_item_delete(self, event: dict[str, Any]) -> None:
        item = self.items[self._index(event.get("item_id"))]
        self._stop(item)
        self.items.remove(item)
        self._send("conversation.item.deleted", item_id=item.id)

    def _on_item_retrieve(self, event: dict[str, Any]) -> None:
        item = self.items[self._index(event.get("item_id"))]
        audio = self.config.audio
        format_ = (audio.output if item.role == "assistant" else audio.input).format.format
        self._send("conversation.item.retrieved", item=item.shown(format_))

    def _on_item_truncate(self, event: dict[str, Any]) -> None:
        item = self.items[self._index(event.get("item_id"))]
        end_ms = event.get("audio_end_ms")
        if item.role != "assistant" or not item.parts or item.parts[0].kind != "output_audio":
            raise ClientError("item_id: only what was spoken can be truncated", param="item_id")
        if event.get("content_index", 0) != 0:
            raise ClientError("content_index: expected 0", param="content_index")
        if isinstance(end_ms, bool) or not isinstance(end_ms, int) or end_ms < 0:
            raise ClientError("audio_end_ms: expected milliseconds", param="audio_end_ms")
        self._stop(item)
        if end_ms > item.audio_ms + ROUNDING_MS:
            raise ClientError(
                f"audio_end_ms: the audio lasts {item.audio_ms:.0f} ms, got {end_ms}", param="audio_end_ms"
            )
        self._truncate(item, min(end_ms, item.audio_ms))
        self._send("conversation.item.truncated", item_id=item.id, content_index=0, audio_end_ms=end_ms)

    def _on_response_create(self, event: dict[str, Any]) -> None:
        given = event.get("response")
        self._create(ResponseOptions.model_validate({} if given is None else given))

    def _on_response_cancel(self, event: dict[str, Any]) -> None:
        wanted = event.get("response_id")
        running = [e for e in self._exchanges if not e.response.over]
        if wanted is not None:
            running = [e for e in running if e.response.id == wanted]
        else:
            running = [e for e in running if e.main]
        if not running and not (wanted is None and self._wanted is not None):
            raise ClientError("there is no response to cancel", "response_cancel_not_active")
        self._wanted = None if wanted is None else self._wanted
        for exchange in running:
            self._cancel(exchange, "client_cancelled")

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
            self._send(
                "input_audio_buffer.speech_started", audio_start_ms=start_ms, item_id=self._next_item_id
            )
            if turns.interrupt_response:
                self._wanted = None
                for exchange in tuple(self._exchanges):
                    if exchange.main and not exchange.response.over:
                        self._cancel(exchange, "turn_detected")
            return
        end_ms = spoken.at * 1000 // RATE_HZ
        self._send("input_audio_buffer.speech_stopped", audio_end_ms=end_ms, item_id=self._next_item_id)
        self._commit(self._incoming.take(self._started_at, spoken.at))
        if turns.create_response:
            try:
                self._create(ResponseOptions())
            except MuomniError as error:
                self._error(error)
        self.write_down()

    def _commit(self, samples: Any) -> None:
        item = Item(self._next_item_id, "user", [Part("input_audio", audio=to_int16(samples))])
        self._next_item_id = new_id("item")
        before = self.items[-1].id if self.items else None
        self._send("input_audio_buffer.committed", item_id=item.id, previous_item_id=before)
        self._add(item, len(self.items))
        self._send("conversation.item.done", item=item.shown(), previous_item_id=before)
        if self.config.audio.input.transcription is not None:
            self._unheard.append((item, 0))

    def write_down(self) -> None:
        """Have recordings written down, when no reply is waited for."""
        if any(e.main and e.waited_for for e in self._exchanges):
            return
        while self._unheard:
            item, index = self._unheard.pop(0)
            part = item.parts[index]
            if part.audio is None:
                continue
            request = Request(
                self._host.transcript_question, audio=(part.samples(), part.rate_hz), truncate=True
            )
            try:
                self._host.run(self._host.lone_turn(request), Transcript(self, item, index))
            except MuomniError as error:
                self.transcribed(item, index, error)

    def transcribed(self, item: Item, index: int, outcome: Reply | MuomniError) -> None:
        """What became of a recording that was to be written down."""
        name = "conversation.item.input_audio_transcription"
        place = {"item_id": item.id, "content_index": index}
        if isinstance(outcome, MuomniError):
            error = {"type": "server_error", "code": type(outcome).__name__, "message": str(outcome)}
            self._send(f"{name}.failed", **place, error=error)
            return
        part = item.parts[index]
        item.parts[index] = Part(part.kind, outcome.text, part.audio, part.rate_hz)
        seconds = 0.0 if part.audio is None else len(part.audio) / part.rate_hz
        self._send(
            f"{name}.completed",
            **place,
            transcript=outcome.text,
            usage={"type": "duration", "seconds": seconds},
        )

    # -- replies

    def _create(self, options: ResponseOptions) -> None:
        main = options.conversation == "auto" and options.input is None
        if main and (
            self._wanted is not None or any(e.main and not e.response.over for e in self._exchanges)
        ):
            raise ClientError(
                "the conversation has a response in progress already; cancel it, or wait for response.done",
                "conversation_already_has_active_response",
            )
        if sum(not e.response.over for e in self._exchanges) >= MOST_RESPONSES:
            raise ClientError(f"{MOST_RESPONSES} responses are in progress already", "too_many_responses")
        if options.tools:
            raise ClientError(
                "response.tools: this model calls no tools; leave them out", param="response.tools"
            )
        if main and any(e.main for e in self._exchanges):  # cancelled, and not released by the engine yet
            self._wanted = options
            return
        modalities = options.output_modalities or self.config.output_modalities
        speaks = "audio" in modalities
        if speaks and not self._host.can_speak:
            raise ClientError("response.output_modalities: this bundle cannot speak; expected ['text']")
        most = options.max_output_tokens or self.config.max_output_tokens
        said = self.config.audio.output
        limit = self._host.most_tokens
        wish = Request(
            "",
            max_new_tokens=limit if most == "inf" else min(most, limit),
            sampling=SamplingOptions(),
            truncate=True,
            speech=SpeechOptions(speed=said.speed) if speaks else None,
        )
        turn = self._turn(options, main, wish)
        item = Item(new_id("item"), "assistant")
        joins = options.conversation == "auto"
        shown: dict[str, Any] = {
            "conversation_id": self._conversation_id if joins else None,
            "output_modalities": modalities,
            "max_output_tokens": most,
            "metadata": options.metadata,
            "audio": {"output": {"format": said.format.shown(), "voice": self._voice}},
        }

        def announce(reply: Item) -> None:
            if joins:
                self._add(reply, len(self.items))

        response = Response(
            new_id("resp"), self._emit, item, announce, said.format.format if speaks else None, shown
        )
        exchange = Exchange(self, response, main)
        self._exchanges.append(exchange)
        try:
            exchange.running = self._host.run(turn, exchange)
        except MuomniError as error:
            self._exchanges.remove(exchange)
            response.fail(error)

    def _turn(self, options: ResponseOptions, main: bool, wish: Request) -> Turn:
        """The conversation's next turn; or one beside it, of which its context knows nothing."""
        instructions = self.config.instructions if options.instructions is None else options.instructions
        if main:
            return self._context.turn(self.items, instructions, wish)
        items = self.items
        if options.input is not None:
            heard = self.config.audio.input.format.format
            items = []
            for given in options.input:
                if isinstance(given, dict) and given.get("type") == "item_reference":
                    items.append(self.items[self._index(given.get("id"), "response.input")])
                else:
                    items.append(item_from(given, new_id("item"), heard))
        asked, history = self._context.story(items, instructions)
        return self._host.lone_turn(replace(with_question(wish, asked), history=history))

    def remembered(self, exchange: Exchange, reply: Reply) -> None:
        """The conversation has taken a reply in; it may have been cancelled."""
        item = exchange.response.item
        here = any(other is item for other in self.items)
        self._context.remembered(item if here else None)
        item.token_ids = reply.token_ids
        if exchange.response.status == "cancelled" and here and item.text != reply.text:
            self._keep(item, item.text)

    def over(self, exchange: Exchange) -> None:
        """A turn was released by the engine."""
        self._exchanges.remove(exchange)
        wanted, self._wanted = self._wanted, None
        if wanted is not None:
            try:
                self._create(wanted)
            except MuomniError as error:
                self._error(error)
        self.write_down()

    def _cancel(self, exchange: Exchange, reason: Reason) -> None:
        exchange.response.cancel(reason)
        exchange.running.cancel(keep=True)

    def _stop(self, item: Item) -> None:
        """End the response that makes an item, if it is not over."""
        for exchange in tuple(self._exchanges):
            if exchange.response.item is item and not exchange.response.over:
                self._cancel(exchange, "client_cancelled")

    def _truncate(self, item: Item, heard_ms: float) -> None:
        part = item.parts[0]
        text = heard_text(part.text or "", heard_ms, item.audio_ms, item.status == "completed")
        audio = None if part.audio is None else part.audio[: int(heard_ms * part.rate_hz / 1000)]
        item.parts = [Part("output_audio", text, audio, part.rate_hz)]
        item.audio_ms = heard_ms
        self._keep(item, text)

    def _keep(self, item: Item, text: str) -> None:
        """Let the model remember no more of a reply than a beginning of its text."""
        item.revision += 1
        item.token_ids = ids_within(self._host.tokenizer, item.token_ids, text)
        self._context.shortened(item)

    # -- helpers

    def forget_unheard(self, item_id: str) -> None:
        """Of a reply that was cut off: what was not sent was not heard."""
        item = self.items[self._index(item_id)]
        if item.parts and item.parts[0].kind == "output_audio":
            self._truncate(item, item.audio_ms)

    @property
    def context_positions(self) -> int:
        """Positions of the model's context that the conversation takes."""
        return self._context.positions

    @property
    def _voice(self) -> str | None:
        return "default" if self._host.can_speak else None

    def _shown(self) -> dict[str, Any]:
        return self.config.shown(self.id, self._host.model, self._voice)

    def _add(self, item: Item, at: int) -> None:
        if len(self.items) >= MOST_ITEMS:
            raise ClientError(f"a conversation holds {MOST_ITEMS} items; delete some", "too_many_items")
        self.items.insert(at, item)
        self._send("conversation.item.added", item=item.shown(), previous_item_id=self._before(item))
        kept = sum(other.audio_bytes for other in self.items)
        for other in self.items[:-1]:
            if kept <= MOST_KEPT_BYTES:
                break
            kept -= other.audio_bytes
            other.without_audio()

    def _before(self, item: Item) -> str | None:
        at = self.items.index(item)
        return self.items[at - 1].id if at else None

    def _index(self, item_id: Any, param: str = "item_id") -> int:
        for at, item in enumerate(self.items):
            if item.id == item_id:
                return at
        shown = item_id[:100] if isinstance(item_id, str) else item_id
        raise ClientError(f"{param}: there is no item {shown!r}", "item_not_found", param)

    def _error(self, error: MuomniError) -> None:
        details = {
            "type": "invalid_request_error" if isinstance(error, InputError) else "server_error",
            "code": error.code if isinstance(error, ClientError) else type(error).__name__,
            "message": str(error),
            "param": error.param if isinstance(error, ClientError) else None,
            "event_id": self._client_event,
        }
        self._send("error", error=details)

    def _emit(self, event: dict[str, Any]) -> None:
        self._out({"event_id": new_id("event"), **event})

    def _send(self, name: str, **fields: Any) -> None:
        self._emit({"type": name, **fields})


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
