"""Replies of a session: they are created, cancelled, and cut to what was heard; the model's context follows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from muomni.engine.turn import Turn
from muomni.errors import MuomniError
from muomni.live.heard import heard_text, ids_within
from muomni.models.sampling import SamplingOptions
from muomni.replies import Reply
from muomni.requests import Request, SpeechOptions

from .config import ResponseOptions, SessionConfig
from .context import Context, with_question
from .exchange import Exchange
from .item_list import ItemList
from .items import Item, Part, item_from
from .outgoing import Outgoing
from .protocol import ClientError, Host, new_id
from .response import Reason, Response

MOST_RESPONSES = 4
"""At once, those beside the conversation included."""


class Replies:
    """The replies of one session.

    Args:
        config: of the session, as it is now.
        arrived: called when something of a reply has come, or a reply is over.

    Attributes:
        wanted: to be created when the one before has let go of the conversation.
    """

    def __init__(
        self,
        host: Host,
        out: Outgoing,
        items: ItemList,
        config: Callable[[], SessionConfig],
        arrived: Callable[[], None],
    ) -> None:
        self._host, self._out, self._items, self._config, self.arrived = host, out, items, config, arrived
        self._context = Context(host.new_chat, host.spoken_question)
        self._conversation_id = new_id("conv")
        self._exchanges: list[Exchange] = []  # that are not over
        self.wanted: ResponseOptions | None = None

    @property
    def waited_for(self) -> bool:
        """The conversation has a reply of which nothing has come yet."""
        return any(e.main and e.waited_for for e in self._exchanges)

    @property
    def running(self) -> int:
        """Turns that the engine has not let go of."""
        return len(self._exchanges)

    @property
    def context_positions(self) -> int:
        """Positions of the model's context that the conversation takes."""
        return self._context.positions

    def create(self, options: ResponseOptions) -> None:
        """Begin a reply, or want it when the one before has let go.

        Raises:
            MuomniError: it cannot be begun.
        """
        main = options.conversation == "auto" and options.input is None
        if main and (self.wanted is not None or any(e.main and not e.response.over for e in self._exchanges)):
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
            self.wanted = options
            return
        self._begin(options, main)

    def cancel_by_client(self, response_id: Any) -> None:
        """End the conversation's reply, or the one of this id.

        Raises:
            ClientError: there is none.
        """
        running = [e for e in self._exchanges if not e.response.over]
        if response_id is not None:
            running = [e for e in running if e.response.id == response_id]
        else:
            running = [e for e in running if e.main]
        if not running and not (response_id is None and self.wanted is not None):
            raise ClientError("there is no response to cancel", "response_cancel_not_active")
        self.wanted = None if response_id is None else self.wanted
        for exchange in running:
            self._cancel(exchange, "client_cancelled")

    def interrupt(self) -> None:
        """Somebody speaks: the conversation's reply ends."""
        self.wanted = None
        for exchange in tuple(self._exchanges):
            if exchange.main and not exchange.response.over:
                self._cancel(exchange, "turn_detected")

    def stop(self, item: Item) -> None:
        """End the response that makes an item, if it is not over."""
        for exchange in tuple(self._exchanges):
            if exchange.response.item is item and not exchange.response.over:
                self._cancel(exchange, "client_cancelled")

    def close(self) -> None:
        """Nobody hears them."""
        self.wanted = None
        for exchange in tuple(self._exchanges):
            exchange.running.cancel()

    def truncate(self, item: Item, heard_ms: float) -> None:
        """Of a spoken reply so much was heard; the model remembers no more."""
        part = item.parts[0]
        text = heard_text(part.text or "", heard_ms, item.audio_ms, item.status == "completed")
        audio = None if part.audio is None else part.audio[: int(heard_ms * part.rate_hz / 1000)]
        item.parts = [Part("output_audio", text, audio, part.rate_hz)]
        item.audio_ms = heard_ms
        self._keep(item, text)

    def remembered(self, exchange: Exchange, reply: Reply) -> None:
        """The conversation has taken a reply in; it may have been cancelled."""
        item = exchange.response.item
        here = item in self._items
        self._context.remembered(item if here else None)
        item.token_ids = reply.token_ids
        if exchange.response.status == "cancelled" and here and item.text != reply.text:
            self._keep(item, item.text)

    def over(self, exchange: Exchange) -> None:
        """A turn was released by the engine."""
        self._exchanges.remove(exchange)
        wanted, self.wanted = self.wanted, None
        if wanted is not None:
            try:
                self.create(wanted)
            except MuomniError as error:
                self._out.error(error)
        self.arrived()

    def _begin(self, options: ResponseOptions, main: bool) -> None:
        config, host = self._config(), self._host
        modalities = options.output_modalities or config.output_modalities
        speaks = "audio" in modalities
        if speaks and not host.can_speak:
            raise ClientError("response.output_modalities: this bundle cannot speak; expected ['text']")
        most = options.max_output_tokens or config.max_output_tokens
        said = config.audio.output
        wish = Request(
            "",
            max_new_tokens=host.most_tokens if most == "inf" else min(most, host.most_tokens),
            sampling=SamplingOptions(),
            truncate=True,
            speech=SpeechOptions(speed=said.speed) if speaks else None,
        )
        turn = self._turn(options, main, wish)
        joins = options.conversation == "auto"
        shown: dict[str, Any] = {
            "conversation_id": self._conversation_id if joins else None,
            "output_modalities": modalities,
            "max_output_tokens": most,
            "metadata": options.metadata,
            "audio": {"output": {"format": said.format.shown(), "voice": host.voice}},
        }

        def announce(reply: Item) -> None:
            if joins:
                self._items.add(reply)

        response = Response(
            new_id("resp"),
            self._out.emit,
            Item(new_id("item"), "assistant"),
            announce,
            said.format.format if speaks else None,
            shown,
        )
        exchange = Exchange(self, response, main)
        self._exchanges.append(exchange)
        try:
            exchange.running = host.run(turn, exchange)
        except MuomniError as error:
            self._exchanges.remove(exchange)
            response.fail(error)

    def _turn(self, options: ResponseOptions, main: bool, wish: Request) -> Turn:
        """The conversation's next turn; or one beside it, of which its context knows nothing."""
        config = self._config()
        instructions = config.instructions if options.instructions is None else options.instructions
        items = list(self._items)
        if main:
            return self._context.turn(items, instructions, wish)
        if options.input is not None:
            heard = config.audio.input.format.format
            items = [
                items[self._items.index(given.get("id"), "response.input")]
                if given.get("type") == "item_reference"
                else item_from(given, new_id("item"), heard)
                for given in options.input
            ]
        asked, history = self._context.story(items, instructions)
        return self._host.lone_turn(replace(with_question(wish, asked), history=history))

    def _cancel(self, exchange: Exchange, reason: Reason) -> None:
        exchange.response.cancel(reason)
        exchange.running.cancel(keep=True)

    def _keep(self, item: Item, text: str) -> None:
        """Let the model remember no more of a reply than a beginning of its text."""
        item.revision += 1
        item.token_ids = ids_within(self._host.tokenizer, item.token_ids, text)
        self._context.shortened(item)
