"""Loose words in an order that nobody read: recordings are cut between words, and the words put together anew.

A reading of loose words comes back in many shards, and a model soon knows its order by heart: it then writes what it
remembers where it should listen. Each time in another order, words can only be heard.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .voices import SOUNDS

Array = NDArray[np.float32]

PAUSE = SOUNDS.index("_")
MOST_BESIDE = 8
"""Frames of a pause that stay with the word beside it."""


@dataclass(frozen=True)
class SpokenWord:
    """Mel power (T, bins), the sound of each frame (T,), and the word."""

    mel: Array
    labels: NDArray[np.uint8]
    text: str


def words_of(mel: Array, labels: NDArray[np.uint8], transcript: str) -> list[SpokenWord]:
    """The words of a recording, one after the other; none if its pauses do not tell them apart.

    Args:
        mel: power (T, bins).
        labels: the sound of each frame (T,), where ``_`` parts the words.
        transcript: the words.
    """
    texts = transcript.split()
    edges = np.flatnonzero(np.diff(np.concatenate(([0], labels != PAUSE, [0]))))
    starts, ends = edges[::2], edges[1::2]
    if len(starts) != len(texts) or not texts:
        return []
    before = np.minimum((starts - np.concatenate(([0], ends[:-1]))) // 2, MOST_BESIDE)
    after = np.minimum((np.concatenate((starts[1:], [len(mel)])) - ends) // 2, MOST_BESIDE)
    parts = [slice(start, end) for start, end in zip(starts - before, ends + after, strict=True)]
    return [SpokenWord(mel[p], labels[p], text) for p, text in zip(parts, texts, strict=True)]


def patchwork(
    sources: Sequence[Sequence[SpokenWord]], longest: int, rng: np.random.Generator
) -> SpokenWord | None:
    """Words of some recordings in any order, at most ``longest`` frames of them, all as loud as the first one's.

    None where no word is short enough.
    """
    power = [float(np.mean([word.mel.sum(axis=1).mean() for word in words])) + 1e-12 for words in sources]
    words = [(word, power[0] / own) for source, own in zip(sources, power, strict=True) for word in source]
    chosen: list[tuple[SpokenWord, float]] = []
    frames = 0
    for i in rng.permutation(len(words)):
        if frames + len(words[i][0].mel) <= longest:
            chosen.append(words[i])
            frames += len(words[i][0].mel)
    if not chosen:
        return None
    mel = np.concatenate([word.mel * np.float32(factor) for word, factor in chosen])
    labels = np.concatenate([word.labels for word, _ in chosen])
    return SpokenWord(mel, labels, " ".join(word.text for word, _ in chosen))
