"""Rules for what is counted: money, measures, ranges, fractions, years and plain numbers."""

from __future__ import annotations

import re

from .cursor import Cursor, Reading, starts_upper
from .numbers import (
    NUMBER_OR_DECIMALS,
    cardinal,
    each_digit,
    fraction,
    integer,
    is_year,
    mixed,
    number,
    ordinal,
    plural,
    roman_value,
    year,
)
from .units import ALONE, CURRENCIES, UNIT, unit_name
from .words import say

_MONEY = "|".join(sorted(map(re.escape, CURRENCIES), key=len, reverse=True))
DECIMAL_COMMA = r"(?:\d{1,3}(?:\.\d{3})+(?:,\d\d?)?|\d+,\d\d?)(?![.,]?\d)"  # 1.234,56
MONEY_ALONE = re.compile(rf"(?:{_MONEY})$")
MONEY_FIRST = re.compile(
    rf"(?P<sign>[-−–+])?(?P<money>{_MONEY}) ?(?P<minus>[-−–])?(?P<low>{DECIMAL_COMMA}|{NUMBER_OR_DECIMALS})"
    rf"(?:[-–—](?:{_MONEY})?(?P<high>{NUMBER_OR_DECIMALS})(?![-\d]))?"
)
COUNT = re.compile(
    rf"(?P<sign>[-−–+])?(?P<low>{NUMBER_OR_DECIMALS})(?:(?P<dash>[-–—])(?P<high>{NUMBER_OR_DECIMALS})(?![-\d:/]|\.\d))?"
)
COMMA_COUNT = re.compile(r"(?P<sign>[-−–])?(?P<low>\d{1,3}(?:\.\d{3})+,\d+|\d+,\d\d?)(?![.,]?\d)")
SCALE = re.compile(
    r"(?P<space>[ -])?(?P<word>thousand|million|billion|trillion)(?![A-Za-z])"
    r"|(?P<short>mn|bn|tn|[kKMBT])(?![A-Za-z0-9/])",
    re.IGNORECASE,
)
SCALES = {"k": "thousand", "m": "million", "mn": "million", "b": "billion", "bn": "billion", "t": "trillion",
          "tn": "trillion"}  # fmt: skip
MONEY_LAST = re.compile(rf" ?(?P<money>{_MONEY})(?![A-Za-z0-9])")
PER = re.compile(r"/(?P<per>[A-Za-z]+)(?:\^?(?P<power>[23]))?(?![A-Za-z0-9])")
MEASURE = re.compile(rf"[ -]?{UNIT.pattern}")
SQUARE = re.compile(r" (?:sq|cu)\.?$")
FEET = re.compile(r"(\d)'(\d{1,2})(?:\"|''|(?!\w))")
MIXED = re.compile(r"(\d{1,4})[ -](\d{1,3})/(\d{1,3})(?![\d/])")
OVER = re.compile(r"(?P<minus>[-−])?(\d{1,4})/(\d{1,4})(?![\d/])")
ALWAYS = re.compile(r"24/7(?!\d)|9/11(?!\d)")
DECADE = re.compile(r"'?(\d0|[12]\d\d0)(?:'?s)(?![A-Za-z])")
ORDINAL = re.compile(r"(\d{1,3}(?:,\d{3})+|\d{1,15})(?:st|nd|rd|th)(?![A-Za-z])", re.IGNORECASE)
SCIENTIFIC = re.compile(r"(?P<sign>[-−])?(\d+(?:\.\d+)?)[eE]([-+]?)(\d{1,3})(?!\w)")
VERSION = re.compile(r"\d{1,5}(?:\.\d{1,5}){2,}(?![\d])")
RATIO = re.compile(r"(\d{1,3}):(\d{1,3})(?![\d:])")
MULTIPLE = re.compile(r"([1-9]\d{0,4})x(?=\d)")
PLURAL = re.compile(r"(\d{1,6})s(?![A-Za-z])")  # 747s
SHORT_YEAR = re.compile(r"'(\d\d)(?!\d)")
LIST_NUMBER = re.compile(r"(?:(\d{1,3})|([IVX]{2,5}))[.)]$")
SPACED = re.compile(r"\d{1,3}(?: \d{3})+(?!\d)")  # 10 000
LASTING = frozenset("takes took after for every within lasts lasted wait waits only timeout".split())  # noqa: SIM905
NO_YEAR_BEFORE = frozenset(
    ("+", "-", "*", "=", "/", "times", "plus", "minus", "than", "number", "is", "equals")
)
ERAS = frozenset(("AD", "BC", "CE", "BCE"))
NOT_PLURAL = frozenset(
    "was is has this as his its always perhaps besides saw does news series us thus less plus versus".split()  # noqa: SIM905
)


