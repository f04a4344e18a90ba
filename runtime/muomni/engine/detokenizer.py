"""Token ids to text, piece by piece, at the same cost for each id."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

MOST_CONTINUATION_BYTES = 3
"""Of a character in UTF-8, after its first byte."""
SETTLED_IDS = 8
"""So many ids are decoded again with each new one before their text is put aside."""


class Decodes(Protocol):
    """What is needed of a tokenizer."""

    def decode(self, ids: Sequence[int]) -> str: ...

    def is_text(self, token: int) -> bool:
        """Whether the id stands for text at all (bos, eos and ids past the tokenizer's pieces do not)."""
        ...

    def is_continuation_byte(self, token: int) -> bool:
        """Whether the id is one byte of a character, and not its first."""
        ...

    def text_after(self, token: int) -> tuple[str, int]:
        """What the id adds to any text before it, and how many characters decoding it alone gives; ``("", 0)`` where
        the first depends on the text, or the second is none."""
        ...


class Detokenizer:
    """Turns growing token ids into text, and finds stop strings.

    Text that may still change is held back: an incomplete UTF-8 character, and an ending that could be the
    beginning of a stop string. The pieces join to exactly what decoding all ids at once gives, cut at the first
    stop string.

    Only the last ids are decoded anew: a tokenizer's text of some ids depends on those before them through the
    space that begins a text, and through bytes that share a character.

    Example:
        >>> text = Detokenizer(tokenizer, stop=["END"])
        >>> pieces = [text.push(token) for token in ids]
        >>> "".join(pieces) + text.finish()
    """

    def __init__(self, tokenizer: Decodes, stop: Sequence[str] = ()) -> None:
        self._tokenizer = tokenizer
        self._stop = [s for s in stop if s]
        self._longest_stop = max(map(len, self._stop), default=1)
        self.stopped = False
        """A stop string has appeared; the text ends before it."""
        self._ids: list[int] = []  # those whose text is still decoded with each new one
        self._skip = 0  # characters of their text that the text put aside has already: what came before them
        self._text = ""  # not sent yet, but for the last characters that a stop string may begin in
        self._tail = ""  # text of self._ids, past self._skip, as decoded last

    def push(self, token: int) -> str:
        """Take the next id; give the text that it settles, which may be empty."""
        if self.stopped or not self._tokenizer.is_text(token):
            return ""
        if self._skip and not (self._tail or self._text or self._stop):
            # All has been sent, and most ids add the same text everywhere: nothing need be decoded.
            added, alone = self._tokenizer.text_after(token)
            if added:
                self._ids, self._skip = [token], alone
                return added
        self._ids.append(token)
        self._tail = self._tokenizer.decode(self._ids)[self._skip :]
        piece = self._settle()
        if len(self._ids) > SETTLED_IDS:
            self._put_aside()
        return piece

    def finish(self) -> str:
        """No more ids come: the text that was held back."""
        if self.stopped:
            return ""
        rest, self._text, self._tail = self._text + self._tail, "", ""
        self._ids, self._skip = [], 0
        return rest

    def _settle(self) -> str:
        """Move what cannot change any more out of the text that is held back."""
        text = self._text + self._tail
        found = [at for s in self._stop if (at := text.find(s)) >= 0]
        if found:
            self.stopped = True
            return text[: min(found)]
        end = len(text)
        while end and text[end - 1] == "�":
            end -= 1
        for stop in self._stop:
            for size in range(min(len(stop) - 1, end), 0, -1):
                if text.startswith(stop[:size], end - size):
                    end -= size
                    break
        if not end:
            return ""
        # What is given away leaves both: first the text put aside, then the beginning of the tail.
        given = text[:end]
        aside = min(end, len(self._text))
        self._text = self._text[aside:]
        self._skip += end - aside
        self._tail = self._tail[end - aside :]
        return given

    def _put_aside(self) -> None:
        """Decode fewer ids from now on: all but the last character's, and one before it for the space between."""
        keep = len(self._ids) - 1
        run = 0
        while (
            keep > 0
            and self._tokenizer.is_continuation_byte(self._ids[keep])
            and run < MOST_CONTINUATION_BYTES
        ):
            keep -= 1
            run += 1
        while keep > 0:
            before = self._start_of_character(keep - 1)
            context = self._tokenizer.decode(self._ids[before:keep])
            if context.strip("�"):
                break
            keep = before
        else:
            return
        whole = self._tokenizer.decode(self._ids)
        shorter = self._tokenizer.decode(self._ids[before:])
        last = shorter[len(context) :]
        if not shorter.startswith(context) or not whole.endswith(last):
            return  # an ending that must be decoded together; try again with more ids
        begins = len(whole) - len(last)
        self._text += whole[self._skip : max(self._skip, begins)]
        self._skip = len(context) + max(0, self._skip - begins)
        self._ids = self._ids[before:]
        self._tail = shorter[self._skip :]

    def _start_of_character(self, at: int) -> int:
        """The id at or before ``at`` that begins the character it belongs to."""
        run = 0
        while (
            at > 0 and self._tokenizer.is_continuation_byte(self._ids[at]) and run < MOST_CONTINUATION_BYTES
        ):
            at -= 1
            run += 1
        return at
