"""The phonemes of the teacher's readings: their list, and their numbers in a sentence."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from muomni.speech.normalise import MARKS
from muomni.speech.phonemes import Phonemes

from .alignment import Sound


def count_phonemes(sentences: Iterable[Sequence[str]]) -> Phonemes:
    """Every phoneme that occurs in sentences of symbols."""
    found = {symbol for symbols in sentences for symbol in symbols}
    return Phonemes(tuple(sorted(found - set(MARKS))))


def phoneme_ids(phonemes: Phonemes, sounds: Sequence[Sound]) -> NDArray[np.int64] | None:
    """Numbers (S,) of a sentence's sounds; None when one is so rare that the list lacks it."""
    try:
        return np.array([phonemes.id(s.symbol, s.starts_word) for s in sounds], dtype=np.int64)
    except ValueError:
        return None
