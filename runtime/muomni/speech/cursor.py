"""Where the reading of the tokens stands: what is left of one, what was before it, and a few that follow.

A rule looks at the cursor and gives a :class:`Reading` or None. It may look ahead; where what follows has not
arrived yet, :class:`NotYet` ends the attempt, and it is made again with more text. So a reading depends on the
tokens alone, never on when they came.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from .markdown import BREAK

OPENING = re.compile(r"(?:[\"'(\[{]|<(?=[A-Za-z/]))+")
CLOSING = r"[\"')\]}>]"
CLOSED = re.compile(rf"{CLOSING}*")
STARTERS = frozenset(
    [
        "the",
        "a",
        "an",
        "this",
        "that",
        "these",
        "those",
        "it",
        "he",
        "she",
        "they",
        "we",
        "you",
        "i",
        "my",
        "his",
        "her",
        "our",
        "your",
        "its",
        "their",
        "there",
        "here",
        "then",
        "when",
        "while",
        "where",
        "what",
        "who",
        "how",
        "why",
        "if",
        "but",
        "and",
        "so",
        "or",
        "for",
        "in",
        "on",
        "at",
        "as",
        "after",
        "before",
        "because",
        "since",
        "although",
        "however",
        "is",
        "are",
        "was",
        "were",
        "do",
        "does",
        "did",
        "can",
        "could",
        "will",
        "would",
        "should",
        "no",
        "yes",
        "not",
        "please",
        "thank",
        "thanks",
        "let",
        "now",
        "also",
        "both",
        "each",
        "every",
        "some",
        "many",
        "most",
        "all",
        "one",
        "two",
        "with",
        "from",
        "by",
        "to",
        "it's",
        "i'm",
        "we're",
        "you're",
        "that's",
    ]
)
"""Words that show, with a capital letter, that an abbreviation before them ended a sentence."""


class NotYet(Exception):
    """The reading depends on text that has not come."""


class Reading(NamedTuple):
    """``words`` for ``length`` characters of the window; ``kind`` tells the next rule what was read."""

    words: str
    length: int
    kind: str = "word"


class Cursor:
    """``text``: what is left of the token that is read; ``kind``: of its last piece, empty at its start.

    Args:
        pull: gives the next token, "" at the end of the text.

    Raises:
        NotYet: by every method, where the text ends for now; nothing has changed then.
    """

    def __init__(self, pull: Callable[[], str]) -> None:
        self.text = self.kind = ""
        self.before = self.before_that = ""
        """The two tokens before this one; empty at the start of a text or a block."""
        self.token = ""
        """The whole token that is read, from its first letter."""
        self.starts_sentence = True
        self._pull = pull
        self._following: deque[str] = deque()

    def next_token(self) -> bool:
        """Go to the next token; False at the end."""
        token = self._following.popleft() if self._following else self._pull()
        if token:
            self.before, self.before_that = (
                ("", "") if self.token in ("", BREAK) else (self.token, self.before)
            )
            self.text = self.token = token
            self.kind = ""
        return bool(token)

    def ahead(self, k: int = 1) -> str:
        """The ``k``-th token after this one; empty at the end."""
        while len(self._following) < k:
            token = self._pull()
            if not token:
                return ""
            self._following.append(token)
        return self._following[k - 1]

    def window(self, k: int) -> str:
        """What is left of the token and the ``k`` after it, with one space between."""
        return " ".join((self.text, *filter(None, (self.ahead(i + 1) for i in range(k)))))

    def beyond(self, end: int) -> str:
        """The window with one token more than the first ``end`` characters of it take, where they fill it."""
        window, k = self.text, 0
        while len(window) <= end and self.ahead(k + 1):
            k += 1
            window += " " + self.ahead(k)
        return window

    def skip(self, length: int) -> None:
        """Go on by ``length`` characters of the window."""
        while length > len(self.text):
            length -= len(self.text) + 1
            self.next_token()
        self.text = self.text[length:]

    def following(self, end: int) -> str | None:
        """The token after ``end``; None where more than closing brackets and quotes stand between."""
        end = CLOSED.match(self.beyond(end), end).end()  # type: ignore[union-attr]  # matches nothing, too
        rest = self.beyond(end)[end:]
        return rest[1:].split(" ")[0] if rest[:1] in ("", " ") else None

    def ends_sentence(self, end: int) -> bool:
        """Whether a full stop before ``end`` that belongs to an abbreviation ends a sentence as well."""
        following = self.following(end)
        if following is None:
            return False
        if following in ("", BREAK):
            return True
        word = re.match(r"[A-Za-z']+", OPENING.sub("", following))
        return word is not None and word.group()[0].isupper() and word.group().lower() in STARTERS


def starts_upper(token: str) -> bool:
    """Whether the first letter of a token, brackets and quotes aside, is a capital."""
    return OPENING.sub("", token)[:1].isupper()
