"""Runs of letters -> words of a-z and apostrophes; capitals that make no word, and consonants alone, are spelled."""

# ruff: noqa: SIM905  word lists read better as text

from __future__ import annotations

import re

from .cursor import Cursor, Reading

LETTER_NAMES = dict(
    zip(
        "abcdefghijklmnopqrstuvxyz",
        "ay bee see dee ee eff jee aitch eye jay kay ell em en oh pee cue are ess tee you vee ex why zee".split(),
        strict=True,
    ),
    w="double you",
)
SAID = {
    "ok": "okay", "muomni": "mew omni", "onnx": "onnix", "phd": "pee aitch dee", "phds": "pee aitch dees",
    "etc": "et cetera", "vs": "versus", "mr": "mister", "mrs": "missis", "n't": "not", "wifi": "wi fi",
    "wwi": "world war one", "wwii": "world war two", "hmm": "hum", "hm": "hum", "mmm": "um", "shh": "shush",
}  # fmt: skip
ACRONYMS = frozenset(
    "ABA ACLU ADHD AFC AFK AGI AKA AMD AOL API APIS ASCII ATM AWS CEO CFO CIA COO CPA CPI CPU CTO DIY DNA DOB DOJ "
    "EDT EEG EKG EPA ERP EST ETA ETF EUR FAQ FBI FYI GMO GPA GPU HIV IBM ICU IDE IDS IEEE IMF IMO IOS IOT IOU IPA "
    "IPO IPV IRA IRS ISBN ISO ISP KPI LAPD LED MIT MRI NBA NYU OCR OECD PIO POV PTO RNA ROI SEO SOS SUV TPU TSA "
    "UAE UCLA UFO UPS URI URL USA USB USC USD USSR UTC VIP".split()
)
"""Capitals with vowels that are spelled all the same; without vowels all are."""
TWO_LETTER_WORDS = frozenset(
    "AH AM AN AS AT BE BY DO EH GO HA HE HI HO IF IN IS IT LO MA ME MY NO OF OH ON OR OX PA SO TO UH UM UP US WE YE "
    "YO".split()
)
LONGEST_SPELLED = 5  # HTML; longer runs of consonants are shouting or noise
VOWELS = frozenset("aeiouy")
WORD = re.compile(r"[A-Za-z]+(?:'[A-Za-z]+)*'?")


def letter_names(letters: str) -> str:
    """``"USA"`` -> you ess ay."""
    return " ".join(LETTER_NAMES[letter] for letter in letters.lower() if letter != "'")


def word(c: Cursor) -> Reading | None:
    """The word that the token goes on with."""
    found = WORD.match(c.text)
    if found is None:
        return None
    piece, end = found.group(), found.end()
    if piece == "A" and _is_letter_a(c, end):
        return Reading("ay", end)
    if piece in ("a", "A", "i", "I", "am") and (c.kind == "number" or c.text[end : end + 1].isdecimal()):
        return Reading(letter_names(piece), end)
    if piece in ("US", "IT") and not _is_shouted(c, end):
        return Reading(letter_names(piece), end)
    return Reading(say(piece), end)


def say(piece: str) -> str:
    """A run of letters and apostrophes as it is read, whatever stands around it."""
    if piece.lower() in SAID:
        return SAID[piece.lower()]
    piece = piece.strip("'")
    stem = re.sub(r"'?s$", "", piece) if piece[:1].isupper() else piece
    if is_initials(stem):
        return letter_names(stem) + ("s" if piece != stem else "")
    plain = piece.lower()
    if plain in SAID:
        return SAID[plain]
    if len(plain) == 1:
        return plain if plain in "ai" else LETTER_NAMES[plain]
    if not VOWELS & set(plain):  # km, tv, hmm: no syllable to read
        return letter_names(plain)
    return plain


def is_initials(stem: str) -> bool:
    """Capitals read letter by letter."""
    if not (stem.isupper() and stem.isalpha() and len(stem) > 1):
        return False
    if len(stem) == 2:
        return stem not in TWO_LETTER_WORDS
    return stem in ACRONYMS or (len(stem) <= LONGEST_SPELLED and not set(stem.lower()) & VOWELS)


def _is_letter_a(c: Cursor, end: int) -> bool:
    """``vitamin A``, ``plan A.``: a capital inside a sentence is no article, if not all words have one."""
    if c.kind:
        return False
    if c.starts_sentence or c.before.isupper() or c.before[-1:] in ':"':
        return False
    following = c.following(end)
    return following is None or not following[:1].isupper()


def _is_shouted(c: Cursor, end: int) -> bool:
    """``LET US GO``, but not ``the US``."""
    beside = [w for w in (c.before, c.following(end) or "") if w.isalpha()]
    return c.before.lower() != "the" and any(w.isupper() and len(w) > 1 for w in beside)
