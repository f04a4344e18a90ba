"""Rules for e-mail and web addresses, and for names with a dot inside: nothing in them ends a sentence."""

# ruff: noqa: SIM905  word lists read better as text

from __future__ import annotations

import re

from .cursor import Cursor, Reading
from .numbers import each_digit, integer
from .words import LETTER_NAMES, say

TOP_LEVEL = (
    "com org net edu gov mil int info biz dev app io ai co me tv uk us de fr es it nl be ch at se no dk fi pl cz pt gr "
    "ie eu ru ua cn jp kr in au nz ca br mx ar za ly gg xyz online site store tech blog cloud"
)
_TOP = "|".join(sorted(TOP_LEVEL.split(), key=len, reverse=True))
_HOST = rf"(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?\.)+(?:{_TOP})"
EMAIL = re.compile(r"(?:mailto:)?(?P<said>[A-Za-z0-9][\w.+%-]*@[A-Za-z0-9](?:[\w.-]*[A-Za-z0-9])?)")
WEB = re.compile(
    r"(?:(?:https?|ftp|wss?)://(?P<url>[^\s<>\"|]+)"
    rf"|(?P<host>www\.[^\s<>\"|]+|{_HOST}(?![\w.-]*[A-Za-z0-9])(?::\d+)?(?:[/?#][^\s<>\"|]*)?))",
    re.IGNORECASE,
)
AFTER = ".,!?;:'\")]}*_…"  # at the end of an address: marks of the sentence around it
SIGNS = {
    ".": "dot", "@": "at", "/": "slash", "-": "dash", "_": "underscore", ":": "colon", "?": "question mark",
    "=": "equals", "&": "and", "#": "hash", "%": "percent", "+": "plus", "~": "tilde",
}  # fmt: skip
SPELLED_ENDS = frozenset("ai ca eu io tv uk us".split())
"""Endings that are initials; ``.de``, ``.it`` and the like are said as they are read."""
PIECE = re.compile(r"\d+|[A-Za-z]+|.", re.DOTALL)


def address(c: Cursor) -> Reading | None:
    """``john.doe@example.com`` -> john dot doe at example dot com; ``https://`` is not said."""
    if c.kind or not ("." in c.text or "@" in c.text or "://" in c.text):
        return None
    if found := EMAIL.match(c.text):
        said = found["said"]
    elif found := WEB.match(c.text):
        said = found["url"] or found["host"]
    else:
        return None
    bare = said.rstrip(AFTER)
    if ")" in said and bare.count("(") > bare.count(")"):
        bare += ")"
    if not bare:
        return None
    return Reading(spell_address(bare), found.end() - len(said) + len(bare), "address")


def spell_address(bare: str) -> str:
    """Every letter, number and sign of an address."""
    spoken: list[str] = []
    pieces = PIECE.findall(bare.rstrip("/"))
    for i, piece in enumerate(pieces):
        if piece.isdecimal():
            spoken.append(integer(piece) if len(piece) < 5 else each_digit(piece))
        elif piece.isalpha() and piece.isascii():
            ends = i and pieces[i - 1] == "." and piece.lower() in SPELLED_ENDS
            spelled = ends or len(piece) == 1
            spoken.append(" ".join(LETTER_NAMES[x] for x in piece.lower()) if spelled else say(piece))
        else:
            spoken.append(SIGNS.get(piece, ""))
    return " ".join(filter(None, spoken))
