"""Lines read aloud by Festival: speech of a synthesizer that training never heard.

Training hears espeak-ng and Flite (:mod:`recipe.voices`). Needs ``text2wave`` and two voices, one of diphones and one
of hidden Markov models (Debian: ``festival festvox-kdlpc16k festvox-us-slt-hts``).
"""

from __future__ import annotations

import functools
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from .voices import SAMPLE_RATE_HZ
from .world.phrasing import pick

PROGRAM = "text2wave"
VOICES = ("ked_diphone", "cmu_us_slt_arctic_hts")


@functools.cache
def what_is_missing() -> str:
    """What of Festival is not installed; empty where all is."""
    packages = "Debian: festival festvox-kdlpc16k festvox-us-slt-hts"
    if not shutil.which(PROGRAM):
        return f"{PROGRAM} ({packages})"
    for voice in VOICES:
        try:
            _read("one", voice, 1.0)
        except RuntimeError:
            return f"Festival's voice_{voice} ({packages})"
    return ""


def festival_reading(text: str, rng: np.random.Generator) -> NDArray[np.float32]:
    """Samples (n,) at 16 kHz, in one of the voices and at some pace.

    Raises:
        FileNotFoundError: ``text2wave`` is not installed.
        RuntimeError: a voice is not installed.
    """
    voice, stretch = pick(rng, VOICES), rng.uniform(0.85, 1.25)
    return _read(text, voice, stretch)


def _read(text: str, voice: str, stretch: float) -> NDArray[np.float32]:
    setting = f"(begin (voice_{voice}) (Parameter.set 'Duration_Stretch {stretch:.2f}))"
    with tempfile.TemporaryDirectory() as folder:
        wave = Path(folder, "line.wav")
        command = [PROGRAM, "-eval", setting, "-o", str(wave)]
        read = subprocess.run(command, input=f"{text}\n".encode(), capture_output=True, check=False)
        if not wave.exists():
            raise RuntimeError(
                f"{PROGRAM} with voice_{voice}: {read.stderr.decode(errors='replace').strip()}"
            )
        samples, rate = soundfile.read(wave, dtype="float32")
    out: NDArray[np.float32] = soxr.resample(samples, rate, SAMPLE_RATE_HZ, "LQ")
    return out