def amount(c: Cursor) -> Reading | None:
    """Everything that begins with a digit, a sign before one, or a currency."""
    head = c.text[0]
    if not (
        head.isdecimal() or head in "-−–+'." or head in "$€£¥¢₹₽₩₺₿₴₫₪₱₦฿" or (head.isupper() and not c.kind)
    ):
        return None
    if c.kind == "word" and not head.isdecimal() and head in "-–+'.":
        return None
    for rule in (_money, _list_number, _special, _fraction, _count):
        found = rule(c)
        if found:
            return found
    return None


def unit_alone(c: Cursor) -> Reading | None:
    """``in km/h`` -> kilometers per hour."""
    found = None if c.kind else UNIT.match(c.text)
    if found and found["unit"] in ALONE and not found["sq"]:
        return Reading(unit_name(found, one=False), found.end(), "unit")
    return None


def _money(c: Cursor) -> Reading | None:
    found = MONEY_FIRST.match(c.beyond(len(c.text)) if MONEY_ALONE.match(c.text) else c.text)
    if found is None:
        return None
    end, scale = _scale(c, found.end(), money=True)
    low, high = _decimal_point(found["low"]), found["high"]
    minus = "minus " if found["sign"] in ("-", "−", "–") or found["minus"] else ""
    names = CURRENCIES[found["money"]]
    if high or scale:
        spoken = number(low) + (f" to {number(high)}" if high else "") + scale
        spoken += " " + names["-" not in c.beyond(end)[found.end() : end]]  # a $5-million house
    else:
        spoken = _sum_of_money(low, names)
    if doubled := re.compile(rf" {names[1].split()[-1]}(?![A-Za-z])").match(c.beyond(end), end):
        end = doubled.end()  # $5 million dollars
    return _per(c, Reading(minus + spoken, end, "unit"))


def _decimal_point(digits: str) -> str:
    """``1.234,56`` -> 1234.56, where the comma is that of decimals."""
    if re.fullmatch(r"\d{1,3}(?:\.\d{3})+", digits) and digits.count(".") == 1:
        return digits  # $1.234
    return digits.replace(".", "").replace(",", ".") if re.fullmatch(DECIMAL_COMMA, digits) else digits


def _sum_of_money(digits: str, names: tuple[str, ...]) -> str:
    """``12.50`` -> twelve dollars and fifty cents."""
    whole, _, part = digits.replace(",", "").partition(".")
    if part and len(part) == 2 and len(names) == 4:
        parts = []
        if int(whole or "0"):
            parts.append(f"{integer(whole)} {names[int(whole) != 1]}")
        if int(part):
            parts.append(f"{cardinal(int(part))} {names[2 + (int(part) != 1)]}")
        return " and ".join(parts) or f"zero {names[1]}"
    return f"{number(digits)} {names[digits != '1']}"


def _scale(c: Cursor, end: int, money: bool) -> tuple[int, str]:
    """Where a ``million`` after a number ends, and its word with a space before it."""
    w = c.beyond(end)
    found = SCALE.match(w, end)
    if found is None:
        return end, ""
    if found["word"]:
        return found.end(), " " + found["word"].lower()
    if not money and starts_upper(c.following(found.end()) or ""):
        return end, ""  # 221B Baker Street
    short = found["short"]
    if not money and (c.kind or short in ("m", "t", "T", "b", "K")):
        return end, ""  # 5 m are meters, 4K is a size of pictures, B2B is a word
    return found.end(), " " + SCALES[short.lower()]


