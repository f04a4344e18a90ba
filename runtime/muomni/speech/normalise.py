"""Any text -> what is spoken: lower-case words of a-z and ', and the marks , . ? !

The text may still be arriving. It becomes tokens (:mod:`.tokens`), of plain characters (:mod:`.characters`),
without their Markdown (:mod:`.markdown`); then one rule after the other is asked to read what is left of a token,
and may look at the few that follow. No letter or digit is dropped silently: what cannot be read is noted.
"""

from __future__ import annotations

import re
from collections import deque

from .abbreviations import abbreviation, roman
from .addresses import address
from .amounts import amount, unit_alone
from .characters import Characters
from .cursor import OPENING, Cursor, NotYet
from .dates import date, digits, time
from .markdown import Markdown
from .signs import sign, whole
from .tokens import Splitter
from .words import word

MARKS = ",.?!"
STRENGTH = {",": 1, ".": 2, "?": 3, "!": 3}
RULES = (whole, address, date, digits, time, amount, unit_alone, roman, abbreviation, word, sign)
"""In order; the last one reads whatever is left."""
BRACKETED = (whole, digits, amount)
"""Those that may begin with a bracket or a quote: (555) 123-4567, '90s."""
GENITIVE = re.compile(r"'s(?![A-Za-z])")
LONGEST_NOTE = 12  # words


class PlainTokens:
    """Text piece by piece -> its tokens in plain characters, without Markdown."""

    def __init__(self) -> None:
        self.splitter, self.characters = Splitter(), Characters()
        self._markdown = Markdown()
        self._tokens: deque[str] = deque()

    def pull(self) -> str:
        """The next token, "" at the end. Raises NotYet where more text must come first."""
        while not self._tokens:
            token = self.splitter.next()
            if token is None:
                if self.splitter.finished:
                    return ""
                raise NotYet
            for text in self._markdown.read(token):
                self._tokens.extend([text] if text == "\n" else self.characters.clean(text))
        return self._tokens.popleft()


class Normaliser:
    """Takes text piece by piece, gives its words and marks; how the text is cut makes no difference.

    Reads no more than it is asked for: a long text costs nothing before its words are wanted.

    >>> normaliser = Normaliser()
    >>> normaliser.push("It costs $1")
    >>> normaliser.next(), normaliser.next(), normaliser.next()
    ('it', 'costs', None)
    """

    def __init__(self) -> None:
        self._plain = PlainTokens()
        self._cursor = Cursor(self._plain.pull)
        self._ready: deque[str] = deque()
        self._over = False

    def push(self, text: str) -> None:
        self._plain.splitter.push(text)

    def finish(self) -> None:
        """No more text comes."""
        self._plain.splitter.finish()

    @property
    def finished(self) -> bool:
        """Nothing more will come."""
        return self._over and not self._ready

    @property
    def notes(self) -> list[str]:
        """What the listener would not know: words that were transliterated, characters left out."""
        notes = []
        if said := self._plain.characters.transliterated:
            words = ", ".join(
                f"{written} ({spoken})" for written, spoken in list(said.items())[:LONGEST_NOTE]
            )
            words = words.encode(errors="backslashreplace").decode()  # half of a surrogate pair is no text
            more = f" and {len(said) - LONGEST_NOTE} more" if len(said) > LONGEST_NOTE else ""
            notes.append(f"words in other scripts were spoken from their Latin spelling: {words}{more}")
        if left_out := self._plain.characters.unreadable:
            listed = ", ".join(f"U+{ord(c):04X}" for c in list(left_out)[:LONGEST_NOTE])
            notes.append(f"characters that have no reading were left out of the speech: {listed}")
        return notes

    def next(self) -> str | None:
        """The next word, or a mark that belongs to the word before; None where more text must come first."""
        while not self._ready and not self._over:
            try:
                self._read()
            except NotYet:
                return None
        return self._ready.popleft() if self._ready else None

    def _read(self) -> None:
        """Ask the rules for one reading more."""
        c = self._cursor
        if not c.text:
            self._over = not c.next_token()
            return
        if not c.kind and (opening := OPENING.match(c.text)) and not any(r(c) for r in BRACKETED):
            c.skip(opening.end())
            return
        for rule in RULES:
            reading = rule(c)
            if reading is None:
                continue
            words, length = reading.words, reading.length
            if words[-1:].isalpha() and (genitive := GENITIVE.match(c.beyond(length - 1), length)):
                words, length = words + genitive.group(), genitive.end()
            c.skip(length)
            c.kind = reading.kind
            for spoken in words.split():
                bare = spoken.rstrip(MARKS)
                self._ready.extend(part for part in (bare, spoken[len(bare) :]) if part)
                c.starts_sentence = spoken[-1] in ".?!"
            return


def normalise(text: str) -> str:
    """``"It's 3:30, Dr. Who!"`` -> ``"it's three thirty, doctor who!"``; an empty result is possible."""
    normaliser = Normaliser()
    normaliser.push(text)
    normaliser.finish()
    words: list[str] = []
    while (spoken := normaliser.next()) is not None:
        if spoken not in MARKS:
            words.append(spoken)
        elif words:
            words[-1] = stronger(words[-1], spoken)
    return " ".join(words)


def stronger(word: str, mark: str) -> str:
    """The word with a mark more, of which the stronger one stays: ``"yes,"`` and ``"!"`` are ``"yes!"``."""
    bare = word.rstrip(MARKS)
    old = word[len(bare) :]
    return bare + (mark if STRENGTH[mark] >= STRENGTH.get(old, 0) else old)
