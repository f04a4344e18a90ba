"""The inventory of sounds, counted from the teacher's speech."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from muomni.speech.normalise import MARKS
from muomni.speech.phonemes import Phonemes

from .alignment import Aligned, Sound


def count_sounds(sentences: Iterable[Aligned]) -> Phonemes:
    """Every sound that occurs."""
    found = {sound.symbol for aligned in sentences for sound in aligned.sounds}
    return Phonemes(tuple(sorted(found - set(MARKS))))


def sound_ids(inventory: Phonemes, sounds: Sequence[Sound]) -> NDArray[np.int64] | None:
    """Numbers (S,) of a sentence's sounds; None when one is so rare that the inventory lacks it."""
    try:
        return np.array([inventory.id(s.symbol, s.starts_word) for s in sounds], dtype=np.int64)
    except ValueError:
        return None