def _list_number(c: Cursor) -> Reading | None:
    """``1. First`` at the start of a line -> one, first."""
    found = LIST_NUMBER.match(c.text)
    if found and not c.kind and not c.before and c.ahead() not in ("", "\n"):
        return Reading(
            (integer(found[1]) if found[1] else cardinal(roman_value(found[2]))) + ",", found.end()
        )
    return None


def _special(c: Cursor) -> Reading | None:
    """Numbers that stand by themselves, whatever follows."""
    text = c.text
    if (found := DECADE.match(text)) and c.before.lower() not in LASTING:
        digits = found[1]
        spoken = year(int(digits)) if len(digits) == 4 else cardinal(int(digits))
        return Reading(plural(spoken), found.end(), "date")
    if found := SHORT_YEAR.match(text):
        return Reading(("oh " if found[1][0] == "0" else "") + cardinal(int(found[1])), found.end(), "date")
    if (found := PLURAL.match(text)) and (len(found[1]) > 2 or c.kind == "hyphen"):
        return Reading(plural(integer(found[1])), found.end())
    if found := ORDINAL.match(text):
        return Reading(ordinal(int(found[1].replace(",", ""))), found.end())
    if found := SCIENTIFIC.match(text):
        sign = "minus " if found["sign"] else ""
        power = ("minus " if found[3] == "-" else "") + cardinal(int(found[4]))
        return Reading(f"{sign}{number(found[2])} times ten to the power of {power}", found.end(), "number")
    if found := VERSION.match(text):
        parts = found.group().split(".")
        if all(len(part) == 3 for part in parts[1:]) and len(parts[0]) < 4:  # 1.000.000
            return Reading(integer("".join(parts)), found.end(), "number")
        dot = " dot " if len(parts) == 4 else " point "
        return Reading(dot.join(integer(part) for part in parts), found.end(), "number")
    if found := RATIO.match(text):
        return Reading(f"{integer(found[1])} to {integer(found[2])}", found.end(), "number")
    if found := MULTIPLE.match(text):
        return Reading(f"{integer(found[1])} by", found.end(), "number")
    if found := FEET.match(text):
        return Reading(f"{cardinal(int(found[1]))} foot {cardinal(int(found[2]))}", found.end(), "unit")
    return None


def _fraction(c: Cursor) -> Reading | None:
    if found := ALWAYS.match(c.text):
        return Reading(" ".join(map(integer, found.group().split("/"))), found.end(), "number")
    w = c.text
    if w.isdecimal() and len(w) < 5 and c.kind != "number" and re.match(r"\d+/\d", c.ahead()):
        w = c.window(1)
    found = MIXED.match(w)
    if found and 0 < int(found[2]) < int(found[3]):
        return _measure(c, found.end(), mixed(*map(int, found.groups())), one=False)
    found = OVER.match(w)
    if found and int(found[3]):
        over, under = int(found[2]), int(found[3])
        is_sum = "=" in c.token or c.ahead().startswith("=")
        spoken = f"{cardinal(over)} divided by {cardinal(under)}" if is_sum else fraction(over, under)
        spoken = ("minus " if found["minus"] else "") + spoken
        return _measure(c, found.end(), spoken, one=True)
    return None


def _count(c: Cursor) -> Reading | None:
    """A number or a range, with its unit."""
    if (comma := COMMA_COUNT.match(c.text)) and not c.kind:
        sign = "minus " if comma["sign"] else ""
        low = _decimal_point(comma["low"])
        with_unit = _measure(c, comma.end(), sign + number(low), one=False, digits=low, sign=sign)
        if with_unit.kind == "unit" or comma["low"].startswith("0,") or "." in comma["low"]:
            return with_unit  # 1,5 kg, but not 1,5 by itself
    found = COUNT.match(c.text)
    if found is None or (found["sign"] and c.kind in ("number", "unit", "time", "date")):
        return None
    sign = "minus " if found["sign"] in ("-", "−", "–") else "plus " if found["sign"] else ""
    low, high, found_end = found["low"], found["high"], found.end()
    if high and re.search(r"\d-\d+-\d", c.token):  # 1-2-3
        high, found_end = None, found.start("dash")
    if c.text.isdecimal() and len(c.text) < 4 and re.match(r"0\d\d(?!\d)", c.ahead()):
        spaced = SPACED.match(c.window(4))
        assert spaced is not None  # one group at least was seen
        return _measure(c, spaced.end(), number(spaced.group().replace(" ", "")), one=False)
    if low.startswith(".") and c.kind in ("word", "number"):
        return None
    end, scale = _scale(c, found_end, money=False)
    spoken = f"{number(low)} to {number(high)}" if high else number(low)
    one = low == "1" and not high and not scale
    whole = _measure(c, end, sign + spoken + scale, one, digits="" if high or scale else low, sign=sign)
    if whole.kind == "unit" or scale:
        return whole
    if high:
        return Reading(sign + _range(c, low, high, found["dash"]), end, "number")
    if not sign and (is_year(low) or _is_old_year(c, low, end)) and _means_year(c, end):
        return Reading(year(int(low)), end, "number")
    if not c.kind and c.before.lower() in ("call", "dial") and len(low) == 3:
        return Reading(each_digit(low), end, "number")
    return whole


