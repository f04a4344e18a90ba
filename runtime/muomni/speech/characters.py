"""The characters of a token -> plain ones: letters a-z and A-Z, digits, and the signs that other rules read.

Invisible characters go, accents go, signs with a name become words, other scripts are transliterated (with a
note), emoji are silent. Only a letter or digit that nothing is known for is left out, and that is noted too.
"""

from __future__ import annotations

import re
import string
import unicodedata
from functools import lru_cache

KEPT = frozenset("€£¥¢₹₽₩₺₿₴₫₪₱₦฿°–—−•")
"""Signs beside ASCII that later rules read; so are ``μ`` and ``Ω`` of a unit."""
WRITTEN = {
    "’": "'", "‘": "'", "‚": "'", "‛": "'", "ʼ": "'", "′": "'", "“": '"', "”": '"', "„": '"', "‟": '"', "″": '"',
    "«": '"', "»": '"', "‹": '"', "›": '"', "「": '"', "」": '"', "『": '"', "』": '"', "《": '"', "》": '"',
    "〈": '"', "〉": '"', "【": '"', "】": '"', "（": "(", "）": ")",
    "。": ". ", "．": ".", "！": "! ", "？": "? ", "，": ", ", "、": ", ", "；": ", ", "：": ": ", "؟": "? ",
    "،": ", ", "؛": ", ", "।": ". ", "॥": ". ", "։": ". ", "።": ". ", "…": "...", "¿": " ", "¡": " ",
    "‐": "-", "‑": "-", "‒": "–", "―": "—", "⁄": "/", "∕": "/", "·": " ", "・": " ", "‣": "•", "◦": "•",
    "●": "•", "▪": "•", "■": "•", "℃": "°C", "℉": "°F", "№": "No. ", "ⁿ": "^n", "º": "°", "￥": "¥", "￡": "£",
    "ß": "ss", "ẞ": "SS", "æ": "ae", "Æ": "Ae", "ø": "o", "Ø": "O", "œ": "oe", "Œ": "Oe", "ł": "l", "Ł": "L",
    "đ": "d", "Đ": "D", "ð": "th", "Ð": "Th", "þ": "th", "Þ": "Th", "ı": "i",
    "ﾞ": "", "ﾟ": "",
}  # fmt: skip
NAMED = {
    "×": "times", "÷": "divided by", "±": "plus or minus", "≈": "about", "≠": "is not equal to", "≡": "is",
    "≤": "less than or equal to", "≥": "greater than or equal to", "√": "square root of", "∞": "infinity",
    "∑": "sum of", "∏": "product of", "∈": "in", "→": "to", "←": "from", "↔": "to and from", "⇒": "implies",
    "‰": "per mille", "©": "copyright", "§": "section", "¶": "paragraph", "¬": "not", "∆": "delta", "¦": " ",
}  # fmt: skip
GREEK = {
    "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "epsilon", "ζ": "zeta", "η": "eta", "θ": "theta",
    "ι": "iota", "κ": "kappa", "λ": "lambda", "μ": "mew", "ν": "new", "ξ": "zai", "ο": "omicron", "π": "pie",
    "ρ": "row", "σ": "sigma", "ς": "sigma", "τ": "tau", "υ": "upsilon", "φ": "fie", "χ": "kai", "ψ": "sigh",
    "ω": "omega",
}  # fmt: skip
"""How a single letter is named; words are transliterated."""
SUPERSCRIPT = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻", "0123456789+-")
GROUPED = re.compile(r"(?<=\d)[\u00a0\u2007\u2009\u202f](?=\d{3}(?!\d))")  # 10 000
SUPERSCRIPTS = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻]+")
FRACTION = re.compile(r"(?<=\d)(?=[¼-¾⅐-⅞])")
UNIT_SIGN = re.compile(
    r"(?<![^\W\d_])[μµ](?=(?:[msglLFAVW]|Hz)(?![^\W\d_]))|(?<=[\dkMGm ])[ΩΩ](?![^\W\d_])|^[ΩΩ]$"
)
INDIAN = frozenset("DEVANAGARI BENGALI GURMUKHI GUJARATI ORIYA TAMIL TELUGU KANNADA MALAYALAM".split())  # noqa: SIM905
WITHOUT_VOWELS = ("ARABIC", "HEBREW", "SYRIAC")


