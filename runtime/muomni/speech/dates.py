"""Rules for times of the day, dates, and the digits of telephone numbers."""

# ruff: noqa: SIM905  word lists read better as text

from __future__ import annotations

import re

from .cursor import Cursor, Reading
from .numbers import cardinal, each_digit, is_year, ordinal, year

MONTHS = ("january february march april may june july august september october november december").split()
DAYS = {
    "mon": "monday", "tue": "tuesday", "tues": "tuesday", "wed": "wednesday", "thu": "thursday", "thur": "thursday",
    "thurs": "thursday", "fri": "friday", "sat": "saturday", "sun": "sunday",
}  # fmt: skip
_ABBREVIATED = "Jan Feb Mar Apr Jun Jul Aug Sept Sep Oct Nov Dec".split()
_MONTH = rf"(?P<month>{'|'.join(m.capitalize() for m in MONTHS)}|(?:{'|'.join(_ABBREVIATED)})\.?)"
_LAST = r"(?:[-–](?P<last>[1-9]|[12]\d|3[01])(?:st|nd|rd|th)?)?"
_DAY = r"(?P<day>0?[1-9]|[12]\d|3[01])(?:st|nd|rd|th)?"
MONTH = re.compile(rf"{_MONTH}(?![\w'’])")
MONTH_DAY = re.compile(rf"{_MONTH} (?:the )?{_DAY}{_LAST}(?![\w:%/-]|[.,]\d)")
MONTH_THEN_YEAR = re.compile(rf"{_MONTH},? (?=\d{{4}}(?!\d))")
DAY_MONTH = re.compile(rf"{_DAY}{_LAST} (?:of )?{_MONTH}(?![\w'’])")
ISO = re.compile(r"(\d{4})([-/.])(0?[1-9]|1[0-2])\2(0?[1-9]|[12]\d|3[01])(?!\d)(T(?=\d))?")
NUMERIC = re.compile(r"(\d{1,2})([-/.])(\d{1,2})\2(\d{4}|\d{2})(?![\d])")
YEAR_MONTH = re.compile(r"(\d{4})-(0[1-9])(?![-\d])")
MONTH_SLASH_DAY = re.compile(r"(0[1-9]|1[0-2])/(0[1-9]|[12]\d|3[01])(?![/\d])")
WEEKDAY = re.compile(rf"({'|'.join(d.capitalize() for d in DAYS)})(\.?)(?![\w'’])")
_SHORT_NAMES = "|".join([*(d.capitalize() for d in DAYS), *_ABBREVIATED])
SPAN = re.compile(rf"({_SHORT_NAMES})\.?[-–]({_SHORT_NAMES})(?![\w'’])")

_CLOCK = r"(?P<hours>[01]?\d|2[0-4])(?::(?P<minutes>[0-5]\d))?(?::(?P<seconds>[0-5]\d)(?:\.\d+)?)?"
_HALF = r"(?: ?(?P<half>[AaPp]\.?[Mm]\b\.?))?"
TIME = re.compile(rf"{_CLOCK}{_HALF}(?P<zone>Z\b)?(?![\w:])")
_HOUR = r"(?:[01]?\d|2[0-4])(?::[0-5]\d)?"
HOURS = re.compile(
    rf"(?P<from>{_HOUR}) ?[-–—] ?(?=(?:{_HOUR}) ?[AaPp]\.?[Mm]\b|(?<=:\d\d[-–—])(?:[01]?\d|2[0-4]):[0-5]\d)"
)

GROUPED_DIGITS = re.compile(
    r"(?:\+?1[-.])?\d{3}([-.])\d{3}\1\d{4}(?!\d)|\d{3}-\d{4}(?![-\d])|\d{5}-\d{4}(?![-\d])|\+\d{1,3}(?:-\d{1,4}){2,6}(?!\d)"
    r"|\d{1,5}(?:-\d{1,7}){2,6}(?![-\d])|\+\d{7,15}(?!\d)"
)
AREA_CODE = re.compile(r"(?:\+?1[-. ])?\((\d{3})\)[- ]?\d{3}[-. ]\d{4}(?!\d)")
PLUS_NUMBER = re.compile(r"\+\d{1,3}$")
GROUP = re.compile(r"\(?\d{1,8}\)?\d{0,8}(?:[-.]\d{2,8})*(?=\D*$)")
LONGEST_GROUPS = 6
SPACED_NUMBER = re.compile(r"(?:0\d{2,4} \d{3,4} \d{3,4}|\d{3} \d{3} \d{4}|1 \d{3} \d{3} \d{4})(?!\d)")


