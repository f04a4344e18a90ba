"""Rules for everything that is neither letter nor digit: marks, dashes, emoticons and signs with a name."""

from __future__ import annotations

import re

from .cursor import Cursor, Reading
from .markdown import BREAK
from .numbers import integer
from .words import letter_names

SIGNS = {
    "%": "percent", "&": "and", "+": "plus", "=": "equals", "@": "at", "#": "number", "°": "degrees", "*": "times",
    "/": "slash", "<": "less than", ">": "greater than", "−": "minus", "\\": "backslash", "~": "about",
    "^": "to the power of", "|": ",", "$": "dollar", "€": "euro", "£": "pound", "¥": "yen", "¢": "cent", "₹": "rupee",
    "₩": "won", "₽": "ruble", "₺": "lira", "₿": "bitcoin", "₴": "hryvnia", "₫": "dong", "₪": "shekel", "₱": "peso",
    "₦": "naira", "฿": "baht", "μ": "mew", "Ω": "ohm",
}  # fmt: skip
PAIRS = {
    "->": "to", "=>": "to", "<-": "from", "!=": "is not equal to", "==": "equals", ">=": "greater than or equal to",
    "<=": "less than or equal to", "+/-": "plus or minus", "+-": "plus or minus", "&&": "and", "||": "or",
    "**": "to the power of",
}  # fmt: skip
SHORTHANDS = {
    "w/o": "without", "w/": "with", "and/or": "and or", "n/a": "not applicable", "N/A": "not applicable",
    "c/o": "care of", "AM/PM": "ay em pee em", "A/C": "ay see", "'n'": "and", "'n": "and",
}  # fmt: skip
SHORTHAND = re.compile(r"(?:w/o|and/or|n/a|N/A|c/o|AM/PM|A/C|'n'|'n)(?![A-Za-z0-9'/])|w/")
PAIR = re.compile("|".join(sorted(map(re.escape, PAIRS), key=len, reverse=True)))
EMOTICON = re.compile(
    r"(?:[:;][-o^']?[)(\]\[DPpOo/\\|]|=[)(DPp]|<3|[xX]D|:'\(|\^_\^|-_-|¯\\_\(ツ\)_/¯)(?=[.,!?]*$)"
)
MARKS = re.compile(r"[.,;:!?]+")
NAMED_WITH_SIGN = re.compile(r"(C|F)#(?![A-Za-z0-9])|([A-Z])\+\+|([A-Z])([+-])(?=[.,;:!?)\"']*$)")
JOINED_LETTERS = re.compile(r"([A-Z]{1,3})&([A-Z]{1,3})(?![A-Za-z])")
SPAN_OF_LETTERS = re.compile(r"(?:([A-Za-z])–([A-Za-z])|A-Z|a-z)(?![A-Za-z-])")
POWER = re.compile(r"\^\(?(-?\d{1,3})\)?(?![\d.])")
GRADE_BEFORE = frozenset(("grade", "a", "an", "got", "the", "of", "rating"))
OPERAND = re.compile(r"[-−(]*(?:\d|[A-Za-z](?![A-Za-z]))")


def sign(c: Cursor) -> Reading:
    """Reads something of whatever is left: the last of all rules."""
    text, first = c.text, c.text[0]
    if first == BREAK:
        return Reading(".", 1, "break")
    if first in "-–—":
        return _dash(c)
    if found := POWER.match(text):
        return _power(found)
    if (marks := MARKS.match(text)) and not text.startswith("!="):
        return _mark(c, marks)
    if (pair := PAIR.match(text)) and (pair.group() != "**" or c.kind == "number"):
        return Reading(PAIRS[pair.group()], pair.end(), "sign")
    if _is_silent(c):
        return Reading("", 1, c.kind)
    if first == "#" and text[1:2].isalpha():
        return Reading("hashtag", 1, "sign")
    if first == "/" and text[1:2].isalpha() and c.kind in ("number", "unit"):
        return Reading("per", 1, "sign")
    if text == "/" and not c.kind and _between_operands(c):
        return Reading("divided by", 1, "sign")
    return Reading(SIGNS[first], 1, "sign")


def _is_silent(c: Cursor) -> bool:
    """Brackets and quotes, and what only says how the text looks."""
    first = c.text[0]
    if first == "*":
        return not _between_operands(c)
    if first == "|":
        return c.following(1) in ("", BREAK)  # the end of a row
    if first == "$":
        return len(c.token) > 1  # $x$
    if first == ">":
        return "<" in c.token  # <tag>
    return first not in SIGNS


