"""From samples to what training reads: mel spectrograms stored small, and what rooms, microphones and noise do.

What needs samples (rooms, band limits, overload) is done once when an utterance is made; what can be done to a
spectrogram (noise, equalisation, pauses, shifts in pitch) is drawn anew each time it is used.
"""

from __future__ import annotations

import functools

import librosa
import numpy as np
from numpy.typing import NDArray
from scipy.signal import fftconvolve, lfilter

from muomni.dsp.mel import MelParameters, mel_power

from .voices import SOUNDS
from .world.phrasing import chance

MEL = MelParameters()
FRAMES_PER_SECOND = MEL.sample_rate_hz / MEL.hop_samples

STORED_FLOOR = -14.0  # natural logarithm of mel power
NO_SOUND = 255
STORED_STEP = 0.1  # 0.43 dB; the range of a byte reaches 11.5

Array = NDArray[np.float32]


@functools.cache
def mel_filters() -> Array:
    """(n_fft / 2 + 1, bins): the HTK scale, not normalised."""
    filters = librosa.filters.mel(
        sr=MEL.sample_rate_hz, n_fft=MEL.n_fft, n_mels=MEL.n_mels, htk=True, norm=None, fmin=0.0
    )
    return np.ascontiguousarray(filters.T, dtype=np.float32)


def mel_of(samples: Array) -> Array:
    """Samples at 16 kHz -> mel power (T, bins), as the runtime computes it."""
    return mel_power(samples, MEL, mel_filters())


def stored(mel: Array) -> NDArray[np.uint8]:
    """Mel power as bytes of its logarithm."""
    log = np.log(np.maximum(mel, np.float32(1e-7)))
    return np.clip(np.round((log - STORED_FLOOR) / STORED_STEP), 0, 255).astype(np.uint8)


def restored(data: NDArray[np.uint8]) -> Array:
    """Mel power from :func:`stored`; the lowest step is silence."""
    table = np.exp(np.arange(256, dtype=np.float32) * np.float32(STORED_STEP) + np.float32(STORED_FLOOR))
    table[0] = 0.0
    return table[data]


def sound_labels(sounds: list[tuple[float, str]] | None, frames: int) -> NDArray[np.uint8]:
    """Which sound each mel frame holds: index into ``SOUNDS``, or NO_SOUND where it is not known."""
    if sounds is None:
        return np.full(frames, NO_SOUND, np.uint8)
    out = np.zeros(frames, np.uint8)
    for start_s, name in sounds:
        out[round(start_s * FRAMES_PER_SECOND) :] = SOUNDS.index(name) if name in SOUNDS else NO_SOUND
    return out


def in_a_room(samples: Array, rng: np.random.Generator) -> Array:
    """A recording as it may reach us: level, room, band limit, overload."""
    out = samples * (rng.uniform(0.05, 0.9) / max(float(np.abs(samples).max()), 1e-3))
    if chance(rng, 0.3):
        seconds = rng.uniform(0.08, 0.5)  # to fall by 60 dB
        n = int(seconds * MEL.sample_rate_hz)
        decay = np.exp(-6.9 * np.arange(n) / n).astype(np.float32)
        response = rng.standard_normal(n, dtype=np.float32) * decay
        response *= rng.uniform(0.1, 0.7) / np.linalg.norm(response)
        response[0] = 1.0
        out = fftconvolve(out, response)
    if chance(rng, 0.12):  # a telephone, or a recording at a lower rate
        spectrum = np.fft.rfft(out)
        hz = np.fft.rfftfreq(len(out), 1 / MEL.sample_rate_hz)
        low, high = rng.uniform(0, 300), rng.uniform(3300, 7000)
        spectrum[(hz < low) | (hz > high)] = 0
        out = np.fft.irfft(spectrum, len(out))
    if chance(rng, 0.05):
        limit = rng.uniform(0.3, 0.8) * np.abs(out).max()
        out = np.clip(out, -limit, limit)
    return out.astype(np.float32)


@functools.cache
def _bins_per_band() -> Array:
    """How many transform bins a mel band averages: noise is smoother where it is more."""
    return np.maximum((mel_filters() > 0.3).sum(axis=0), 1).astype(np.float32)


def noise_mel(frames: int, rng: np.random.Generator) -> Array:
    """Mel power (frames, bins) of coloured noise of mean power 1 in its loudest band, steady or swelling."""
    bins = MEL.n_mels
    grain = np.exp(rng.standard_normal((frames, bins), dtype=np.float32) / np.sqrt(_bins_per_band()))
    tilt = rng.uniform(-6, 1) * np.linspace(0, 1, bins, dtype=np.float32)  # from brown to slightly bright
    bump = rng.uniform(0, 2) * np.sin(np.linspace(0, rng.uniform(1, 8), bins) + rng.uniform(0, 6))
    colour = np.exp(tilt + bump).astype(np.float32) * mel_filters().sum(axis=0)
    swell = np.ones((frames, 1), np.float32)
    if chance(rng, 0.4):
        phase = np.arange(frames) / FRAMES_PER_SECOND * rng.uniform(0.3, 4) * 2 * np.pi
        swell = np.exp(rng.uniform(0.2, 1.2) * np.sin(phase + rng.uniform(0, 6)))[:, None].astype(np.float32)
    return grain * (colour / colour.max()) * swell


