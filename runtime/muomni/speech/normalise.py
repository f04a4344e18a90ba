"""Any text -> what is spoken: lower-case words of a-z and ', and the marks , . ? !

Pure Python, and every whitespace-separated token is spelled out by itself, so the text of a reply can be
normalised while it is still being written, as soon as a token is complete. Nothing is dropped silently that
could be read: a character without a name is spoken as nothing only if it is not a letter, digit or known symbol.
"""

# ruff: noqa: SIM905  word lists read better as text

from __future__ import annotations

import re
import unicodedata

MARKS = ",.?!"
UNITS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen"
).split()
TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
SCALES = ("", "thousand", "million", "billion", "trillion")
LONGEST_NUMBER = 3 * len(SCALES)  # digits; longer ones are read digit by digit

LETTER_NAMES = dict(
    zip(
        "abcdefghijklmnopqrstuvxyz",
        "ay bee see dee ee eff jee aitch eye jay kay ell em en oh pee cue are ess tee you vee ex why zee".split(),
        strict=True,
    ),
    w="double you",
)
SYMBOLS = {
    "%": "percent", "&": "and", "+": "plus", "=": "equals", "@": "at", "#": "number", "°": "degrees",
    "×": "times", "*": "times", "÷": "divided by", "/": "slash", "<": "less than", ">": "greater than",
    "−": "minus", "\\": "backslash", "_": " ", "~": "about", "^": "to the power of",
    "½": "a half", "¼": "a quarter", "¾": "three quarters", "²": "squared", "³": "cubed",
}  # fmt: skip
CURRENCIES = {"$": ("dollar", "dollars"), "€": ("euro", "euros"), "£": ("pound", "pounds")}
LETTERS_OF_OTHER_SCRIPTS = {
    "ß": "ss", "æ": "ae", "ø": "o", "œ": "oe", "ł": "l", "đ": "d", "ð": "th", "þ": "th", "ı": "i",
    "α": "alpha ", "β": "beta ", "γ": "gamma ", "δ": "delta ", "ε": "epsilon ", "θ": "theta ", "λ": "lambda ",
    "μ": "mew ", "π": "pie ", "σ": "sigma ", "τ": "tau ", "φ": "fie ", "ω": "omega ",
}  # fmt: skip
WHOLE_WORDS = {
    "mr.": "mister", "mrs.": "missis", "dr.": "doctor", "e.g.": "for example", "i.e.": "that is",
    "etc.": "et cetera", "vs.": "versus", "vs": "versus", "ok": "okay", "muomni": "mew omni", "onnx": "onnix",
    "a.m.": "ay em", "p.m.": "pee em", "...": ".", "…": ".", "-": "minus", "–": ",", "—": ",",
}  # fmt: skip
ORDINALS = {
    "one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth", "nine": "ninth",
    "twelve": "twelfth",
}  # fmt: skip
ACRONYMS = frozenset(
    "AI API ASCII ATM CEO CIA CPU DIY DNA EU FAQ FBI GPU IBM ID IO IP IQ IOS MIT OS PIN RNA SOS TPU TV UFO UK UN "
    "URL USA USB VIP".split()
)
LONGEST_SPELLED = 5  # HTML; longer runs of consonants are shouting or noise

NUMBER = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?"
TOKEN = re.compile(
    rf"(?P<time>(?<!\d)\d{{1,2}}:\d\d(?!\d))|(?P<ordinal>\d+(?:st|nd|rd|th)\b)"
    rf"|(?P<currency>[$€£])(?P<amount>{NUMBER})|(?P<number>{NUMBER})"
    r"|(?P<word>[^\W\d_]+(?:['’][^\W\d_]+)*['’]?)|(?P<other>.)",
    re.DOTALL,
)


def normalise(text: str) -> str:
    """``"It's 3:30, Dr. Who!"`` -> ``"it's three thirty, doctor who!"``; an empty result is possible."""
    spoken = " ".join(normalise_token(token) for token in text.split())
    return tidy(spoken)


def normalise_token(token: str) -> str:
    """What one token (no whitespace in it) is read as, with the mark that ends it, such as ``"forty two."``"""
    token = unicodedata.normalize("NFC", token)
    whole = WHOLE_WORDS.get(token.lower())
    if whole is not None:
        return whole
    if not token.strip("-–—"):
        return ","
    end = token.rstrip("\"')]}»”’*") or token
    body = end.rstrip(".,!?;:…")
    mark = mark_of(end[len(body) :])
    if body.lower() in WHOLE_WORDS:
        return WHOLE_WORDS[body.lower()] + mark
    previous, parts = "", []
    for match in TOKEN.finditer(body):
        parts.append(spell(match, previous, last=match.end() == len(body)))
        previous = match.lastgroup or ""
    return tidy(" ".join(parts) + mark) or mark


