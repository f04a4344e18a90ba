"""The items of a conversation in their order, and how much of their sound is kept."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .audio import AudioFormat
from .items import Item, item_from
from .outgoing import Outgoing
from .protocol import ClientError, new_id

MOST_ITEMS = 1000
MOST_KEPT_BYTES = 16 * 1024 * 1024
"""Sound of earlier items; beyond it the oldest is let go of."""
MOST_GIVEN_BYTES = 64 * 1024 * 1024
"""Texts and pictures of all items."""


class ItemList:
    """Items, oldest first. An item that enters is announced.

    Example:
        >>> items = ItemList(Outgoing(print))
        >>> items.add(Item("item_1", "user"))
        >>> items["item_1"].role
        'user'
    """

    def __init__(self, out: Outgoing) -> None:
        self._out = out
        self._items: list[Item] = []

    def __iter__(self) -> Iterator[Item]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, item_id: Any) -> Item:
        """Raises ClientError: there is none of this id."""
        return self._items[self.index(item_id)]

    def __contains__(self, item: object) -> bool:
        return any(other is item for other in self._items)

    @property
    def last_id(self) -> str | None:
        return self._items[-1].id if self._items else None

    def index(self, item_id: Any, param: str = "item_id") -> int:
        """Where an item is.

        Raises:
            ClientError: there is none of this id.
        """
        for at, item in enumerate(self._items):
            if item.id == item_id:
                return at
        shown = item_id[:100] if isinstance(item_id, str) else item_id
        raise ClientError(f"{param}: there is no item {shown!r}", "item_not_found", param)

    def before(self, item: Item) -> str | None:
        """The id of the item before; None where it is the first."""
        at = self._items.index(item)
        return self._items[at - 1].id if at else None

    def check_room(self) -> None:
        """Raises ClientError: there are as many as may be."""
        if len(self._items) >= MOST_ITEMS:
            raise ClientError(f"a conversation holds {MOST_ITEMS} items; delete some", "too_many_items")

    def add(self, item: Item, at: int | None = None) -> None:
        """Take an item in, at the end unless its place is given; see :meth:`check_room`."""
        self._items.insert(len(self._items) if at is None else at, item)
        self._out.say("conversation.item.added", item=item.shown(), previous_item_id=self.before(item))
        self._let_go_of_sound()

    def create(self, given: Any, after: Any, heard: AudioFormat) -> None:
        """Take in an item that a client made.

        Args:
            after: id of the item that it follows; ``root`` makes it the first, None the last.
            heard: format of its audio.

        Raises:
            InputError: it cannot be read, or has no place.
        """
        self.check_room()
        wanted = given.get("id") if isinstance(given, dict) else None
        if wanted is not None and (not isinstance(wanted, str) or not 0 < len(wanted) <= 64):
            raise ClientError("item.id: expected text of 1 to 64 characters", param="item.id")
        if any(item.id == wanted for item in self._items):
            raise ClientError(f"item.id: there is an item {wanted!r} already", "item_exists", "item.id")
        item = item_from(given, wanted or new_id("item"), heard)
        if sum(other.given_bytes for other in self._items) + item.given_bytes > MOST_GIVEN_BYTES:
            raise ClientError(
                f"a conversation holds {MOST_GIVEN_BYTES >> 20} MiB of text and pictures; delete some items",
                "conversation_too_large",
            )
        if after is None:
            self.add(item)
        else:
            self.add(item, 0 if after == "root" else self.index(after, "previous_item_id") + 1)
        self._out.say("conversation.item.done", item=item.shown(), previous_item_id=self.before(item))

    def delete(self, item: Item) -> None:
        """Let go of an item."""
        self._items.remove(item)
        self._out.say("conversation.item.deleted", item_id=item.id)

    def _let_go_of_sound(self) -> None:
        kept = sum(item.audio_bytes for item in self._items)
        for item in self._items[:-1]:
            if kept <= MOST_KEPT_BYTES:
                break
            kept -= item.audio_bytes
            item.without_audio()
