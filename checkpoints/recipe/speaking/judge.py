"""The speech of an exported bundle, judged by Whisper base and DNSMOS beside the teacher's own.

Sentences are English about anything, from patterns and words that training never has.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soxr
from numpy.typing import NDArray

from muomni.speech.normalise import normalise
from recipe.scoring import Result, error_rate, error_rate_interval, mean_interval, wilson, word_errors
from recipe.seeds import generator
from recipe.teachers import files
from recipe.teachers.hibari import Hibari
from recipe.teachers.judges import SAMPLE_RATE_HZ, Dnsmos, Whisper
from recipe.teachers.kokoro import SAMPLE_RATE_HZ as TEACHER_RATE_HZ
from recipe.teachers.kokoro_phonemes import pieces

from .alignment import FIRST_HEARD_S
from .espeak import Espeak
from .open_sentences import open_english

if TYPE_CHECKING:
    from muomni import Omni

CLOSE_DURATION = 0.25
ERRORS, ERRORS_TARGET = "speaking, word errors by Whisper base", 0.02
QUALITY, QUALITY_TARGET = "speaking, DNSMOS overall", 3.20
ENDS, ENDS_TARGET = "speaking, ends by itself and in time", 0.98
TEACHERS = "the teacher's"
SAME = {
    "grey": "gray",
    "neighbour": "neighbor",
    "travelled": "traveled",
    "theatre": "theater",
    "harbour": "harbor",
}
"""Spellings that sound the same: Whisper's and ours."""


def open_sentences(seed: int) -> Iterator[str]:
    """Sentences that training never has, endlessly."""
    index = 0
    while True:
        yield open_english(generator("evaluation", seed, "open sentences", index), "evaluation")
        index += 1


class Teacher:
    """The teacher in the model's own voice."""

    def __init__(self, folder: Path = files.DEFAULT_FOLDER) -> None:
        self._hibari, self._espeak = Hibari(folder), Espeak()

    def say(self, text: str) -> NDArray[np.float32]:
        """Samples at 16 kHz from where speech is heard: a little before what the durations call its start."""
        spoken = self._hibari.speak([p.text for p in pieces(self._espeak, normalise(text))])
        samples = spoken.samples[max(spoken.start - round(FIRST_HEARD_S * TEACHER_RATE_HZ), 0) :]
        return np.asarray(soxr.resample(samples, TEACHER_RATE_HZ, SAMPLE_RATE_HZ, "HQ"), np.float32)


def heard_errors(whisper: Whisper, samples: NDArray[np.float32], text: str) -> tuple[tuple[int, int], str]:
    """Word errors and words, and what was heard; numbers and spellings count as they sound."""
    heard = whisper.text(samples)
    return word_errors(_as_it_sounds(heard), _as_it_sounds(text)), heard


def _as_it_sounds(text: str) -> str:
    words = normalise(text.replace("-", " ")).split()
    return " ".join(SAME.get(word.strip(".,?!"), word) for word in words)


def judge_speech(omni: Omni, seed: int, count: int) -> list[Result]:
    """Word errors, how it sounds, and whether speech ends and when, of ``count`` sentences."""
    teacher, whisper, dnsmos = Teacher(), Whisper(), Dnsmos()
    errors, teachers_errors, quality, teachers_quality = [], [], [], []
    in_time = 0
    mistakes = []
    for _, text in zip(range(count), open_sentences(seed), strict=False):
        own, speech = teacher.say(text), omni.speak(text)
        assert speech.sample_rate == SAMPLE_RATE_HZ, "the judges listen at 16 kHz"
        pair, heard = heard_errors(whisper, speech.samples, text)
        errors.append(pair)
        teachers_errors.append(heard_errors(whisper, own, text)[0])
        quality.append(dnsmos.overall(speech.samples))
        teachers_quality.append(dnsmos.overall(np.clip(own, -1, 1)))
        ratio = len(speech.samples) / len(own)
        in_time += speech.cut_phonemes == 0 and abs(ratio - 1) < CLOSE_DURATION
        if pair[0]:
            mistakes.append((f"said in {ratio:.2f} of the teacher's time", text, heard))
    return [
        Result(
            ERRORS,
            error_rate(errors),
            *error_rate_interval(errors),
            ERRORS_TARGET,
            count,
            True,
            {TEACHERS: error_rate(teachers_errors)},
            mistakes=tuple(mistakes[:12]),
        ),
        Result(
            QUALITY,
            float(np.mean(quality)),
            *mean_interval(quality),
            QUALITY_TARGET,
            count,
            False,
            {TEACHERS: float(np.mean(teachers_quality))},
            is_share=False,
        ),
        Result(ENDS, in_time / count, *wilson(in_time, count), ENDS_TARGET, count, False),
    ]