def date(c: Cursor) -> Reading | None:
    """``2024-05-21``, ``5/21/2024``, ``21.5.2024``, ``May 21``, ``21 May``, ``Sept. 2023``, ``Mon.``"""
    if c.kind:
        return None
    if c.text[0].isdecimal():
        return _numeric_date(c) or _day_month(c)
    if found := SPAN.match(c.text):
        return Reading(f"{_full_name(found[1])} to {_full_name(found[2])}", found.end(), "date")
    if found := MONTH.match(c.text):
        return _month(c, found)
    return _weekday(c)


def _numeric_date(c: Cursor) -> Reading | None:
    if found := ISO.match(c.text):
        return Reading(_written(int(found[3]), found[4], found[1], ""), found.end(), "date")
    if found := YEAR_MONTH.match(c.text):
        if is_year(found[1]):
            return Reading(f"{MONTHS[int(found[2]) - 1]} {year(int(found[1]))}", found.end(), "date")
    elif found := NUMERIC.match(c.text):
        month, day = int(found[1]), int(found[3])
        if found[2] == "." or month > 12:
            month, day = day, month
        if 1 <= month <= 12 and 1 <= day <= 31 and (len(found[4]) == 4 or found[2] == "/"):
            whole = found[4] if len(found[4]) == 4 else ("19" if int(found[4]) > 69 else "20") + found[4]
            return Reading(_written(month, str(day), whole, ","), found.end(), "date")
    elif found := MONTH_SLASH_DAY.match(c.text):
        return Reading(_written(int(found[1]), found[2], "", ""), found.end(), "date")
    return None


def _written(month: int, day: str, whole_year: str, mark: str) -> str:
    spoken = f"{MONTHS[month - 1]} {ordinal(int(day))}{mark}"
    return f"{spoken} {year(int(whole_year))}" if whole_year else spoken


def _full_name(written: str) -> str:
    return DAYS.get(written.lower()) or _month_name(written)


def _month_name(written: str) -> str:
    return next(m for m in MONTHS if m.startswith(written.lower().rstrip(".")[:3]))


def _month(c: Cursor, found: re.Match[str]) -> Reading | None:
    """``May 21``; a month that is abbreviated stands beside a number."""
    w = c.beyond(found.end())
    if w[found.end() :] in ("", " the"):
        w = c.window(2)
    name = _month_name(found["month"])
    if day := MONTH_DAY.match(w):
        last = f" to {ordinal(int(day['last']))}" if day["last"] else ""
        return Reading(f"{name} {ordinal(int(day['day']))}{last}", day.end(), "date")
    abbreviated = name != found["month"].lower()
    if abbreviated and (
        MONTH_THEN_YEAR.match(w) or (found["month"].endswith(".") and c.before[-1:].isdecimal())
    ):
        return Reading(name, found.end(), "date")
    return None


def _day_month(c: Cursor) -> Reading | None:
    """``21 May`` -> the twenty first of may."""
    if not re.match(rf"{_DAY}(?:[-–]\d{{1,2}}(?:st|nd|rd|th)?)?$", c.text):
        return None
    w = c.window(1)
    if w.endswith(" of"):
        w = c.window(2)
    found = DAY_MONTH.match(w)
    if found is None:
        return None
    the = "" if c.before.lower() == "the" else "the "
    last = f" to {ordinal(int(found['last']))}" if found["last"] else ""
    month = _month_name(found["month"])
    end = found.end()
    if w[end - 1] == "." and month == "may":
        end -= 1
    return Reading(f"{the}{ordinal(int(found['day']))}{last} of {month}", end, "date")


