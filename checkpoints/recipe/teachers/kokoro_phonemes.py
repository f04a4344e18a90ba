"""espeak-ng's phonemes in Kokoro's alphabet, one by one, so that durations of the one are durations of the other.

Kokoro learned from misaki, which writes a diphthong as one capital and no lengths. The rules follow misaki's for words
that its own dictionary lacks.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from muomni.speech.normalise import MARKS
from recipe.speaking.espeak import Espeak, MismatchError

DIPHTHONGS_AND_AFFRICATES = (
    ("aɪ", "I"), ("aʊ", "W"), ("eɪ", "A"), ("ɔɪ", "Y"), ("dʒ", "ʤ"), ("tʃ", "ʧ"),
    ("n̩", "ᵊn"), ("l̩", "ᵊl"), ("əl", "ᵊl"), ("ɚ", "əɹ"), ("ɐ", "ə"),
)  # fmt: skip
BRITISH_RULES = (("əʊ", "Q"), ("oʊ", "Q"), ("eə", "ɛː"), ("iə", "ɪə"))
AMERICAN_RULES = (("oʊ", "O"), ("əʊ", "O"), ("ɜːɹ", "ɜɹ"), ("ɜː", "ɜɹ"), ("ɾ", "T"), ("ː", ""))
RARE = (
    ("ɾ", "T"), ("ʔ", "t"), ("ɬ", "l"), ("x", "k"), ("ç", "k"), ("r", "ɹ"), ("e", "A"), ("o", "ɔ"), ("g", "ɡ"),
    ("̩", ""), ("̃", ""), ("ʲ", ""),
)  # fmt: skip
CLAUSE = re.compile(rf"[^{re.escape(MARKS)}]+|[{re.escape(MARKS)}]+")


@dataclass(frozen=True)
class Piece:
    """What one sound of espeak's is for Kokoro; ``symbol`` is espeak's name of it, a mark, or a space between words.

    ``word`` counts espeak's words ("of the" may be one of them).
    """

    symbol: str
    text: str
    starts_word: bool = False
    word: int = 0


SPACE = " "
SWALLOWED = "@-"
"""A schwa that IPA has in some words and not in others ("camera")."""
NOT_IN_IPA = (";",)
"""espeak's mark that a sound is palatal; pauses, too, are not in IPA."""


def in_kokoros_alphabet(ipa: str, british: bool = False) -> str:
    """One sound in espeak's IPA, with its stress -> Kokoro's letters."""
    for old, new in (*DIPHTHONGS_AND_AFFRICATES, *(BRITISH_RULES if british else AMERICAN_RULES), *RARE):
        ipa = ipa.replace(old, new)
    return ipa


def pieces(espeak: Espeak, text: str, british: bool = False) -> list[Piece]:
    """A normalised text (words and marks) sound by sound, with spaces and marks where Kokoro wants them.

    Raises:
        MismatchError: espeak's names and its IPA do not belong together (rare; such a text is left out).
    """
    out: list[Piece] = []
    word = -1
    for clause in CLAUSE.findall(text):
        if clause[0] in MARKS:
            if out:
                out.append(Piece(clause[0], clause[0], word=word))
            continue
        names, ipa = espeak.words(clause), espeak.words(clause, ipa=True)
        for symbols, letters in zip(names, ipa, strict=True):
            word += 1
            if out:
                out.append(Piece(SPACE, SPACE, word=word))
            out += _word(symbols, letters, word, british)
    return out


def _word(symbols: Sequence[str], letters: Sequence[str], word: int, british: bool) -> list[Piece]:
    spoken = [symbol for symbol in symbols if not symbol.startswith("_") and symbol not in NOT_IN_IPA]
    if len(spoken) > len(letters):
        spoken = [symbol for symbol in spoken if symbol != SWALLOWED]
    if len(spoken) != len(letters):
        raise MismatchError(f"{' '.join(symbols)} is {' '.join(letters)} in IPA")
    return [
        Piece(symbol, in_kokoros_alphabet(sound, british), i == 0, word)
        for i, (symbol, sound) in enumerate(zip(spoken, letters, strict=True))
    ]
