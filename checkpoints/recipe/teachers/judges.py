"""Judges of speech that share nothing with the model or its teachers: what Whisper base hears, and DNSMOS."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
from faster_whisper import WhisperModel
from numpy.typing import NDArray

from . import files

SAMPLE_RATE_HZ = 16_000
DNSMOS_SECONDS = 9.01
OVERALL = np.poly1d([-0.06766283, 1.11546468, 0.04602535])
"""What the network says -> the mean opinion score of P.835, overall (Reddy et al. 2022)."""


class Whisper:
    """The words of a recording, by Whisper base in English.

    Raises:
        TeacherError: its files are missing or others.
    """

    def __init__(self, folder: Path = files.DEFAULT_FOLDER, threads: int = 1) -> None:
        model = files.checked(folder, files.WHISPER)[0].parent
        self._model = WhisperModel(str(model), device="cpu", compute_type="int8", cpu_threads=threads)

    def text(self, samples: NDArray[np.float32]) -> str:
        """Samples at 16 kHz -> text."""
        segments, _ = self._model.transcribe(
            samples, language="en", beam_size=5, condition_on_previous_text=False, without_timestamps=True
        )
        return " ".join(segment.text.strip() for segment in segments)


class Dnsmos:
    """How good speech sounds to people, as a network guesses: 1 (bad) to 5 (excellent).

    Raises:
        TeacherError: its file is missing or another.
    """

    def __init__(self, folder: Path = files.DEFAULT_FOLDER, threads: int = 1) -> None:
        (model,) = files.checked(folder, files.DNSMOS)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self._session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])

    def overall(self, samples: NDArray[np.float32]) -> float:
        """Samples at 16 kHz -> the mean over windows of 9 s; short recordings are repeated, as ``speechmos`` does."""
        length = int(DNSMOS_SECONDS * SAMPLE_RATE_HZ)
        while len(samples) < length:
            samples = np.concatenate((samples, samples))
        scores = []
        for first in range(0, len(samples) - length + 1, SAMPLE_RATE_HZ):
            window = samples[first : first + length].astype(np.float32)[None]
            scores.append(float(OVERALL(self._session.run(None, {"input_1": window})[0][0][2])))
        return float(np.mean(scores))
