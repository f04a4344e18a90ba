"""Samples -> log-mel frames in a fixed range: what the codec encodes and the vocoder reads.

The range is fixed, not taken from the utterance as the reference does, because a stream has no whole utterance.
Frame ``t`` is centred on sample ``t * hop_samples``; outside the signal there is silence.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import librosa
import numpy as np
from numpy.typing import NDArray

from muomni.dsp.griffin_lim import griffin_lim
from muomni.dsp.stft import hann_window


@dataclass(frozen=True)
class MelSpec:
    """Magnitudes, HTK mel filters without normalisation, then log10 between two bounds mapped to 0…1."""

    sample_rate_hz: int = 16_000
    n_fft: int = 1024
    hop_samples: int = 256
    bins: int = 80
    low_log10: float = -2.5
    """Magnitudes below this (about the noise of 16-bit samples) are silence: 0."""
    high_log10: float = 2.5

    @property
    def frame_rate_hz(self) -> float:
        return self.sample_rate_hz / self.hop_samples


SPEC = MelSpec()


@cache
def filters(spec: MelSpec = SPEC) -> NDArray[np.float32]:
    """(n_fft // 2 + 1, bins)."""
    bank = librosa.filters.mel(
        sr=spec.sample_rate_hz, n_fft=spec.n_fft, n_mels=spec.bins, htk=True, norm=None
    )
    return np.ascontiguousarray(bank.T, dtype=np.float32)


def magnitudes(samples: NDArray[np.float32], spec: MelSpec = SPEC) -> NDArray[np.float32]:
    """Samples (n,) -> |STFT| (n // hop, n_fft // 2 + 1)."""
    half = spec.n_fft // 2
    padded = np.pad(samples, (half, half))
    frames = np.lib.stride_tricks.sliding_window_view(padded, spec.n_fft)[:: spec.hop_samples]
    count = len(samples) // spec.hop_samples
    return np.abs(np.fft.rfft(frames[:count] * hann_window(spec.n_fft), axis=-1)).astype(np.float32)


def log_mel(samples: NDArray[np.float32], spec: MelSpec = SPEC) -> NDArray[np.float32]:
    """Samples (n,) -> mel in 0…1 (n // hop, bins)."""
    return compress(magnitudes(samples, spec) @ filters(spec), spec)


def compress(mel: NDArray[np.float32], spec: MelSpec = SPEC) -> NDArray[np.float32]:
    logs = np.log10(np.maximum(mel, 10.0**spec.low_log10))
    return np.minimum((logs - spec.low_log10) / (spec.high_log10 - spec.low_log10), 1).astype(np.float32)


def expand(mel: NDArray[np.float32], spec: MelSpec = SPEC) -> NDArray[np.float32]:
    """The inverse of :func:`compress`: mel magnitudes."""
    logs = np.clip(mel, 0, 1) * (spec.high_log10 - spec.low_log10) + spec.low_log10
    return (10.0**logs).astype(np.float32)


def speech(mel: NDArray[np.float32], spec: MelSpec = SPEC, iterations: int = 32) -> NDArray[np.float32]:
    """Mel in 0…1 (T, bins) -> samples (T · hop,) by Griffin-Lim, the vocoder's baseline."""
    return griffin_lim(expand(mel, spec), filters(spec), spec.n_fft, spec.hop_samples, iterations)