def whole(c: Cursor) -> Reading | None:
    """Emoticons are silent; ``C++``, ``and/or`` and ``A+`` are read as one."""
    if c.kind:
        return None
    if found := EMOTICON.match(c.text):
        return Reading("", found.end(), "")
    if found := NAMED_WITH_SIGN.match(c.text):
        if found[1]:
            return Reading(f"{letter_names(found[1])} sharp", 2)
        if found[2]:
            return Reading(f"{letter_names(found[2])} plus plus", 3)
        if c.before.lower().strip("\"'(") in GRADE_BEFORE or found[4] == "+":
            return Reading(f"{letter_names(found[3])} {'plus' if found[4] == '+' else 'minus'}", 2)
    if found := JOINED_LETTERS.match(c.text):
        return Reading(f"{letter_names(found[1])} and {letter_names(found[2])}", found.end())
    if found := SPAN_OF_LETTERS.match(c.text):
        return Reading(f"{letter_names(found[1] or 'a')} to {letter_names(found[2] or 'z')}", found.end())
    if c.text in ("x", "X") and c.before[-1:].isdecimal() and c.ahead()[:1].isdecimal():
        return Reading("times", 1, "sign")
    found = SHORTHAND.match(c.text)
    return Reading(SHORTHANDS[found.group()], found.end()) if found else None


def _power(found: re.Match[str]) -> Reading:
    named = {"2": "squared", "3": "cubed"}.get(found[1])
    digits = found[1].lstrip("-")
    sign = "minus " if found[1][0] == "-" else ""
    return Reading(named or f"to the power of {sign}{integer(digits)}", found.end(), "number")


def _mark(c: Cursor, found: re.Match[str]) -> Reading:
    """The strongest of the marks that stand together; a dot inside a name is said."""
    marks, end = found.group(), found.end()
    rest = c.text[end:]
    if marks == ".":
        following = "" if rest else c.following(end) or ""
        if c.kind == "unit" and following[:1].islower():
            return Reading("", 1, "unit")  # 5 lbs. of
        if rest[:1].isdecimal():
            return Reading("point" if c.kind == "number" else "dot", 1, "sign")
        if rest[:1].isalpha() and (rest[0].islower() or not c.kind or c.token.isupper()):
            return Reading("dot", 1, "sign")
    if marks[0] == "." and marks.lstrip(".")[:1] in (",", ";", ":"):
        return Reading(",", end, "mark")  # the dot is an abbreviation's
    return Reading(next((mark for mark in "?!." if mark in marks), ","), end, "mark")


def _dash(c: Cursor) -> Reading:
    """A hyphen parts words, a dash is a pause, and between numbers it is a minus or a range."""
    run = re.match("[-–—]+", c.text)
    assert run is not None  # it begins with one
    end, dash = run.end(), run.group()
    rest = c.text[end:]
    if c.text.startswith("->"):
        return Reading("to", 2, "sign")
    if not c.kind and not rest:  # by itself
        if dash in "-–" and _between_operands(c):
            return Reading("to" if _is_span(c, dash) else "minus", end, "sign")
        return Reading(",", end, "mark")
    if len(dash) > 1 or dash == "—":
        return Reading(",", end, "mark")
    if c.kind in ("unit", "time", "date") and rest[:1] and (rest[0].isdecimal() or rest[0] in "'$€£¥"):
        return Reading("to", end, "sign")
    if not rest or c.kind == "":
        return Reading(
            "minus" if rest[:1].isdecimal() or (rest[:1] in ("(", "$") and c.kind == "" and rest) else "",
            end,
            "sign",
        )
    if rest[0].isdecimal() and c.kind in ("number", "sign"):
        return Reading(
            "to" if dash == "–" else "minus" if "=" in c.token or c.kind == "sign" else ",", end, "sign"
        )
    if c.kind == "word" and len(c.token) < 4 and rest[0].isdecimal() and c.token[0].islower():
        return Reading("minus", end, "sign")  # x-2
    if dash == "–" and c.kind == "number":
        return Reading("to", end, "sign")
    if c.kind == "sign":
        return Reading("minus", end, "sign")
    return Reading("", end, "hyphen")


def _is_span(c: Cursor, dash: str) -> bool:
    """``9:00 - 17:00``, ``5 – 10``."""
    times = ":" in c.before and ":" in c.ahead()
    return times or (dash == "–" and "=" not in c.ahead(2)[:1])


def _between_operands(c: Cursor) -> bool:
    """Whether numbers or single letters stand on both sides of a sign."""
    if c.token != c.text or len(c.text) > 1:
        left = c.kind in ("number", "sign") or (c.kind == "word" and len(c.token) < 6)
        return left and OPERAND.match(c.text[1:]) is not None
    before = re.search(r"(?:^[-−(]*[\d.,:]+[%)]*|\)|^[-−(]*[A-Za-z]|=)$", c.before)
    return before is not None and OPERAND.match(c.ahead()) is not None