class Characters:
    """Cleans tokens, and remembers what the user should know: ``transliterated`` and ``unreadable`` in order."""

    def __init__(self) -> None:
        self.transliterated: dict[str, str] = {}
        self.unreadable: dict[str, None] = {}

    def clean(self, token: str) -> list[str]:
        """``"Café"`` -> ``["Cafe"]``, ``"1½"`` -> ``["1", "1/2"]``, ``"東京"`` -> ``["dong", "jing"]``."""
        if token.isascii() and token.isprintable():
            return [token]
        text = unicodedata.normalize("NFC", token)
        text = FRACTION.sub(" ", GROUPED.sub("", text))
        text = SUPERSCRIPTS.sub(lambda run: "^" + run.group().translate(SUPERSCRIPT), text)
        units = {sign.start(): "μ" if sign.group() in "μµ" else "Ω" for sign in UNIT_SIGN.finditer(text)}
        parts: list[str] = []
        run = ""  # of one foreign word
        for i, c in enumerate(text):
            plain = units[i] if i in units else _plain(c)
            if plain is None:
                run += c
                continue
            if run:
                parts.append(self._transliterate(run))
                run = ""
            parts.append(plain)
        if run:
            parts.append(self._transliterate(run))
        return "".join(parts).split()

    def _transliterate(self, word: str) -> str:
        if len(word) == 1 and word.lower() in GREEK:
            return f" {GREEK[word.lower()]} "
        from anyascii import anyascii  # 15 ms and 3 MB, which English texts do not need

        spelled = ""
        for i, c in enumerate(word):
            letters = "".join(a for a in anyascii(c) if a in string.ascii_letters)
            if unicodedata.name(c, "").startswith(("CJK", "HIRAGANA", "KATAKANA", "YI SYL")):
                letters = f" {letters.lower()} "  # scripts without spaces: every character is a word
            elif not (c.isupper() or c.islower()):
                letters = letters.lower()
            if _has_inherent_vowel(c) and word[i + 1 : i + 2] and unicodedata.category(word[i + 1])[0] == "L":
                letters += "a"
            spelled += letters
            if not letters.strip() and unicodedata.category(c)[0] in "LNC":
                self.unreadable[c] = None
        if not spelled.strip():
            return " "
        vowels = "aeiou" if unicodedata.name(word[0], "").startswith(WITHOUT_VOWELS) else "aeiouy"
        spelled = " ".join(_with_vowels(part, vowels) for part in spelled.split())
        if not all(unicodedata.name(c, "").startswith("LATIN") for c in word):
            self.transliterated.setdefault(word, spelled)
        return spelled if " " not in spelled else f" {spelled} "


@lru_cache(maxsize=4096)
def _plain(c: str) -> str | None:
    """What a character is written as in plain ones; None where only a transliteration helps."""
    if c.isascii():
        return c if c.isprintable() else " "
    if c in KEPT:
        return c
    if c in WRITTEN:
        return WRITTEN[c]
    if c in NAMED:
        return f" {NAMED[c]} "
    category = unicodedata.category(c)
    name = unicodedata.name(c, "")
    if category in ("Cf", "Cc") or "VARIATION SELECTOR" in name or category == "Me":
        return ""
    if category == "Nd":
        return str(unicodedata.decimal(c))
    if category == "Nl" and name.startswith(("ROMAN", "SMALL ROMAN")):
        return str(int(unicodedata.numeric(c)))
    if category in ("Sm", "Sc"):  # FOR ALL, KIP SIGN: named by Unicode
        return f" {re.sub('[^a-z]+', ' ', name.lower().replace(' sign', ''))} "
    compatible = unicodedata.normalize("NFKD", c)
    if compatible != c and category[0] in "LNM":  # é, ﬁ, ①, Ⅷ, ½, full-width letters
        plain = "".join(p for p in compatible if not unicodedata.combining(p)).replace("⁄", "/")
        return plain if plain.isascii() and plain.strip() else None
    if category in ("Mn", "Lm") and unicodedata.combining(c) and "COMBINING" in name:
        return ""
    return None if category[0] in "LMN" or category in ("Co", "Cs") else " "


def _has_inherent_vowel(c: str) -> bool:
    """Consonants of the scripts of India, which are followed by an a where no other vowel is written."""
    script, *rest = unicodedata.name(c, "-").split()
    return script in INDIAN and rest[:1] == ["LETTER"] and rest[-1].endswith("A") and len(rest[-1]) > 1


def _with_vowels(word: str, vowels: str) -> str:
    """Scripts that leave vowels out: an a after every consonant can be said, ``shlvm`` cannot."""
    return word if len(word) < 2 or set(vowels) & set(word.lower()) else "a".join(word)
