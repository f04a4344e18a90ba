"""What is heard beside speech, or in its place: noise, hum, knocks, music. All at 16 kHz, with a mean power of 1."""

from __future__ import annotations

import numpy as np
import scipy.signal
from numpy.typing import NDArray

from .world.phrasing import chance, pick

Array = NDArray[np.float32]
RATE_HZ = 16_000


def _with_power_1(samples: NDArray[np.float64] | Array) -> Array:
    return np.asarray(samples / (np.sqrt(np.mean(np.square(samples))) + 1e-9), np.float32)


def coloured(n: int, rng: np.random.Generator) -> Array:
    """Noise of a random colour, steady or swelling."""
    spectrum = np.fft.rfft(rng.standard_normal(n))
    hz = np.fft.rfftfreq(n, 1 / RATE_HZ)
    spectrum *= np.maximum(hz, 30) ** -rng.uniform(0, 1.1)
    spectrum *= np.exp(rng.uniform(0, 1.2) * np.sin(hz / RATE_HZ * rng.uniform(5, 60) + rng.uniform(0, 6)))
    out = np.fft.irfft(spectrum, n)
    if chance(rng, 0.4):
        t = np.arange(n) / RATE_HZ
        out *= np.exp(rng.uniform(0.2, 1.2) * np.sin(2 * np.pi * rng.uniform(0.2, 4) * t + rng.uniform(0, 6)))
    return _with_power_1(out)


def hum(n: int, rng: np.random.Generator) -> Array:
    """Mains, fans and engines: many harmonics of a low tone that hardly moves."""
    t = np.arange(n) / RATE_HZ
    tone = pick(rng, (50.0, 60.0, float(rng.uniform(25, 180))))
    phase = 2 * np.pi * tone * t + rng.uniform(0, 3) * np.sin(2 * np.pi * rng.uniform(0.1, 2) * t)
    parts = [np.sin(k * phase + rng.uniform(0, 6)) * k ** -rng.uniform(0.3, 2) for k in range(1, 12)]
    return _with_power_1(np.sum(parts, axis=0) + 0.2 * coloured(n, rng))


def knocks(n: int, rng: np.random.Generator) -> Array:
    """Keys, doors, dishes, drops: short bursts that ring."""
    out = 1e-3 * rng.standard_normal(n)
    for _ in range(int(rng.integers(1, 4 + n // RATE_HZ * 6))):
        length = int(rng.uniform(0.01, 0.25) * RATE_HZ)
        t = np.arange(length) / RATE_HZ
        ring = sum(
            np.sin(2 * np.pi * rng.uniform(150, 6000) * t) for _ in range(3)
        ) + 2 * rng.standard_normal(length)
        burst = ring * np.exp(-t / rng.uniform(0.003, 0.06)) * rng.uniform(0.1, 1)
        at = int(rng.integers(0, max(n - length, 1)))
        out[at : at + length] += burst[: n - at]
    return _with_power_1(out)


SCALES = ((0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10), (0, 3, 5, 7, 10), (0, 2, 4, 7, 9))


def music(n: int, rng: np.random.Generator, held_out: bool = False) -> Array:
    """A melody, chords and drums made of tones; ``held_out`` has instruments of its own (plucked strings and bells)."""
    out = np.zeros(n)
    beat = 60 / rng.uniform(60, 170)
    scale, root = pick(rng, SCALES), rng.uniform(80, 330)
    voices = int(rng.integers(1, 4))
    instrument = pick(rng, (_plucked, _bell) if held_out else (_organ, _bowed, _organ, _blown))
    for voice in range(voices):
        octave = int(rng.integers(0, 3))
        at = 0.0
        while at < n / RATE_HZ:
            length = beat * float(rng.choice((0.5, 1, 1, 2, 4 if voice else 1)))
            if chance(rng, 0.88):
                step = octave * 12 + scale[int(rng.integers(len(scale)))]
                note = instrument(root * 2 ** (step / 12), length * rng.uniform(0.7, 1.1), rng)
                first = int(at * RATE_HZ)
                out[first : first + len(note)] += note[: n - first] * rng.uniform(0.5, 1)
            at += length
    if chance(rng, 0.5):
        for hit in np.arange(0, n / RATE_HZ, beat * float(rng.choice((0.5, 1)))):
            first, length = int(hit * RATE_HZ), int(0.12 * RATE_HZ)
            drum = rng.standard_normal(length) * np.exp(
                -np.arange(length) / (RATE_HZ * rng.uniform(0.01, 0.04))
            )
            out[first : first + length] += rng.uniform(0.3, 1.5) * drum[: n - first]
    return _with_power_1(out + 1e-4 * rng.standard_normal(n))


def _times(length_s: float) -> NDArray[np.float64]:
    return np.arange(max(int(length_s * RATE_HZ), 64)) / RATE_HZ


def _faded(tone: NDArray[np.float64], attack_s: float, release_s: float) -> NDArray[np.float64]:
    t = np.arange(len(tone)) / RATE_HZ
    faded: NDArray[np.float64] = tone * np.minimum(1, t / attack_s) * np.minimum(1, (t[-1] - t) / release_s)
    return faded


def _harmonics(
    hz: float, length_s: float, falls: float, rng: np.random.Generator, vibrato: float
) -> NDArray[np.float64]:
    t = _times(length_s)
    phase = 2 * np.pi * hz * (t + vibrato / hz * np.sin(2 * np.pi * rng.uniform(4, 7) * t))
    count = max(1, min(14, int(7500 / hz)))
    return np.asarray(np.sum([np.sin(k * phase) * k**-falls for k in range(1, count + 1)], axis=0))


def _organ(hz: float, length_s: float, rng: np.random.Generator) -> NDArray[np.float64]:
    return _faded(_harmonics(hz, length_s, rng.uniform(0.8, 2), rng, 0.0), 0.01, 0.03)


def _bowed(hz: float, length_s: float, rng: np.random.Generator) -> NDArray[np.float64]:
    return _faded(_harmonics(hz, length_s, rng.uniform(0.7, 1.2), rng, rng.uniform(0.5, 2)), 0.06, 0.08)


def _blown(hz: float, length_s: float, rng: np.random.Generator) -> NDArray[np.float64]:
    tone = _harmonics(hz, length_s, rng.uniform(1.5, 3), rng, rng.uniform(0.2, 1))
    return _faded(tone + 0.1 * rng.standard_normal(len(tone)), 0.04, 0.05)


def _plucked(hz: float, length_s: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Karplus and Strong's string: a burst of noise goes round a loop that dulls it."""
    period = max(int(RATE_HZ / hz), 2)
    burst = np.zeros(len(_times(length_s)))
    burst[: min(period, len(burst))] = rng.uniform(-1, 1, min(period, len(burst)))
    loop = np.zeros(period + 2)
    loop[0], loop[period], loop[period + 1] = 1.0, -0.498, -0.498
    return np.asarray(scipy.signal.lfilter([1.0], loop, burst))


def _bell(hz: float, length_s: float, rng: np.random.Generator) -> NDArray[np.float64]:
    t = _times(length_s)
    ringing = np.exp(-t / rng.uniform(0.1, 0.8))
    bent = rng.uniform(1, 6) * ringing * np.sin(2 * np.pi * hz * rng.choice((1.4, 2.756, 3.5)) * t)
    return np.asarray(np.sin(2 * np.pi * hz * t + bent) * ringing)


def any_noise(n: int, rng: np.random.Generator) -> Array:
    return pick(rng, (coloured, coloured, hum, knocks))(n, rng)
