"""Mel filters as the models were trained with them; librosa is the standard for both kinds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np


def write_mel_filters(path: Path, sample_rate_hz: int, n_fft: int, bins: int, **kind: Any) -> None:
    """Write ``.npy``, float32 (n_fft / 2 + 1, bins); ``kind`` is what ``librosa.filters.mel`` takes."""
    import librosa  # takes a second to import

    bank = librosa.filters.mel(sr=sample_rate_hz, n_fft=n_fft, n_mels=bins, **kind)
    np.save(path, np.ascontiguousarray(bank.T, dtype=np.float32))