def _weekday(c: Cursor) -> Reading | None:
    """``Mon.``, ``Tue``; those that are words too only before a date."""
    found = WEEKDAY.match(c.text)
    if found is None:
        return None
    is_word = found[1] in ("Sat", "Sun", "Wed", "Mon")
    w = c.beyond(found.end() if c.text[found.end() :] != "," else len(c.text))
    beside_date = re.match(rf",? (?:\d|{_MONTH})", w[found.end() :])
    if beside_date or not is_word or (found[1] in ("Mon", "Wed") and found[2] and not c.starts_sentence):
        return Reading(DAYS[found[1].lower()], found.end(), "date")
    return None


def time(c: Cursor) -> Reading | None:
    """``3:30 pm``, ``10 a.m.``, ``15:45``, ``9-5pm``."""
    if not c.text[0].isdecimal() or c.kind == "number":
        return None
    if hours := HOURS.match(c.text):
        first = TIME.fullmatch(hours["from"])
        assert first is not None  # it is a part of the same pattern
        return Reading(f"{_clock(first)} to", hours.end(), "time")
    if not re.match(_CLOCK, c.text):
        return None
    found = TIME.match(c.text)
    if found and not found["half"] and found.end() == len(c.text):
        found = TIME.match(c.window(1))
    if found is None or not (found["minutes"] or found["half"]):
        return None
    if found["half"] and not found["minutes"] and int(found["hours"]) not in range(1, 13):
        return None
    half = found["half"] or ""
    spoken, end = _clock(found), found.end()
    if found["zone"]:
        spoken += " zee"
    if half:
        spoken += {"a": " ay em", "p": " pee em"}[half[0].lower()]
        if half.endswith(".") and "." not in half[:-1]:
            end -= 1  # 10 am.
        elif half.endswith(".") and c.ends_sentence(end):
            spoken += "."
    return Reading(spoken, end, "time")


def _clock(found: re.Match[str]) -> str:
    """Hours and minutes as they are said."""
    hours, minutes, seconds = int(found["hours"]), found["minutes"], found["seconds"]
    half = found.groupdict().get("half")
    if minutes is None:
        return cardinal(hours)
    if minutes == "00":
        if half or seconds:
            spoken = cardinal(hours)
        elif 1 <= hours <= 12:
            spoken = f"{cardinal(hours)} o'clock"
        else:
            spoken = f"{cardinal(hours)} hundred"
    else:
        spoken = f"{cardinal(hours)} {'oh ' if minutes[0] == '0' else ''}{cardinal(int(minutes))}"
    if seconds and seconds != "00":
        spoken += f" and {cardinal(int(seconds))} second" + "s" * (seconds != "01")
    return spoken


def digits(c: Cursor) -> Reading | None:
    """Telephone numbers and other numbers in groups: digit by digit, a short pause between the groups."""
    if c.kind in ("number", "word") or not (c.text[0].isdecimal() or c.text[0] in "+("):
        return None
    found = GROUPED_DIGITS.match(c.text)
    if found:
        enough = sum(ch.isdecimal() for ch in found.group()) >= 7
        return Reading(_groups(found.group()), found.end(), "number") if enough else None
    if re.match(r"(?:\+?1[-.])?\(\d{3}\)", c.text) or re.match(r"\+?1$", c.text):
        area = AREA_CODE.match(c.window(3) if len(c.text) < 3 else c.window(2))
        if area:
            return Reading(_groups(area.group()), area.end(), "number")
    if PLUS_NUMBER.match(c.text):
        return _plus_number(c)
    if c.text.isdecimal() and len(c.text) <= 5 and re.match(r"\d{3,4}\W*$", c.ahead()):
        spaced = SPACED_NUMBER.match(c.window(3))
        if spaced:
            return Reading(_groups(spaced.group()), spaced.end(), "number")
    return None


def _plus_number(c: Cursor) -> Reading | None:
    count, length = 0, len(c.text)
    while count < LONGEST_GROUPS and (group := GROUP.match(c.ahead(count + 1))):
        count += 1
        length += 1 + group.end()
        if group.end() < len(c.ahead(count)):
            break
    written = c.window(count)[:length]
    if sum(ch.isdecimal() for ch in written) < 8:
        return None
    return Reading("plus " + _groups(written), length, "number")


def _groups(written: str) -> str:
    plus = "plus " if written.startswith("+") and " " not in written else ""
    return plus + ", ".join(each_digit(group) for group in re.findall(r"\d+", written))
