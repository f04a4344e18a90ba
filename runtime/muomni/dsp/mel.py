"""Samples -> mel power spectrogram: what the audio encoder listens to.

``mel[t, m] = sum_f |X[t, f]|**2 * filters[f, m]``, with X the short-time Fourier transform in centred frames
under a periodic Hann window, and **no logarithm**: the model was trained on plain power. The filters (HTK mel
scale, not normalised) are baked into the bundle at export, so that nothing here has to agree with a library.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from muomni.dsp.stft import hann_window
from muomni.errors import InputError, MediaError

FRAMES_PER_BLOCK = 1024
"""Frames transformed at once: 6 MiB of spectra. An hour of audio (360,000 frames) would take 2 GiB in one go."""

MIN_SAMPLES = 2
"""Fewest samples that can be reflected at the ends."""


@dataclass(frozen=True)
class MelParameters:
    """The numbers of the spectrogram, with their units."""

    sample_rate_hz: int = 16_000
    n_fft: int = 1024
    window_samples: int = 400
    hop_samples: int = 160
    n_mels: int = 128

    def __post_init__(self) -> None:
        for name in ("sample_rate_hz", "n_fft", "window_samples", "hop_samples", "n_mels"):
            if getattr(self, name) < 1:
                raise InputError(f"MelParameters: expected {name} above 0, got {getattr(self, name)!r}")
        if self.window_samples > self.n_fft or (self.n_fft - self.window_samples) % 2:
            raise InputError(
                f"MelParameters: expected a window that can be centred in n_fft = {self.n_fft}, "
                f"got window_samples = {self.window_samples}"
            )

    def frames(self, samples: int) -> int:
        """Frames T of a signal of so many samples: ``1 + samples // hop``."""
        return 1 + samples // self.hop_samples


def mel_power(
    samples: npt.NDArray[np.floating], parameters: MelParameters, filters: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """Samples (n,) at ``parameters.sample_rate_hz`` -> float32 (T, n_mels), T = 1 + n // hop.

    ``filters`` is (n_fft // 2 + 1, n_mels). The ends are padded by reflection. Short signals (the reference
    refuses n <= n_fft // 2) are reflected as often as it takes; from two samples on there is a spectrogram.
    Raises ``MediaError`` for fewer samples, ``InputError`` for shapes that do not fit.
    """
    signal = np.asarray(samples, dtype=np.float32)
    expected = (parameters.n_fft // 2 + 1, parameters.n_mels)
    if filters.shape != expected:
        raise InputError(f"mel filters: expected shape {expected}, got {filters.shape}")
    if signal.ndim != 1:
        raise InputError(f"mel spectrogram: expected samples of shape (n,), got {signal.shape}")
    if signal.size < MIN_SAMPLES:
        raise MediaError(
            f"audio of {signal.size} samples is too short for a spectrogram: expected at least {MIN_SAMPLES} samples "
            f"at {parameters.sample_rate_hz} Hz"
        )
    # The window is zero but for its middle, and a shift in time does not change the power: transforming those
    # window_samples alone (zero-padded to n_fft by rfft) gives the same numbers from less memory.
    size, hop = parameters.window_samples, parameters.hop_samples
    window = hann_window(size)
    before = parameters.n_fft // 2 - (parameters.n_fft - size) // 2  # of the window, before a frame's centre
    padded = np.pad(signal, (before, size - before), mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[::hop]

    count = parameters.frames(signal.size)
    mel = np.empty((count, parameters.n_mels), dtype=np.float32)
    for first in range(0, count, FRAMES_PER_BLOCK):
        block = frames[first : min(first + FRAMES_PER_BLOCK, count)]
        spectrum = np.fft.rfft(block * window, n=parameters.n_fft, axis=-1)
        power = (spectrum.real**2 + spectrum.imag**2).astype(np.float32, copy=False)
        np.matmul(power, filters, out=mel[first : first + len(block)])
    return mel
