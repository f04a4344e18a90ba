"""Numbers as English words, without the hyphens, commas and "and" that the letters-to-sounds model has not seen."""

# ruff: noqa: SIM905  word lists read better as text

from __future__ import annotations

import re
from functools import lru_cache

DIGITS = "zero one two three four five six seven eight nine".split()
LONGEST_NUMBER = 15  # digits; longer ones are read digit by digit
YEARS = range(1100, 2100)
"""Numbers of four digits that stand for a year where nothing says otherwise."""
NUMBER = r"(?:\d{1,3}(?:,\d{2,3})*,\d{3}(?!\d)|\d+)(?:\.\d+)?"
NUMBER_OR_DECIMALS = rf"(?:{NUMBER}|\.\d+)"
ROMAN_DIGITS = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100, "D": 500, "M": 1000}
OUT_OF = (10, 100)  # 8/10 is eight out of ten
DENOMINATORS = frozenset((*range(2, 11), 12, 16, 20, 32, 64, 100, 128, 1000))


@lru_cache(maxsize=4096)
def _words(n: int, kind: str) -> str:
    from num2words import num2words  # 30 ms and 5 MB, which texts without numbers do not need

    words: str = num2words(n, to=kind)
    return re.sub(r"[-, ]+(?:and )?", " ", words)


def cardinal(n: int) -> str:
    """1234 -> one thousand two hundred thirty four."""
    return _words(n, "cardinal")


def ordinal(n: int) -> str:
    """21 -> twenty first."""
    return _words(n, "ordinal")


def year(n: int) -> str:
    """1995 -> nineteen ninety five; 2005 -> two thousand five; 1905 -> nineteen oh five."""
    return _words(n, "year")


def plural(words: str) -> str:
    """nineteen ninety -> nineteen nineties."""
    return words[:-1] + "ies" if words.endswith("y") else words + ("es" if words.endswith("x") else "s")


def each_digit(digits: str) -> str:
    return " ".join(DIGITS[int(d)] for d in digits)


def integer(digits: str) -> str:
    """The cardinal number; digit by digit where it is too long or starts with a zero."""
    if len(digits) > LONGEST_NUMBER or (len(digits) > 1 and digits[0] == "0"):
        return each_digit(digits)
    return cardinal(int(digits))


def number(digits: str) -> str:
    """``"1,234.50"`` -> one thousand two hundred thirty four point five zero; ``".5"`` -> point five."""
    whole, _, decimals = digits.replace(",", "").partition(".")
    spoken = integer(whole) if whole else ""
    return f"{spoken} point {each_digit(decimals)}".strip() if decimals else spoken


def is_year(digits: str) -> bool:
    """Whether a number looks like a year."""
    return len(digits) == 4 and digits.isdecimal() and int(digits) in YEARS


def roman_value(numeral: str) -> int:
    """XIV -> 14."""
    values = [ROMAN_DIGITS[d] for d in numeral]
    return sum(v if v >= after else -v for v, after in zip(values, [*values[1:], 0], strict=True))


def fraction(over: int, under: int) -> str:
    """3, 4 -> three quarters; 8, 10 -> eight out of ten; 16, 9 -> sixteen over nine."""
    if under in OUT_OF and over != 1:
        return f"{cardinal(over)} out of {cardinal(under)}"
    if under not in DENOMINATORS or over > under:
        return f"{cardinal(over)} over {cardinal(under)}"
    name = {2: "half", 4: "quarter"}.get(under) or ordinal(under)
    if over != 1:
        name = "halves" if under == 2 else name + "s"
    return f"{cardinal(over)} {name}"


def mixed(whole: int, over: int, under: int) -> str:
    """1, 1, 2 -> one and a half; 2, 3, 4 -> two and three quarters."""
    part = fraction(over, under)
    return f"{cardinal(whole)} and {'a ' + part.removeprefix('one ') if over == 1 else part}"
