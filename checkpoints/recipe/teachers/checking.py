"""What the judges say of the teachers: word errors by Whisper base and DNSMOS on open English sentences."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soxr
from numpy.typing import NDArray

from muomni.speech.normalise import normalise
from recipe.scoring import error_rate
from recipe.seeds import generator
from recipe.speaking.espeak import Espeak
from recipe.speaking.judge import heard_errors
from recipe.speaking.open_sentences import open_english

from .hibari import Hibari
from .judges import SAMPLE_RATE_HZ, Dnsmos, Whisper
from .kokoro import SAMPLE_RATE_HZ as KOKORO_RATE_HZ
from .kokoro import STYLES, Blend, Kokoro
from .kokoro_phonemes import pieces
from .piper import SAMPLE_RATE_HZ as JOE_RATE_HZ
from .piper import Joe

BLENDS: dict[str, Blend] = {
    **{name: {name: 1.0} for name in STYLES},
    "0.5 alpha, 0.3 kumo, 0.2 nezumi": {"jf_alpha": 0.5, "jm_kumo": 0.3, "jf_nezumi": 0.2},
    "0.7 kumo, 0.3 alpha": {"jm_kumo": 0.7, "jf_alpha": 0.3},
    "0.7 kumo, 0.3 nezumi": {"jm_kumo": 0.7, "jf_nezumi": 0.3},
    "0.6 nezumi, 0.4 kumo": {"jf_nezumi": 0.6, "jm_kumo": 0.4},
    "0.6 alpha, 0.4 kumo": {"jf_alpha": 0.6, "jm_kumo": 0.4},
}
Say = Callable[[str], tuple[NDArray[np.float32], int]]


def check_teachers(folder: Path, count: int, threads: int) -> None:
    """Print a line a voice."""
    whisper, dnsmos = Whisper(folder, threads), Dnsmos(folder, threads)
    espeak, kokoro, joe = Espeak(), Kokoro(folder, threads), Joe(folder, threads)
    hibari = Hibari(folder, threads)

    def by_kokoro(blend: Blend) -> Say:
        style = kokoro.style(blend)

        def say(text: str) -> tuple[NDArray[np.float32], int]:
            return kokoro.speak([p.text for p in pieces(espeak, text)], style).samples, KOKORO_RATE_HZ

        return say

    def by_hibari(text: str) -> tuple[NDArray[np.float32], int]:
        return hibari.speak([p.text for p in pieces(espeak, text)]).samples, KOKORO_RATE_HZ

    def by_espeak(text: str) -> tuple[NDArray[np.float32], int]:
        return espeak.speak(text).samples, espeak.sample_rate_hz

    voices: dict[str, Say] = {
        "joe": lambda text: (joe.read(espeak, text), JOE_RATE_HZ),
        "espeak-ng": by_espeak,
        "Hibari, af_heart": by_hibari,
        **{name: by_kokoro(blend) for name, blend in BLENDS.items()},
    }
    for name, say in voices.items():
        errors, quality, seconds, took = [], [], 0.0, 0.0
        for index in range(count):
            text = open_english(generator("dev", 0, "open sentences", index), "dev")
            began = time.monotonic()
            samples, rate = say(normalise(text))
            took += time.monotonic() - began
            seconds += len(samples) / rate
            heard = np.asarray(soxr.resample(samples, rate, SAMPLE_RATE_HZ, "HQ"), np.float32)
            errors.append(heard_errors(whisper, heard, text)[0])
            quality.append(dnsmos.overall(np.clip(heard, -1, 1)))
        print(
            f"{name:34} word errors {100 * error_rate(errors):4.1f} %  DNSMOS {np.mean(quality):.2f}  "
            f"{took / seconds:.2f} s a second",
            flush=True,
        )
