"""Rules for abbreviations, initials and Roman numerals: what they stand for, and where their full stop ends nothing."""

# ruff: noqa: SIM905  word lists read better as text

from __future__ import annotations

import re

from .cursor import STARTERS, Cursor, Reading, starts_upper
from .numbers import cardinal, ordinal, roman_value, year
from .words import letter_names

NEVER_LAST = {
    "e.g": "for example", "eg": "for example", "i.e": "that is", "ie": "that is", "vs": "versus", "cf": "compare",
    "viz": "namely", "approx": "approximately", "mr": "mister", "mrs": "missis", "ms": "miz", "messrs": "messers",
    "dr": "doctor", "prof": "professor",
}  # fmt: skip
"""What a full stop belongs to, and no sentence ends with."""
MAY_BE_LAST = {
    "etc": "et cetera", "al": "al", "inc": "incorporated", "ltd": "limited", "corp": "corporation", "jr": "junior",
    "sr": "senior", "dept": "department", "govt": "government", "univ": "university",
    "misc": "miscellaneous", "avg": "average", "blvd": "boulevard", "hwy": "highway", "ph.d": "pee aitch dee",
    "ph.ds": "pee aitch dees", "m.sc": "em ess see", "b.sc": "bee ess see", "tel": "telephone",
}  # fmt: skip
CAPITALS_ONLY = {
    "Ave": "avenue", "Rd": "road", "Ln": "lane", "Apt": "apartment", "Co": "company", "Sq": "square", "Pl": "place",
    "Bros": "brothers",
}  # fmt: skip
"""The small words beside them mean something else; a sentence may end with them."""
TITLES = {
    "Gen": "general", "Sen": "senator", "Rep": "representative", "Gov": "governor", "Capt": "captain",
    "Lt": "lieutenant", "Col": "colonel", "Sgt": "sergeant", "Cpl": "corporal", "Maj": "major", "Rev": "reverend",
    "Hon": "honorable", "Pres": "president", "Mt": "mount", "Ft": "fort", "Fr": "father", "Sr": "sister",
    "Dr": "doctor", "St": "saint", "Mr": "mister", "Mrs": "missis", "Ms": "miz", "Prof": "professor",
}  # fmt: skip
"""Before a name, with a full stop or without."""
STREETS = {"St": "street", "Dr": "drive"}
BEFORE_NUMBER = {
    "no": "number", "nos": "numbers", "fig": "figure", "figs": "figures", "eq": "equation", "sec": "section",
    "ch": "chapter", "vol": "volume", "art": "article", "p": "page", "pp": "pages", "pg": "page", "ver": "version",
    "ed": "edition", "ext": "extension", "op": "opus", "v": "versus", "nr": "number", "ca": "about", "c": "about",
    "max": "maximum", "min": "minimum", "est": "established",
}  # fmt: skip
NO_NAMES = frozenset("at in on of from to for near by and the visit see".split()) | STARTERS

ABBREVIATION = re.compile(r"(?:[A-Za-z]{1,2}\.){1,2}[A-Za-z]{1,2}(?![A-Za-z])|[A-Za-z]{1,6}(?![A-Za-z])")
INITIALS = re.compile(
    r"(?:[A-Za-z]\.){2,}(?![A-Za-z]{2})[A-Za-z]?(?P<plural>s(?![A-Za-z]))?|(?:[A-Za-z]\.)+[A-Za-z](?![A-Za-z.])"
)
INITIAL = re.compile(r"([A-Z])\.(?=$|-[A-Z]\.)")

ROMAN = re.compile(r"(?=[IVXL])(?:X[CL]|L?X{0,3})(?:IX|IV|V?I{0,3})(?![A-Za-z]|'(?!s(?![A-Za-z])))")
LONG_ROMAN = re.compile(
    r"(?=[MDCLXVI]{5})M{0,3}(?:C[MD]|D?C{0,3})(?:X[CL]|L?X{0,3})(?:IX|IV|V?I{0,3})(?![A-Za-z'])"
)
"""Years, mostly; no English word in capitals looks like one."""
NUMBERED = frozenset(
    "chapter part act scene section volume book phase type appendix article figure table title level stage class "
    "war bowl episode unit lesson paragraph canto mark grade no. vol. ch. fig. psalm".split()
)
REGNAL = frozenset(
    "henry louis george edward charles james william elizabeth mary richard pius paul benedict leo gregory alexander "
    "nicholas philip ferdinand napoleon frederick wilhelm clement innocent urban catherine ivan peter francis "
    "frederik harald gustav carl juan alfonso ramesses ramses cleopatra ptolemy darius xerxes otto stephen edmund "
    "albert leopold margaret isabella sixtus boniface victor umberto ludwig maximilian christian franz".split()
)
NOT_ROMAN = frozenset(("I", "V", "X", "L", "LI", "LIX", "MIX", "XL", "IX.", "XXX"))


def abbreviation(c: Cursor) -> Reading | None:
    """``e.g.``, ``Dr.``, ``U.S.A.``, ``J. R. R.``; None for words."""
    if c.kind or not c.text[0].isalpha():
        return None
    return _before_name(c) or _table(c) or _initials(c)