def tidy(spoken: str) -> str:
    """One space between words, none before a mark, one mark at most, none at the start."""
    spoken = re.sub(r"[,.?! ]*([?!])[,.?! ]*|[, ]*(\.)[,. ]*|[, ]*(,)[, ]*", r"\1\2\3 ", spoken)
    return re.sub(r" +", " ", spoken).strip().lstrip(MARKS + " ")


def mark_of(end: str) -> str:
    """The strongest mark of a token's end."""
    for mark, written in (("?", "?"), ("!", "!"), (".", "."), (",", ",;:…")):
        if any(c in written for c in end):
            return mark
    return ""


def spell(match: re.Match[str], previous: str, last: bool) -> str:
    """The words of one piece of a token; ``previous`` is the kind of the piece before it."""
    piece = match.group()
    if match["time"]:
        hours, minutes = piece.split(":")
        late = "" if minutes == "00" else ("oh " if minutes[0] == "0" else "") + integer(minutes.lstrip("0"))
        return f"{integer(hours)} {late}"
    if match["ordinal"]:
        return ordinal(piece[:-2])
    if match["currency"]:
        names = CURRENCIES[match["currency"]]
        return f"{number(match['amount'])} {names[match['amount'] != '1']}"
    if match["number"]:
        return number(piece)
    if match["word"]:
        return word(piece)
    if piece in "-–−":  # 5-3, -2; but a hyphen between words only parts them
        if previous == "word" or last:
            return " "
        return "minus"
    if piece in ",;:—":
        return ","
    if piece in ".?!":
        return " point " if piece == "." and previous == "number" and not last else piece
    return SYMBOLS.get(piece, " ")


def word(piece: str) -> str:
    """A run of letters -> a-z and apostrophes; capitals that make no word are spelled."""
    piece = piece.replace("’", "'").rstrip("'")
    stem = piece.removesuffix("'s").removesuffix("s") if piece[:1].isupper() else piece
    if is_initials(stem):
        return " ".join(LETTER_NAMES[c] for c in stem.lower()) + ("s" if piece != stem else "")
    if stem.lower() in WHOLE_WORDS:
        return WHOLE_WORDS[stem.lower()]
    letters = []
    for c in piece.lower():
        c = LETTERS_OF_OTHER_SCRIPTS.get(c, c)
        letters.append(
            "".join(d for d in unicodedata.normalize("NFKD", c) if d in "abcdefghijklmnopqrstuvwxyz' ")
        )
    plain = "".join(letters).strip()
    if len(plain) == 1 and plain not in "ai":
        return LETTER_NAMES[plain]
    if plain and not set(plain) & set("aeiouy"):  # km, tv, hmm: no syllable to read
        return " ".join(LETTER_NAMES[c] for c in plain if c != "'")
    return plain


def is_initials(stem: str) -> bool:
    """Capitals read letter by letter."""
    if not (stem.isupper() and stem.isalpha() and stem.isascii() and len(stem) > 1):
        return False
    return stem in ACRONYMS or (len(stem) <= LONGEST_SPELLED and not set(stem) & set("AEIOUY"))


def number(digits: str) -> str:
    """``"1,234.50"`` -> one thousand two hundred thirty four point five zero."""
    whole, _, decimals = digits.replace(",", "").partition(".")
    spoken = integer(whole)
    return f"{spoken} point {each_digit(decimals)}" if decimals else spoken


def each_digit(digits: str) -> str:
    return " ".join(UNITS[int(d)] for d in digits)


def integer(digits: str) -> str:
    """The cardinal number; digit by digit where it is too long or starts with a zero."""
    if len(digits) > LONGEST_NUMBER or (len(digits) > 1 and digits[0] == "0"):
        return each_digit(digits)
    n = int(digits)
    if n == 0:
        return UNITS[0]
    parts: list[str] = []
    for scale in SCALES:
        n, group = divmod(n, 1000)
        if group:
            parts.insert(0, f"{below_thousand(group)} {scale}".strip())
    return " ".join(parts)


def below_thousand(n: int) -> str:
    parts = []
    if n >= 100:
        parts.append(f"{UNITS[n // 100]} hundred")
        n %= 100
    if n >= 20:
        parts.append(TENS[n // 10 - 2])
        n %= 10
    if n:
        parts.append(UNITS[n])
    return " ".join(parts)


def ordinal(digits: str) -> str:
    """``"21"`` -> twenty first."""
    *rest, last = integer(digits).split()
    if last in ORDINALS:
        last = ORDINALS[last]
    elif last.endswith("y"):
        last = last[:-1] + "ieth"
    else:
        last += "th"
    return " ".join((*rest, last))
