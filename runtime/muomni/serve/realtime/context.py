"""What the model remembers of a session: a conversation with its key/value cache, as long as it tells the same story
as the items do; else a new one, told from the items."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

from muomni.engine.conversation import Conversation
from muomni.engine.turn import Turn
from muomni.errors import InputError, UsageError
from muomni.requests import Request

from .items import Item, question

Known = tuple[str, int]  # an item's id and revision


class Context:
    """Turns of one session.

    Args:
        new_chat: makes an empty conversation.
        spoken_question: what is asked of a recording that comes without a text.
    """

    def __init__(self, new_chat: Callable[[], Conversation], spoken_question: str) -> None:
        self._new_chat, self._spoken_question = new_chat, spoken_question
        self._chat = new_chat()
        self._known: list[Known] = []  # what the conversation holds
        self._instructions = ""
        self._coming: tuple[list[Known], str] = ([], "")
        self._shorten: int | None = None  # ids of the last reply that stay, where the conversation was busy

    def turn(self, items: Sequence[Item], instructions: str, options: Request) -> Turn:
        """The next turn: what the items ask behind the last reply.

        Args:
            options: a request of which all but text and media count.

        Raises:
            InputError: there is nothing to answer.
        """
        self._settle()
        known = len(self._known)
        now = [(item.id, item.revision) for item in items]
        goes_on = (
            known > 0
            and now[:known] == self._known
            and instructions == self._instructions
            and not any(item.role == "assistant" for item in items[known:])
        )
        if goes_on:
            asked = self._question(items[known:], "")
            turn = self._chat.turn(with_question(options, asked))
        else:
            asked, history = self.story(items, instructions)
            self._chat, self._known = self._new_chat(), []
            turn = self._chat.turn(replace(with_question(options, asked), history=history))
        self._coming = now, instructions
        return turn

    def story(self, items: Sequence[Item], instructions: str) -> tuple[Request, list[tuple[Request, str]]]:
        """All of it as a request and the turns before it.

        Raises:
            InputError: there is nothing to answer.
        """
        history: list[tuple[Request, str]] = []
        asked: list[Item] = []
        first = instructions
        at = 0
        while at < len(items):
            if items[at].role != "assistant":
                asked.append(items[at])
                at += 1
                continue
            replied = []
            while at < len(items) and items[at].role == "assistant":
                replied.append(items[at].text)
                at += 1
            # A conversation that begins with a reply has no question to it.
            if (before := question(asked, first, self._spoken_question)) is not None:
                history.append((before, "\n".join(replied)))
                first = ""
            asked = []
        return self._question(asked, first), history

    def remembered(self, item: Item | None) -> None:
        """The turn has succeeded, and this item is its reply; None where its reply is in no item."""
        before, instructions = self._coming
        self._instructions = instructions
        self._known = [] if item is None else [*before, (item.id, item.revision)]

    def shortened(self, item: Item) -> None:
        """Of a reply only the first ids stand."""
        if self._known and self._known[-1][0] == item.id and item.token_ids:
            self._known[-1] = (item.id, item.revision)
            self._shorten = len(item.token_ids)
            self._settle()

    @property
    def positions(self) -> int:
        """Of the context, in use."""
        return self._chat.positions

    def _settle(self) -> None:
        if self._shorten is None:
            return
        with suppress(UsageError):  # it is busy: before the next turn, then
            self._chat.keep_only(self._shorten)
            self._shorten = None

    def _question(self, items: Sequence[Item], instructions: str) -> Request:
        asked = question(items, instructions, self._spoken_question)
        if asked is None:
            raise InputError("there is nothing to answer: commit audio or create an item of the user first")
        return asked


def with_question(options: Request, asked: Request) -> Request:
    """A request of which all but text and media come from ``options``."""
    return replace(options, text=asked.text, images=asked.images, video=asked.video, audio=asked.audio)
