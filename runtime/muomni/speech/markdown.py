"""Markdown, which models write, as a reader would take it: marks of emphasis, headings, lists, links and tables go.

The end of a heading, an item or a row, and an empty line, end a sentence: :data:`BREAK` stands for it.
"""

from __future__ import annotations

import re

from .tokens import Token

BREAK = "\n"
LONGEST_LINK_TITLE = 12  # tokens

HEADING = re.compile(r"#{1,6}$")
BULLET = re.compile(r"[-*+•–]$")
NUMBERED = re.compile(r"\d{1,3}[.)]$")
BOX = re.compile(r"\[[xX]\]$")
QUOTED = re.compile(r">+")
FENCE = re.compile(r"(?:```+|~~~+)(?P<info>[^`~]*)$")
RULE = re.compile(r"([-*_=])\1{2,}$")
CELL_RULE = re.compile(r"[|:+-]*-{2,}[|:+-]*$")

LINK_START = re.compile(r"!?\[(?=[^\]^]|$)")
LINK_TARGET = re.compile(r"\]\((?:[^\s()]|\([^\s()]*\))*\)|\]\[[^\]\s]*\]")
LINK_TARGET_BEFORE_TITLE = re.compile(r"\]\([^\s()]+$")
FOOTNOTE = re.compile(r"\[\^[^\]\s]*\]:?")
AUTOLINK = re.compile(r"<((?:https?://|mailto:)[^>\s]+|[^>\s@]+@[^>\s]+)>")
TAG = re.compile(r"</?(?:a|abbr|b|br|center|code|details|div|em|h[1-6]|hr|i|kbd|li|ol|p|pre|s|small|span|strong|"
                 r"sub|summary|sup|table|tbody|td|th|thead|tr|u|ul)/?>", re.IGNORECASE)  # fmt: skip
ENTITY = re.compile(r"&(?:#\d{1,7}|#x[0-9a-f]{1,6}|[a-z]{2,8}\d{0,2});", re.IGNORECASE)
ESCAPED = re.compile(r"\\([!-/:-@\[-`{-~])")
MATHS = re.compile(r"(?<![\w$])\${1,2}(?=[^\d\s.$])([^$]+)\${1,2}(?!\w)")
EMPHASIS = re.compile(
    r"(?<![\w*\\])\*{1,3}(?=[^\s*])|(?<=[^\s*\\])\*{1,3}(?![\w*])|(?<=[A-Za-z.,!?:;])\*{2,3}(?=[A-Za-z])"
    r"|(?<=[A-Za-z]{2})\*(?=[A-Za-z])|(?<=[A-Za-z])\*(?=[A-Za-z]{2})"
    r"|(?<![\w\\])_{1,3}(?=[^\s_])|(?<=[^\s_\\])_{1,3}(?!\w)|~~"
)
AROUND = re.compile(r"^[*_~]{1,3}|[*_~]{1,3}(?=[.,;:!?)]*$)")  # an address has such signs inside


class Markdown:
    """Takes tokens in order, gives what is left to read of each."""

    def __init__(self) -> None:
        self._line = "text"  # what the line is: text, heading, item, row, code, info
        self._at_start = True  # of a line, its marks not counted
        self._first = True
        self._in_code = False
        self._title_left = 0  # tokens that may still belong to the title of a link

    def read(self, token: Token) -> list[str]:
        """Words and signs as they stand, and :data:`BREAK` before them where a sentence ended unmarked."""
        text, out = token.text, []
        if token.line_breaks or self._first:
            if self._ends_line(token):
                out.append(BREAK)
            self._line, self._at_start, self._title_left = "code" if self._in_code else "text", True, 0
            self._first = False
        if self._line == "info":
            return out
        fence = FENCE.match(text) if self._at_start else None
        if fence:
            self._in_code = not self._in_code
            self._line, self._at_start = "info", False
            return out
        if self._in_code:
            return [*out, text]
        if self._title_left:
            self._title_left = 0 if text.endswith(")") else self._title_left - 1
            return out
        if self._at_start and self._is_mark_of_line(text):
            return out
        if self._at_start:
            if text.startswith("|"):
                self._line = "row"
            text = QUOTED.sub("", text) if QUOTED.match(text) and text[-1] != ">" else text
            self._at_start = False
        if self._line == "row" and CELL_RULE.match(text):
            return out
        return [*out, *self._inline(text).split()]

    def _ends_line(self, token: Token) -> bool:
        """Whether the line break before a token ends a sentence too."""
        if self._first:
            return False
        text = token.text
        starts_block = (
            any(mark.match(text) for mark in (HEADING, BULLET, NUMBERED, FENCE, RULE)) or text[0] in "|>"
        )
        return token.line_breaks > 1 or self._line != "text" or starts_block

    def _is_mark_of_line(self, text: str) -> bool:
        """Takes what only says how a line looks."""
        if HEADING.match(text):
            self._line = "heading"
        elif BULLET.match(text):
            self._line = "item"
        elif NUMBERED.match(text):
            self._line, self._at_start = "item", False
            return False  # the number is read
        elif not (RULE.match(text) or BOX.match(text) or QUOTED.fullmatch(text)):
            return False
        return True

    def _inline(self, text: str) -> str:
        if text.isalnum():
            return text
        text = FOOTNOTE.sub(" ", AUTOLINK.sub(r"\1", text))
        if "](" in text or "][" in text:
            text = LINK_TARGET.sub("", text)
            if LINK_TARGET_BEFORE_TITLE.search(text):
                text = LINK_TARGET_BEFORE_TITLE.sub("", text)
                self._title_left = LONGEST_LINK_TITLE
        text = TAG.sub(" ", LINK_START.sub("", text))
        if "&" in text and ENTITY.search(text):
            from html import unescape  # rare, and its table of names is large

            text = unescape(text)
        if "$" in text:
            text = MATHS.sub(r"\1", text)
        emphasis = AROUND if "://" in text or "@" in text else EMPHASIS
        return ESCAPED.sub(r"\1", emphasis.sub("", text.replace("`", "")))