def _before_name(c: Cursor) -> Reading | None:
    """Titles, and the saint or street, doctor or drive."""
    found = re.match(r"([A-Z][a-z]{1,4})(\.?)(?![A-Za-z'’-])", c.text)
    if found is None or found[1] not in TITLES:
        return None
    following = c.following(found.end())
    name_follows = following is not None and starts_upper(following)
    if found[1] in STREETS:
        after_name = starts_upper(c.before) and c.before.lower() not in NO_NAMES and c.before[-1:].isalpha()
        if after_name and not (name_follows and c.before_that == "" and found[1] == "Dr"):
            is_first = not c.before_that or c.before_that[-1] in ".!?:"
            if not name_follows or not is_first:
                mark = "." if found[2] and c.ends_sentence(found.end()) else ""
                return Reading(STREETS[found[1]] + mark, found.end())
    if name_follows:
        return Reading(TITLES[found[1]], found.end())
    return None


def _table(c: Cursor) -> Reading | None:
    found = ABBREVIATION.match(c.text)
    if found is None:
        return None
    name, end = found.group(), found.end()
    stop = c.text[end : end + 1] == "."
    key = name.lower()
    if not stop and "." not in name:
        return None
    if c.text[end + stop : end + stop + 1].isalnum() and key not in BEFORE_NUMBER:
        return None
    end += stop
    if key in BEFORE_NUMBER and stop and name != "C":
        following = c.following(end) if end == len(c.text) else c.text[end:]
        if following and (following[0].isdecimal() or _is_numeral(following, key)):
            return Reading(BEFORE_NUMBER[key], end)
    if key in NEVER_LAST:
        return Reading(NEVER_LAST[key], end)
    spoken = MAY_BE_LAST.get(key) or CAPITALS_ONLY.get(name)
    if spoken is None or (key == "al" and c.before.lower() != "et"):
        return None
    ends = c.ends_sentence(end) or (key == "etc" and starts_upper(c.following(end) or ""))
    return Reading(spoken + ("." if stop and ends else ""), end)


def _is_numeral(token: str, key: str) -> bool:
    bare = token.rstrip(".,;:!?)")
    return bool(bare and ROMAN.fullmatch(bare)) and not (key == "no" and bare == "I")


def _initials(c: Cursor) -> Reading | None:
    """Letters with full stops between them are named one by one; the last full stop may end a sentence too."""
    if (found := INITIALS.match(c.text)) and not (found.group().islower() and len(found.group()) > 6):
        letters = found.group().removesuffix(found["plural"] or "").replace(".", "")
        spoken = letter_names(letters) + (found["plural"] or "")
        stopped = found.group().endswith(".")
        return Reading(spoken + ("." if stopped and c.ends_sentence(found.end()) else ""), found.end())
    found = INITIAL.match(c.text)
    if found is None:
        return None
    end = found.end()
    following = c.following(end) if end == len(c.text) else "A"
    if not following or not starts_upper(following) or following.rstrip(".,!?").lower() in STARTERS:
        return None
    if found[1] in "IA" and not (INITIAL.match(c.before) or INITIAL.match(following)):
        return None  # It is I. He came
    if c.before[-1:].islower() and c.before[:1].islower() and not INITIAL.match(following):
        return None  # vitamin C. Oranges
    return Reading(letter_names(found[1]), end)


def roman(c: Cursor) -> Reading | None:
    """``Henry VIII`` -> the eighth, ``World War II`` -> two, ``Chapter IV`` -> four."""
    if c.kind or c.text[0] not in "IVXLMDivxl":
        return None
    before = c.before.strip("\"'([").lower()
    keyword = before in NUMBERED or re.match(r"[ivx]{2,5}\)", c.text) is not None
    if found := LONG_ROMAN.match(c.text):
        return Reading(year(roman_value(found.group())), found.end())
    found = ROMAN.match(c.text.upper() if keyword else c.text)
    if found is None or not found.group():
        return None
    numeral = found.group()
    if len(numeral) == 1 and c.text[0].islower():
        return None
    n = roman_value(numeral)
    if c.following(found.end()) in ("century", "Century", "centuries"):
        return Reading(ordinal(n), found.end())
    regnal = before in REGNAL and starts_upper(c.before)
    if numeral in NOT_ROMAN:
        if not (keyword or regnal) or (numeral == "I" and not _counts(c, found.end(), before)):
            return None
    elif before == "the" and starts_upper(c.before_that):
        return Reading(ordinal(n), found.end())  # Louis the XIV
    elif not (
        keyword
        or len(numeral) > 2
        or numeral == "II"
        or (starts_upper(c.before) and c.before[-1:].isalpha() and not c.before.isupper())
    ):
        return None
    return Reading(f"the {ordinal(n)}" if regnal else cardinal(n), found.end())


def _counts(c: Cursor, end: int, before: str) -> bool:
    """Whether an ``I`` after such a word is a number: the person is followed by a verb."""
    if before == "war" and c.before_that.lower().endswith("world"):
        return True
    following = c.following(end)
    return following is None or following in ("", "\n", "of", "and", "was", "is", "to")
