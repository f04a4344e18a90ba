"""Another speaker from a recording: pitch and vocal tract changed one without the other."""

from __future__ import annotations

import numpy as np
import scipy.signal
import soxr
from numpy.typing import NDArray

Array = NDArray[np.float32]

WINDOW_S = 0.032
ENVELOPE_S = 0.002
"""Cepstrum below this is the vocal tract, above it the voice's pitch."""


def in_another_throat(samples: Array, rate_hz: int, pitch: float, tract: float) -> Array:
    """Samples with the pitch ``pitch`` times as high and resonances ``tract`` times as high.

    Resampling moves both and the pace too (``pitch`` times as fast); the resonances are then moved back or on.
    """
    if pitch != 1.0:
        samples = soxr.resample(samples, rate_hz * pitch, rate_hz, "MQ").astype(np.float32)
    return with_resonances(samples, rate_hz, tract / pitch)


def with_resonances(samples: Array, rate_hz: int, factor: float) -> Array:
    """The spectrum's envelope stretched by ``factor``; pitch and pace stay."""
    if abs(factor - 1) < 0.01:
        return samples
    size = round(WINDOW_S * rate_hz / 2) * 2
    _, _, spectrum = scipy.signal.stft(samples, nperseg=size, noverlap=size * 3 // 4)
    logs = np.log(np.abs(spectrum) + 1e-5)
    cepstrum = np.fft.irfft(logs, axis=0)
    keep = round(ENVELOPE_S * rate_hz)
    cepstrum[keep : size - keep + 1] = 0.0
    envelope = np.fft.rfft(cepstrum, axis=0).real
    source = np.clip(np.arange(len(envelope)) / factor, 0, len(envelope) - 1)
    low = np.minimum(source.astype(int), len(envelope) - 2)
    part = (source - low)[:, None]
    moved = envelope[low] * (1 - part) + envelope[low + 1] * part
    gain = np.exp(np.clip(moved - envelope, -5, 5))
    _, out = scipy.signal.istft(spectrum * gain, nperseg=size, noverlap=size * 3 // 4)
    return np.asarray(out[: len(samples)], np.float32)