def cut_close(
    mel: Array, labels: NDArray[np.uint8], below_loudest_db: float
) -> tuple[Array, NDArray[np.uint8]]:
    """Mel power (T, bins) and the labels of its frames from the first that is loud to the last."""
    power = mel.sum(axis=1)
    loud = np.flatnonzero(power > power.max() * 10 ** (-below_loudest_db / 10))
    if not len(loud):  # silence
        return mel, labels
    part = slice(int(loud[0]), int(loud[-1]) + 1)
    return mel[part], labels[part]


def _between_rows(values: Array, at: Array) -> Array:
    """Rows of values (N, M) at fractional places, in proportion to the two beside each; the last one beyond the end."""
    low = np.clip(at.astype(int), 0, max(len(values) - 2, 0))
    part = np.clip(at - low, 0, 1).astype(np.float32)[:, None]
    high = np.minimum(low + 1, len(values) - 1)
    return values[low] * (1 - part) + values[high] * part


def paced(mel: Array, labels: NDArray[np.uint8], factor: float) -> tuple[Array, NDArray[np.uint8]]:
    """Mel power (T, bins) and its labels, said ``factor`` times as slowly at the same pitch."""
    source = np.arange(round(len(mel) * factor)) / factor
    nearest = np.minimum(np.round(source).astype(int), len(mel) - 1)
    return _between_rows(mel, source), labels[nearest]


def echoing(mel: Array, rng: np.random.Generator) -> Array:
    """Mel power (T, bins) with a tail after each sound that falls by 60 dB within 0.1 to 0.7 s, as in a room."""
    kept = 10 ** (-6 / (rng.uniform(0.1, 0.7) * FRAMES_PER_SECOND))
    level = 10 ** (-rng.uniform(3, 20) / 10) * (1 - kept)
    tail = lfilter([level], [1, -kept], mel, axis=0)
    return (mel + tail).astype(np.float32)


def disturbed(mel: Array, frames: int, rng: np.random.Generator) -> tuple[Array, int]:
    """An utterance as one batch sees it: (T, bins) -> (frames, bins) with noise and colour, and where it starts.

    The rest of the frames is silence with the same noise, which is what the ends of recordings are.
    """
    bins = mel.shape[1]
    if chance(rng, 0.7):  # the vocal tract shorter or longer, mouth and throat each by its own
        place = np.arange(bins) / bins
        source = np.arange(bins) * (
            rng.uniform(0.87, 1.13) + rng.uniform(-0.08, 0.08) * np.sin(np.pi * place)
        )
        mel = _between_rows(mel.T, source).T
    if chance(rng, 0.5):  # microphones colour sound
        curve = sum(
            rng.normal(0, 0.6) * np.cos(np.pi * k * np.arange(bins) / bins + rng.uniform(0, 3))
            for k in range(1, 5)
        )
        mel = mel * np.exp(curve).astype(np.float32)
    mel = mel * np.float32(10 ** rng.uniform(-1, 1))  # nearer or farther, 10 dB either way
    out = np.zeros((frames, bins), np.float32)
    start = int(rng.integers(0, frames - len(mel) + 1))
    out[start : start + len(mel)] = mel
    if chance(rng, 0.2):
        out = echoing(out, rng)
    if chance(rng, 0.12):  # a telephone
        out[:, : int(rng.integers(0, 16))] *= np.float32(1e-3)
        out[:, int(rng.integers(88, 110)) :] *= np.float32(1e-4)
    peak = float(mel.max())
    if chance(rng, 0.75):
        below_peak_db = rng.uniform(22, 70)  # against the loudest bin; speech is 20 dB quieter on the whole
        out += noise_mel(frames, rng) * np.float32(peak * 10 ** (-below_peak_db / 10))
    if chance(rng, 0.5):  # hide a little: no one band or moment may be needed
        for _ in range(int(rng.integers(1, 3))):
            width = int(rng.integers(2, 18))
            at = int(rng.integers(0, bins - width))
            out[:, at : at + width] *= np.float32(1e-3)
        for _ in range(int(rng.integers(0, 3))):
            width = int(rng.integers(2, 9))
            at = int(rng.integers(0, max(frames - width, 1)))
            out[at : at + width] *= np.float32(1e-3)
    return out, start


def with_noise(samples: Array, rng: np.random.Generator) -> Array:
    """Samples with silence at the ends and noise of 12…40 dB below the speech: evaluation hears samples, not mels."""
    before, after = (int(s * MEL.sample_rate_hz) for s in rng.uniform(0.05, 0.6, 2))
    out = np.pad(samples, (before, after)).astype(np.float32)
    noise = rng.standard_normal(len(out), dtype=np.float32)
    if chance(rng, 0.5):
        noise = np.convolve(noise, np.full(5, 0.2, np.float32), mode="same")
    level = np.sqrt(np.mean(samples**2)) * 10 ** (-rng.uniform(12, 40) / 20)
    return out + noise * np.float32(level / np.sqrt(np.mean(noise**2)))
