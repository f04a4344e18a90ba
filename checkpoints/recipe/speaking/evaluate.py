"""How well it speaks: what Whisper hears and DNSMOS says, at each stage, so that a loss can be placed.

The teacher, the teacher's mel through the vocoder, through the codec, the Talker given the teacher's phonemes, and the
whole from text. The sentences are the teacher's readings of ``dev``, which training never has.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from muomni.speech.phonemes import Phonemes
from muomni.speech.pointer import Graphs
from muomni.speech.text_pointer import TextPointer
from muomni_export.modules.codec import Codec
from recipe.scoring import error_rate
from recipe.teachers import files
from recipe.teachers.judges import Dnsmos, Whisper

from . import codec as codecs
from .alignment import Aligned
from .corpus import encode, spoken
from .judge import heard_errors
from .mel import log_mel, speech
from .phonemes import phoneme_ids
from .speak import decode, frames_of

Vocode = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""Mel in 0…1 (T, bins) -> samples (T · hop,)."""

CODEC_CHOICES = ((2, 512), (2, 1024), (2, 2048), (3, 512), (4, 512))
"""Codebooks and codes of each."""


@dataclass
class Score:
    """What the judges said of sentences."""

    errors: list[tuple[int, int]] = field(default_factory=list)
    quality: list[float] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)

    def summary(self) -> dict[str, float]:
        return {
            "words": sum(words for _, words in self.errors),
            "wer": round(100 * error_rate(self.errors), 1),
            "dnsmos": round(float(np.mean(self.quality)), 2),
            "duration_ratio": round(float(np.mean(self.ratios)), 3),
        }


class Judges:
    """Adds up what is heard of several ways of saying the same sentences."""

    def __init__(self, folder: Path = files.DEFAULT_FOLDER) -> None:
        self._whisper, self._dnsmos = Whisper(folder), Dnsmos(folder)
        self.scores: dict[str, Score] = {}

    def listen(self, name: str, samples: NDArray[np.float32], sentence: Aligned) -> None:
        score = self.scores.setdefault(name, Score())
        score.errors.append(heard_errors(self._whisper, samples, sentence.text)[0])
        score.quality.append(self._dnsmos.overall(np.clip(samples, -1, 1)))
        score.ratios.append(len(samples) / len(sentence.samples))

    def summary(self) -> dict[str, dict[str, float]]:
        return {name: score.summary() for name, score in self.scores.items()}


def dev_sentences(readings: Path, count: int) -> list[Aligned]:
    """Readings of plain English; strings of rare words tell less of how a listener fares."""
    return list(itertools.islice((a for a in spoken(readings, "dev") if len(a.text.split()) > 3), count))


def evaluate(
    readings: Path,
    codec: Codec,
    phonemes: Phonemes,
    graphs: Graphs | None,
    count: int,
    vocode: Vocode,
    from_text: bool,
) -> dict[str, dict[str, float]]:
    """``count`` sentences said in every way that what is trained so far allows."""
    judges = Judges()
    for sentence in dev_sentences(readings, count):
        judges.listen("teacher", sentence.samples, sentence)
        judges.listen("mel", vocode(log_mel(sentence.samples)), sentence)
        judges.listen("codec", vocode(decode(codec, encode(codec, sentence.samples))), sentence)
        if graphs is None:
            continue
        ids = phoneme_ids(phonemes, sentence.sounds)
        if ids is not None:
            frames = frames_of(graphs, map(int, ids))
            judges.listen("talker", vocode(decode(codec, np.array(frames))), sentence)
        if from_text:
            frames = list(TextPointer(graphs, phonemes).frames([sentence.text]))
            judges.listen("text", vocode(decode(codec, np.array(frames))), sentence)
    return judges.summary()


def compare_codecs(
    readings: Path, count: int, fitted_on: int, choices: Sequence[tuple[int, int]] = CODEC_CHOICES
) -> dict[str, dict[str, float]]:
    """What codes cost, by Griffin-Lim: unquantised mel, and several numbers and sizes of codebooks."""
    mel = torch.from_numpy(
        np.concatenate([log_mel(a.samples) for a in itertools.islice(spoken(readings, "train"), fitted_on)])
    )
    judges = Judges()
    sentences = dev_sentences(readings, count)
    for sentence in sentences:
        judges.listen("teacher", sentence.samples, sentence)
        judges.listen("mel", speech(log_mel(sentence.samples)), sentence)
    for books, size in choices:
        fitted = codecs.fit(mel, seed=0, codebooks=books, size=size)
        for sentence in sentences:
            judges.listen(
                f"{books} x {size}", speech(decode(fitted, encode(fitted, sentence.samples))), sentence
            )
    return judges.summary()
