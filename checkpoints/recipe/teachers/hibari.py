"""Hibari: Kokoro's English voice af_heart in a network a tenth as large, a hundred times faster than one listens."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from . import files
from .kokoro import SAMPLES_PER_DURATION, Spoken, session_with, token_ids

DURATIONS = "/Round_output_0"
"""An inner tensor of the graph: how many times 600 samples each token lasts."""


class Hibari:
    """Speaks pieces of Kokoro's alphabet, as :class:`~recipe.teachers.kokoro.Kokoro` does, in American.

    The network says what spectrum each 12.5 ms have; ``hibari.dsp`` makes samples of it.

    Raises:
        TeacherError: its files are missing or others.
    """

    def __init__(self, folder: Path = files.DEFAULT_FOLDER, threads: int = 1) -> None:
        from hibari import dsp

        model, vocabulary = files.checked(folder, files.HIBARI)
        self._session = session_with(model, DURATIONS, threads)
        self._ids: dict[str, int] = json.loads(vocabulary.read_text(encoding="utf-8"))["vocab"]
        self._synthesize = dsp.synth

    def speak(self, pieces: Sequence[str], speed: float = 1.0, seed: int = 0) -> Spoken:
        """Say pieces of text in Kokoro's alphabet; ``seed`` makes the noise in it.

        Raises:
            ValueError: A letter is not in the alphabet, or there are too many.
        """
        ids = token_ids(self._ids, pieces)
        *spectrum, durations = self._session.run(
            None,
            {
                "ids": np.array([[0, *(i for piece in ids for i in piece), 0]], dtype=np.int64),
                "speed": np.array([speed], dtype=np.float32),
            },
        )
        samples = self._synthesize(*(part[0] for part in spectrum), np.random.default_rng(seed))
        ends = np.cumsum(durations.reshape(-1).astype(np.int64)) * SAMPLES_PER_DURATION
        return Spoken.of(samples, ends, ids)
