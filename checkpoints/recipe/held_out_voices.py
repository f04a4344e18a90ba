"""Neural voices that training never hears: Piper's joe, and Kokoro's blends of the held-out region."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import soxr
from numpy.typing import NDArray

from muomni.speech.normalise import normalise

from .speaking.espeak import Espeak
from .teachers import files
from .teachers.kokoro import SAMPLE_RATE_HZ as KOKORO_RATE_HZ
from .teachers.kokoro import Kokoro
from .teachers.kokoro_phonemes import pieces
from .teachers.piper import SAMPLE_RATE_HZ as JOE_RATE_HZ
from .teachers.piper import Joe
from .teachers.readings import draw_blend
from .voices import SAMPLE_RATE_HZ
from .world.phrasing import chance

Voice = Literal["joe", "held-out blends"]
FASTEST, SLOWEST = 1.2, 0.85


def has_files(folder: Path = files.DEFAULT_FOLDER) -> bool:
    return files.present(folder, (*files.KOKORO, *files.JOE))


class HeldOutVoices:
    """Reads texts, at 16 kHz.

    Raises:
        TeacherError: the teachers' files are missing or others.
    """

    def __init__(self, folder: Path = files.DEFAULT_FOLDER) -> None:
        self._espeak, self._joe, self._kokoro = Espeak(), Joe(folder), Kokoro(folder)

    def read(self, text: str, voice: Voice, rng: np.random.Generator) -> NDArray[np.float32]:
        """Samples (n,) of any English text, at a pace of its own."""
        speed = float(rng.uniform(SLOWEST, FASTEST))
        words = normalise(text)
        if words[-1] not in ".?!":
            words += "."
        self._espeak.restart()
        if voice == "joe":
            return self._at_16_khz(self._joe.read(self._espeak, words, 1 / speed), JOE_RATE_HZ)
        timbre = draw_blend(rng, held_out=True)
        manner = draw_blend(rng, held_out=True) if chance(rng, 0.4) else timbre
        found = [piece.text for piece in pieces(self._espeak, words)]
        spoken = self._kokoro.speak(found, self._kokoro.style(timbre, manner), speed)
        return self._at_16_khz(spoken.samples, KOKORO_RATE_HZ)

    @staticmethod
    def _at_16_khz(samples: NDArray[np.float32], rate_hz: int) -> NDArray[np.float32]:
        return np.asarray(soxr.resample(samples, rate_hz, SAMPLE_RATE_HZ, "HQ"), np.float32)
