"""Mel spectrogram -> speech without a vocoder: fast Griffin-Lim.

The stand-in for a bundle that has no vocoder. The mel filters are inverted by their pseudo-inverse, and the
phase that a spectrogram has lost is found by going back and forth between signal and spectrum, with the momentum
of Perraudin, Balazs and Søndergaard, "A fast Griffin-Lim algorithm" (WASPAA 2013).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from muomni.dsp.stft import hann_window, istft, stft
from muomni.errors import InputError

MAGNITUDE_FLOOR = 1e-8
"""Magnitudes below this, the negative ones of the pseudo-inverse too, are raised to it."""

PEAK = 0.95
"""Largest absolute sample of the result."""


def griffin_lim(
    mel: npt.NDArray[np.float32],
    filters: npt.NDArray[np.float32],
    n_fft: int = 1024,
    hop: int = 256,
    iterations: int = 32,
    momentum: float = 0.99,
    seed: int = 0,
) -> npt.NDArray[np.float32]:
    """Mel magnitudes (T, n_mels) -> float32 (T * hop,) of peak 0.95; silence stays silence.

    ``filters`` (n_fft // 2 + 1, n_mels) are those that made the mel. The length is that of a vocoder with this
    hop, one hop more than a centred transform of T frames would strictly cover. The same seed gives the same
    signal. Raises ``InputError`` for shapes that do not fit and for a mel that is not finite.
    """
    bins = n_fft // 2 + 1
    if filters.ndim != 2 or filters.shape[0] != bins:
        raise InputError(
            f"mel filters: expected shape ({bins}, n_mels) for n_fft = {n_fft}, got {filters.shape}"
        )
    if mel.ndim != 2 or mel.shape[1] != filters.shape[1]:
        raise InputError(f"Griffin-Lim: expected a mel of shape (T, {filters.shape[1]}), got {mel.shape}")
    if not 1 <= hop <= n_fft // 2:
        raise InputError(f"Griffin-Lim: expected a hop of 1 to n_fft // 2 = {n_fft // 2} samples, got {hop}")
    if iterations < 0 or momentum < 0:
        raise InputError(
            f"Griffin-Lim: expected iterations and momentum of 0 or more, got {iterations} and {momentum}"
        )
    if not np.isfinite(mel).all():
        raise InputError("Griffin-Lim: expected a finite mel, got NaN or infinity in it")

    length = len(mel) * hop
    magnitudes = mel_to_magnitudes(mel, filters)
    if not (
        magnitudes > MAGNITUDE_FLOOR
    ).any():  # normalising the floor to a peak of 0.95 would make up a noise
        return np.zeros(length, dtype=np.float32)
    window = hann_window(n_fft)
    turns = np.random.default_rng(seed).random(magnitudes.shape)
    spectrum = (magnitudes * np.exp(2j * np.pi * turns)).astype(np.complex64)
    previous = np.zeros_like(spectrum)
    tiny = np.finfo(np.float32).tiny
    # The direction of (1 + a) t[n] - a t[n-1]; only its phase is kept, so it may be divided by (1 + a).
    carried = np.float32(momentum / (1.0 + momentum))
    for _ in range(iterations):
        # The extra hop at the end makes one frame more than the mel has: it is left out.
        rebuilt = stft(istft(spectrum, window, hop, length), window, hop)[: len(mel)]
        spectrum = rebuilt - carried * previous
        spectrum *= magnitudes / (np.abs(spectrum) + tiny)
        previous = rebuilt
    signal = istft(spectrum, window, hop, length)
    peak = float(np.abs(signal).max())
    return signal * np.float32(PEAK / peak) if peak > 0 else signal


def mel_to_magnitudes(
    mel: npt.NDArray[np.float32], filters: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """Mel (T, n_mels) -> the least-squares spectrum magnitudes (T, n_fft // 2 + 1), at least 1e-8.

    Singular values are cut off at float64's rounding error, relative to the largest: a filter too narrow to hold
    a bin is a column of zeros and has no inverse.
    """
    cut_off = max(filters.shape) * float(np.finfo(np.float64).eps)
    inverse = np.linalg.pinv(filters.astype(np.float64), rcond=cut_off)  # (n_mels, bins)
    magnitudes = mel.astype(np.float64) @ inverse
    return np.maximum(magnitudes, MAGNITUDE_FLOOR).astype(np.float32)
