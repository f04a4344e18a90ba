"""Griffin-Lim: a mel becomes a signal with that spectrum."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from muomni.dsp.griffin_lim import MAGNITUDE_FLOOR, griffin_lim, mel_to_magnitudes
from muomni.dsp.stft import hann_window, stft
from muomni.errors import InputError

N_FFT, HOP = 256, 64  # a quarter of the usual: the inverse of 129 filters takes no time
BINS = N_FFT // 2 + 1
EVERY_BIN = np.eye(BINS, dtype=np.float32)
TIME_S = np.arange(4_000) / 4_000
VOICE = sum(np.sin(2 * np.pi * k * (150 * TIME_S + 5 * np.sin(3 * TIME_S))) / k for k in range(1, 9)).astype(
    np.float32
)
MAGNITUDES = np.abs(stft(VOICE, hann_window(N_FFT), HOP)).astype(np.float32)


def reconstruct(mel: np.ndarray, filters: np.ndarray = EVERY_BIN, **options: Any) -> np.ndarray:
    return griffin_lim(mel, filters, **{"n_fft": N_FFT, "hop": HOP, **options})


def triangles(count: int) -> np.ndarray:
    """Filters (BINS, count): overlapping triangles that widen with the frequency."""
    edges = np.linspace(0, np.sqrt(BINS - 1), count + 2) ** 2
    bins = np.arange(BINS)[:, None]
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    return np.maximum(0, np.minimum(rising, falling)).astype(np.float32)


def distance(samples: np.ndarray) -> float:
    """Spectral convergence: how far the signal's magnitudes are from those asked for, whatever its level."""
    got = np.abs(stft(samples, hann_window(N_FFT), HOP))[: len(MAGNITUDES)]
    got *= np.linalg.norm(MAGNITUDES) / np.linalg.norm(got)
    return float(np.linalg.norm(got - MAGNITUDES) / np.linalg.norm(MAGNITUDES))


def test_it_converges() -> None:
    distances = [distance(reconstruct(MAGNITUDES, iterations=count)) for count in (0, 4, 32)]
    assert distances == sorted(distances, reverse=True)
    assert distances[-1] < 0.15 < 0.5 < distances[0]


def test_momentum_converges_faster() -> None:
    plain, fast = (distance(reconstruct(MAGNITUDES, momentum=value)) for value in (0.0, 0.99))
    assert fast < plain


@pytest.mark.parametrize("frames", [1, 2, 3, 20])
@pytest.mark.parametrize("hop", [30, 64, 128])
def test_each_frame_becomes_a_hop_of_samples(frames: int, hop: int) -> None:
    samples = reconstruct(MAGNITUDES[:frames], hop=hop, iterations=2)
    assert samples.shape == (frames * hop,) and samples.dtype == np.float32
    assert np.isfinite(samples).all()


@pytest.mark.parametrize("gain", [1e-3, 1, 1e3])
def test_the_peak_is_0_95_at_any_level(gain: float) -> None:
    samples = reconstruct(MAGNITUDES * np.float32(gain), iterations=4)
    assert np.abs(samples).max() == pytest.approx(0.95, rel=1e-6)


def test_the_seed_decides() -> None:
    first, again, other = (reconstruct(MAGNITUDES, iterations=2, seed=seed) for seed in (1, 1, 2))
    assert (first == again).all() and (first != other).any()


@pytest.mark.parametrize("frames", [0, 1, 5])
def test_silence_stays_silence(frames: int) -> None:
    samples = reconstruct(np.zeros((frames, 40), np.float32), triangles(40))
    assert samples.shape == (frames * HOP,) and not samples.any()


def test_a_silent_half_stays_quiet() -> None:
    half = MAGNITUDES.copy()
    half[len(half) // 2 :] = 0
    samples = reconstruct(half)
    loud, quiet = samples[: len(samples) // 2 - N_FFT], samples[len(samples) // 2 + N_FFT :]
    assert np.sqrt(np.mean(quiet**2)) < 1e-3 * np.sqrt(np.mean(loud**2))


def test_magnitudes_make_the_mel_they_came_from() -> None:
    filters = triangles(40)
    mel = MAGNITUDES @ filters
    found = mel_to_magnitudes(mel, filters)
    assert found.shape == MAGNITUDES.shape and found.min() >= np.float32(MAGNITUDE_FLOOR)
    # All but the negative magnitudes, which are clipped.
    assert np.linalg.norm(found @ filters - mel) < 0.15 * np.linalg.norm(mel)


def test_a_filter_without_a_bin_does_no_harm() -> None:
    filters = triangles(40)
    filters[:, 3] = 0
    mel = MAGNITUDES @ filters
    assert np.isfinite(mel_to_magnitudes(mel, filters)).all()
    assert mel_to_magnitudes(mel, filters).max() < 100 * MAGNITUDES.max()


@pytest.mark.parametrize(
    ("mel", "options", "says"),
    [
        (np.zeros((5, 39)), {}, "(T, 40), got (5, 39)"),
        (np.zeros(40), {}, "got (40,)"),
        (np.full((5, 40), np.nan), {}, "finite"),
        (np.full((5, 40), np.inf), {}, "finite"),
        (np.zeros((5, 40)), {"n_fft": 512}, "(257, n_mels)"),
        (np.zeros((5, 40)), {"hop": 0}, "hop of 1"),
        (np.zeros((5, 40)), {"hop": 129}, "got 129"),
        (np.zeros((5, 40)), {"iterations": -1}, "iterations"),
        (np.zeros((5, 40)), {"momentum": -0.1}, "momentum"),
    ],
)
def test_what_does_not_fit_is_refused(mel: np.ndarray, options: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError) as caught:
        reconstruct(mel.astype(np.float32), triangles(40), **options)
    assert says in str(caught.value)
