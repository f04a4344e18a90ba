"""Short-time Fourier transform and its inverse, frames first: (T, n_fft // 2 + 1).

Both are centred: frame t looks at the ``n_fft`` samples around sample ``t * hop``. The inverse is the
least-squares one of Griffin and Lim, "Signal estimation from modified short-time Fourier transform" (1984):
windowed overlap-add divided by the overlapped squares of the window.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

PadMode = Literal["constant", "reflect"]


def hann_window(samples: int) -> npt.NDArray[np.float32]:
    """Periodic Hann window (samples,): ``0.5 - 0.5 cos(2 pi k / samples)``, the one meant for spectra."""
    phase = 2.0 * np.pi * np.arange(samples) / samples
    return (0.5 - 0.5 * np.cos(phase)).astype(np.float32)


def stft(
    samples: npt.NDArray[np.float32],
    window: npt.NDArray[np.float32],
    hop: int,
    pad_mode: PadMode = "constant",
) -> npt.NDArray[np.complex64]:
    """Samples (n,) -> complex64 (1 + n // hop, n_fft // 2 + 1); ``n_fft`` is the window's length.

    ``pad_mode`` says what lies ``n_fft // 2`` samples beyond both ends: zeros or the reflected signal.
    """
    n_fft = window.size
    padded = np.pad(samples, n_fft // 2, mode=pad_mode)
    frames = np.lib.stride_tricks.sliding_window_view(padded, n_fft)[::hop]
    # numpy < 2 computes this in double precision; the result is brought to one dtype either way.
    return np.fft.rfft(frames * window, axis=-1).astype(np.complex64, copy=False)


def istft(
    spectrum: npt.NDArray[np.complex64],
    window: npt.NDArray[np.float32],
    hop: int,
    length: int,
) -> npt.NDArray[np.float32]:
    """Spectrum (T, n_fft // 2 + 1) -> float32 (length,), the inverse of :func:`stft`.

    Samples that no frame reaches are 0. ``length`` up to ``hop * (T - 1) + n_fft // 2`` holds signal.
    """
    n_fft = window.size
    frames = np.fft.irfft(spectrum, n=n_fft, axis=-1).astype(np.float32, copy=False) * window
    signal = _overlap_add(frames, hop)
    weight = _overlap_add(np.broadcast_to(window * window, frames.shape), hop)
    covered = weight > np.finfo(np.float32).tiny
    np.divide(signal, weight, out=signal, where=covered)
    signal = signal[n_fft // 2 : n_fft // 2 + length]
    return np.pad(signal, (0, length - signal.size)) if signal.size < length else signal.copy()


def synthesise(
    spectrum: npt.NDArray[np.complex64], window: npt.NDArray[np.float32], hop: int
) -> npt.NDArray[np.float32]:
    """Spectrum (T, n_fft // 2 + 1) -> what its frames add up to, float32 (hop * (T - 1) + n_fft,).

    The first sample lies ``n_fft // 2`` before the centre of the first frame. Where all overlapping frames are there
    this is the inverse of :func:`stft` for a Hann window; nearer to an end it fades out. Results of successive
    parts of a spectrum, each laid ``hop`` samples a frame later, add up to that of the whole.
    """
    n_fft = window.size
    scale = np.float32(hop / np.square(window, dtype=np.float64).sum())
    frames = np.fft.irfft(spectrum, n=n_fft, axis=-1).astype(np.float32, copy=False) * (window * scale)
    return _overlap_add(frames, hop)[: hop * (len(frames) - 1) + n_fft]


def _overlap_add(frames: npt.NDArray[np.float32], hop: int) -> npt.NDArray[np.float32]:
    """Frames (T, n_fft), each ``hop`` later than the one before, summed into (hop * (T + ceil(n_fft/hop)),).

    Frames are cut into pieces of ``hop``; piece j of all frames is added at once, so that the loop runs
    ``n_fft / hop`` times (4 here) instead of T times.
    """
    count, n_fft = frames.shape
    pieces = -(-n_fft // hop)
    if n_fft % hop:
        frames = np.pad(frames, ((0, 0), (0, pieces * hop - n_fft)))
    cut = frames.reshape(count, pieces, hop)
    signal = np.zeros((count + pieces, hop), dtype=np.float32)
    for piece in range(pieces):
        signal[piece : piece + count] += cut[:, piece]
    return signal.reshape(-1)
