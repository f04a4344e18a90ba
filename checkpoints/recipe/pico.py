"""SVOX Pico (``py-nanotts``): two voices in English and one in each of four other languages, clearer than espeak-ng.

No sound of it is timed, so hearing has its words alone.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RATE_HZ = 16_000
ENGLISH_VOICES = ("en-US", "en-GB")
FOREIGN_VOICES = {"de": "de-DE", "es": "es-ES", "fr": "fr-FR", "it": "it-IT"}


class Pico:
    """Reads texts.

    Raises:
        RuntimeError: ``py-nanotts`` is not installed.
    """

    def __init__(self) -> None:
        try:
            from py_nanotts import NanoTTS
        except ImportError as error:
            raise RuntimeError("Pico not found: pip install -r recipe/teachers/requirements.txt") from error
        self._engine = NanoTTS()

    def samples(self, text: str, voice: str, speed: float = 1.0, pitch: float = 1.0) -> NDArray[np.float32]:
        """Samples (n,) at 16 kHz, in -1…1; ``speed`` above 1 is faster, ``pitch`` above 1 is higher."""
        pcm = self._engine.speak(text, voice=voice, speed=speed, pitch=pitch)
        return np.frombuffer(pcm, np.int16).astype(np.float32) / 32768
