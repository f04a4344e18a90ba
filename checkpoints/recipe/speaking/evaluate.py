"""How well it speaks: what an independent recogniser hears, against the teacher, and whether and when it stops.

The stages are measured one after the other, so that a loss can be placed: the teacher, the teacher through the
codec, the Talker given the teacher's sounds, and the whole from text.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from muomni.speech.normalise import MARKS
from muomni.speech.phonemes import Phonemes
from muomni.speech.pointer import Graphs, SpokenSounds, SpokenText
from muomni_export.modules.codec import Codec
from recipe.scoring import edit_distance
from recipe.seeds import Split, generator

from .alignment import Aligned, say
from .corpus import encode
from .espeak import Espeak
from .inventory import sound_ids
from .mel import speech
from .recognise import Recogniser
from .sentences import closed_sentence

CLOSE_DURATION = 0.25
Vocode = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""Mel in 0…1 (T, bins) -> samples (T · hop,)."""


@dataclass
class Score:
    """Sums over sentences."""

    errors: int = 0
    words: int = 0
    ratios: list[float] = field(default_factory=list)

    def summary(self) -> dict[str, float]:
        ratios = np.array(self.ratios)
        return {
            "words": self.words,
            "wer": round(100 * self.errors / self.words, 1),
            "duration_ratio": round(float(ratios.mean()), 3),
            "duration_within_25_percent": round(100 * float((abs(ratios - 1) < CLOSE_DURATION).mean()), 1),
        }


def evaluate(
    codec: Codec,
    inventory: Phonemes,
    graphs: Graphs,
    from_text: bool,
    count: int,
    split: Split = "dev",
    seed: int = 0,
    vocode: Vocode = speech,
    strict: bool = True,
) -> dict[str, dict[str, float]]:
    """Closed sentences never trained, said in every way, through the recogniser.

    Args:
        strict: the recogniser allows the sentences of the grammar only. Otherwise it allows any string of its
            words; the teacher itself then has half of its words misheard, so only large differences mean much.
    """
    espeak, recogniser = Espeak(), Recogniser(strict)
    scores: dict[str, Score] = {}
    for index in range(count):
        text = closed_sentence(generator(split, seed, "speaking evaluation", index))
        aligned = say(espeak, text)
        words = text.translate(str.maketrans("", "", MARKS)).split()
        for name, samples in versions(aligned, codec, inventory, graphs, from_text, vocode).items():
            score = scores.setdefault(name, Score())
            score.errors += edit_distance(words, recogniser.words(samples))
            score.words += len(words)
            score.ratios.append(len(samples) / len(aligned.samples))
    return {name: score.summary() for name, score in scores.items()}


def versions(
    aligned: Aligned, codec: Codec, inventory: Phonemes, graphs: Graphs, from_text: bool, vocode: Vocode
) -> dict[str, NDArray[np.float32]]:
    """One sentence said in every way."""
    spoken = {"teacher": aligned.samples, "codec": vocode(decode(codec, encode(codec, aligned.samples)))}
    ids = sound_ids(inventory, aligned.sounds)
    if ids is not None:
        frames = list(SpokenSounds(graphs, [int(i) for i in ids]))
        spoken["talker"] = vocode(decode(codec, np.array(frames)))
    if from_text:
        frames = list(SpokenText(graphs, inventory, [aligned.text]))
        spoken["text"] = vocode(decode(codec, np.array(frames)))
    return spoken


@torch.no_grad()
def decode(codec: Codec, codes: NDArray[np.int64]) -> NDArray[np.float32]:
    mel: NDArray[np.float32] = codec.decode(torch.from_numpy(codes)[None])[0].numpy()
    return mel