def _range(c: Cursor, low: str, high: str, dash: str) -> str:
    first = year(int(low)) if is_year(low) else number(low)
    if is_year(low) and (is_year(high) or (len(high) == 2 and high.isdecimal())):
        return f"{first} to {year(int(high)) if is_year(high) else cardinal(int(high))}"
    sum_of_it = "=" in c.token or c.before == "=" or c.before.lower() in ("minus", "calculate", "compute")
    falls = float(low.replace(",", "")) > float(high.replace(",", ""))
    asked = falls and c.before.lower() in ("", "is", "what's", "compute", "calculate", "solve")
    if dash == "-" and (sum_of_it or asked or c.ahead().startswith("=")):
        return f"{number(low)} minus {number(high)}"
    return f"{first} to {number(high)}"


def _means_year(c: Cursor, end: int) -> bool:
    """1995, but not 1500 calories, and not in a sum."""
    rest = c.text[end:]
    if c.before.lower() in NO_YEAR_BEFORE or c.kind in ("number", "sign") or rest[:1] in ("-", "+", "*", "="):
        return False
    if rest:
        return not rest[0].isalnum()
    following = c.ahead()
    if following[:1] in ("+", "*", "=", "/", "-") or following in ("times", "plus", "minus", "people", "of"):
        return False
    word = re.match(r"[a-z]+", following)
    return not (word and word.group().endswith("s") and word.group() not in NOT_PLURAL)


def _is_old_year(c: Cursor, digits: str, end: int) -> bool:
    """``in 1066``, ``1066 AD``: years before those that need no sign of it."""
    if not (len(digits) == 4 and digits.startswith("10")):
        return False
    return c.before.lower() in ("in", "since", "year", "ad") or (c.following(end) or "").strip(".,;") in ERAS


def _measure(c: Cursor, end: int, spoken: str, one: bool, digits: str = "", sign: str = "") -> Reading:
    """The number with the unit or currency after it, where there is one.

    ``digits``: the number as it is written, where it is one number alone, so that money has its cents.
    """
    w = c.beyond(end)
    money = MONEY_LAST.match(w, end)
    if money:
        names = CURRENCIES[money["money"]]
        spoken = sign + _sum_of_money(digits, names) if digits else f"{spoken} {names[not one]}"
        return _per(c, Reading(spoken, money.end(), "unit"))
    if SQUARE.match(w, end):
        w = c.beyond(len(w))
    unit = MEASURE.match(w, end)
    if unit and not (unit["unit"] == "us" and w[end] == " "):
        before_noun = w[end] == "-" or c.before.lower() in ("a", "an")  # a 5-km run, a 100 W lamp
        return Reading(f"{spoken} {unit_name(unit, one or before_noun)}", unit.end(), "unit")
    return Reading(spoken, end, "number")


def _per(c: Cursor, reading: Reading) -> Reading:
    """``$10/month`` -> ten dollars per month."""
    found = PER.match(c.beyond(reading.length), reading.length)
    if found is None:
        return reading
    unit = UNIT.fullmatch(found["per"])
    below = unit_name(unit, one=True) if unit else say(found["per"])
    power = {"2": "square ", "3": "cubic "}.get(found["power"] or "", "")
    return Reading(f"{reading.words} per {power}{below}", found.end(), "unit")
