"""Piper's voice joe, which training never hears: a person's voice by a network that shares nothing with Kokoro."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from muomni.speech.normalise import MARKS
from recipe.speaking.espeak import Espeak

from . import files
from .kokoro_phonemes import CLAUSE

SAMPLE_RATE_HZ = 22_050
NOISE, NOISE_OF_DURATIONS = 0.667, 0.8  # Piper's own defaults


class Joe:
    """Reads texts. Its graph draws random numbers, so no two readings are the same to the sample.

    Raises:
        TeacherError: its files are missing or others.
    """

    def __init__(self, folder: Path = files.DEFAULT_FOLDER, threads: int = 1) -> None:
        model, config = files.checked(folder, files.JOE)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        self._ids: dict[str, list[int]] = json.loads(config.read_text(encoding="utf-8"))["phoneme_id_map"]

    def read(self, espeak: Espeak, text: str, stretch: float = 1.0) -> NDArray[np.float32]:
        """Samples (n,) at 22,050 Hz of a normalised text; ``stretch`` above 1 is slower."""
        letters = ""
        for clause in CLAUSE.findall(text):
            if clause[0] in MARKS:
                letters += clause[0]
                continue
            words = ["".join(word) for word in espeak.words(clause, ipa=True)]
            letters += (" " if letters else "") + " ".join(words)
        ids = list(self._ids["^"]) + list(self._ids["_"])
        for letter in letters:
            if letter in self._ids:
                ids += [*self._ids[letter], *self._ids["_"]]
        ids += self._ids["$"]
        inputs = {
            "input": np.array([ids], dtype=np.int64),
            "input_lengths": np.array([len(ids)], dtype=np.int64),
            "scales": np.array([NOISE, stretch, NOISE_OF_DURATIONS], dtype=np.float32),
        }
        samples: NDArray[np.float32] = self._session.run(None, inputs)[0].reshape(-1).astype(np.float32)
        return samples
