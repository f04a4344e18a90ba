"""Rules for everything that is neither letter nor digit: marks, dashes, emoticons and signs with a name."""

from __future__ import annotations

import re

from .cursor import Cursor, Reading
from .markdown import BREAK

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
    "c/o": "care of", "'n'": "and", "'n": "and",
}  # fmt: skip
SHORTHAND = re.compile(r"(?:w/o|and/or|n/a|N/A|c/o|'n'|'n)(?![A-Za-z0-9'/])|w/")
PAIR = re.compile("|".join(sorted(map(re.escape, PAIRS), key=len, reverse=True)))
EMOTICON = re.compile(r"(?:[:;][-o^']?[)(\]\[DPpOo/\\|]|=[)(DPp]|<3|[xX]D|:'\(|\^_\^|-_-|¯\\_\(ツ\)_/¯)(?=[.,!?]*$)")
MARKS = re.compile(r"[.,;:!?]+")
NAMED_WITH_SIGN = re.compile(r"(C|F)#(?![A-Za-z0-9])|([A-Z])\+\+|([A-Z])([+-])(?=[.,;:!?)\"']*$)")
POWER = re.compile(r"\^\(?(-?\d{1,3})\)?(?![\d.])")
GRADE_BEFORE = frozenset(("grade", "a", "an", "got", "the", "of", "rating"))
OPERAND = re.compile(r"[-−(]*(?:\d|[A-Za-z](?![A-Za-z]))")


def sign(c: Cursor) -> Reading:
    """Reads something of whatever is left: the last of all rules."""
    text = c.text
    first = text[0]
    if first == BREAK:
        return Reading(".", 1, "break")
    if first in "-–—":
        return _dash(c)
    if found := POWER.match(text):
        return _power(found)
    if (found := MARKS.match(text)) and first != "!" or (first == "!" and not text.startswith("!=")):
        return _mark(c, MARKS.match(text))  # type: ignore[arg-type]  # it begins with one
    if found := PAIR.match(text):
        if found.group() == "**" and c.kind != "number":
            return Reading("", 2, c.kind)
        return Reading(PAIRS[found.group()], found.end(), "sign")
    if first == "*" and not _between_operands(c):
        return Reading("", 1, c.kind)
    if first == "|" and c.following(1) in ("", BREAK):
        return Reading("", 1, c.kind)  # the end of a row
    if first == "/" and len(text) == 1 and not c.kind and _between_operands(c):
        return Reading("divided by", 1, "sign")
    if (first == "$" and len(c.token) > 1) or (first == ">" and "<" in c.token):
        return Reading("", 1, c.kind)  # $x$, <tag>
    if first == "#" and text[1:2].isalpha():
        return Reading("hashtag", 1, "sign")
    if first == "/" and c.kind in ("number", "unit") and text[1:2].isalpha():
        return Reading("per", 1, "sign")
    if first in SIGNS:
        return Reading(SIGNS[first], 1, "sign")
    return Reading("", 1, c.kind)


def whole(c: Cursor) -> Reading | None:
    """Emoticons are silent; ``C++``, ``and/or`` and ``A+`` are read as one."""
    if c.kind:
        return None
    if EMOTICON.match(c.text):
        return Reading("", EMOTICON.match(c.text).end(), "")  # type: ignore[union-attr]  # it just did
    if found := NAMED_WITH_SIGN.match(c.text):
        from .words import letter_names

        if found[1]:
            return Reading(f"{letter_names(found[1])} sharp", 2)
        if found[2]:
            return Reading(f"{letter_names(found[2])} plus plus", 3)
        if c.before.lower().strip("\"'(") in GRADE_BEFORE or found[4] == "+":
            return Reading(f"{letter_names(found[3])} {'plus' if found[4] == '+' else 'minus'}", 2)
    found = SHORTHAND.match(c.text)
    return Reading(SHORTHANDS[found.group()], found.end()) if found else None


def _power(found: re.Match[str]) -> Reading:
    from .numbers import integer

    named = {"2": "squared", "3": "cubed"}.get(found[1])
    digits = found[1].lstrip("-")
    sign = "minus " if found[1][0] == "-" else ""
    return Reading(named or f"to the power of {sign}{integer(digits)}", found.end(), "number")


def _mark(c: Cursor, found: re.Match[str]) -> Reading:
    """The strongest of the marks that stand together; a dot inside a name is said."""
    marks, end = found.group(), found.end()
    rest = c.text[end:]
    if marks == ".":
        if c.kind == "unit" and not rest and c.following(end) not in (None, "", BREAK) and c.following(end)[:1].islower():  # type: ignore[index]
            return Reading("", 1, "unit")  # 5 lbs. of
        if rest[:1].isdecimal():
            return Reading("point" if c.kind == "number" else "dot", 1, "sign")
        if rest[:1].isalpha() and (rest[0].islower() or c.kind == "" or c.token.isupper()):
            return Reading("dot", 1, "sign")
    if marks[0] == "." and marks[1:] and marks.strip(".") and marks.strip(".")[0] in ",;:":
        return Reading(",", end, "mark")  # an abbreviation's
    for mark, written in (("?", "?"), ("!", "!"), (".", "."), (",", ",;:")):
        if any(m in written for m in marks):
            return Reading(mark, end, "mark")
    raise AssertionError(marks)


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
    if c.kind in ("unit", "time", "date") and rest[:1] and (rest[0].isdecimal() or rest[0] in "$€£¥"):
        return Reading("to", end, "sign")
    if not rest or c.kind == "":
        return Reading("minus" if rest[:1].isdecimal() or rest[:1] in ("(", "$") and c.kind == "" and rest else "", end, "sign")
    if rest[0].isdecimal() and c.kind in ("number", "sign"):
        return Reading("to" if dash == "–" else "minus" if "=" in c.token or c.kind == "sign" else ",", end, "sign")
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
    left_operand = re.search(r"(?:\d[%)]*|\)|(?<![A-Za-z])[A-Za-z]|=)$", c.before)
    return left_operand is not None and OPERAND.match(c.ahead()) is not None
