"""Text as it arrives -> tokens: what white space parts, with the line breaks before each.

A token is complete when something that ends it follows, so how the text is cut into pieces makes no difference.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

LONGEST_TOKEN = 200  # characters; a script without spaces must not make one token of a whole book
NO_BREAK = "\u00a0\u2007\u2009\u202f"  # spaces inside a number or before a unit do not end a token
ENDS_ALONE = "。！？、，；：।؟"  # after these marks no space is written
SPACE = re.compile(rf"[^\S{NO_BREAK}]+")
TOKEN = re.compile(
    rf"[^\s{ENDS_ALONE}{NO_BREAK}](?:(?![{ENDS_ALONE}])[\S{NO_BREAK}]){{0,{LONGEST_TOKEN - 2}}}[{ENDS_ALONE}]?"
    rf"|[{ENDS_ALONE}]|[{NO_BREAK}]+"
)
LINE_BREAKS = re.compile("[\n\x85\u2028\u2029]")


@dataclass(frozen=True)
class Token:
    """``line_breaks``: how many lines end between the token before and this one."""

    text: str
    line_breaks: int


class Splitter:
    """Takes text, gives tokens one at a time; reads no further than it is asked for."""

    def __init__(self) -> None:
        self._pieces: list[
            str
        ] = []  # not looked at yet: joined once, so that many pieces cost no more than one
        self._text, self._at = "", 0
        self._line_breaks = 0
        self._no_more = False

    def push(self, text: str) -> None:
        self._pieces.append(text)

    def finish(self) -> None:
        self._no_more = True

    @property
    def finished(self) -> bool:
        """No more text comes, and every token of it was given."""
        return self._no_more and not self._pieces and self._at >= len(self._text)

    def next(self) -> Token | None:
        """The next token; None where it is not complete yet, or nothing is left."""
        while True:
            space = SPACE.match(self._text, self._at)
            if space:
                self._line_breaks += len(LINE_BREAKS.findall(space.group()))
                self._at = space.end()
            found = TOKEN.match(self._text, self._at)
            if found and self._is_complete(found):
                token = Token(found.group(), self._line_breaks)
                self._at, self._line_breaks = found.end(), 0
                return token
            if not self._pieces:
                return None
            self._text = self._text[self._at :] + "".join(self._pieces)
            self._at = 0
            self._pieces.clear()

    def _is_complete(self, found: re.Match[str]) -> bool:
        if found.end() < len(self._text) or found.group()[-1] in ENDS_ALONE:
            return True
        return self._no_more and not self._pieces
