"""Recordings as a microphone hears them: someone speaks (or no one), in a room, beside noise, through a line.

What training hears and what evaluation hears are made here alike, from samples at 16 kHz. Words and voices come from
elsewhere (:mod:`recipe.voices`, :mod:`recipe.teachers`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.signal import fftconvolve

from .noises import any_noise, music
from .transmission import RATE_HZ, by_internet, by_telephone
from .world.phrasing import chance

Array = NDArray[np.float32]

QUIETEST_DB, LOUDEST_DB = -50.0, 0.0
FADE = int(0.006 * RATE_HZ)
CUT_CLOSE = 0.15  # of recordings have no silence at their ends, as those of announcements have not


@dataclass(frozen=True)
class Utterance:
    """Samples at 16 kHz, what a listener writes down, and what sounds when (seconds, espeak's name), if it is known.

    ``gaps`` are the seconds at which a word ends and the next begins; empty where they are not known.
    """

    samples: Array
    transcript: str
    sounds: tuple[tuple[float, str], ...] | None = None
    gaps: tuple[float, ...] = ()


def throat_for(man: bool, rng: np.random.Generator) -> tuple[float, float]:
    """Factors of pitch and of resonances; women's voices often become men's or children's, as men's do less."""
    if not chance(rng, 0.75):
        return 1.0, 1.0
    low, high = (np.log(0.8), np.log(1.6)) if man else (np.log(0.55), np.log(1.25))
    pitch = float(np.exp(rng.uniform(low, high)))
    # A larger body has both lower: resonances follow the pitch by a third of the way, more or less.
    tract = float(np.clip(pitch**0.35 * np.exp(rng.normal(0, 0.06)), 0.78, 1.25))
    return pitch, tract


def hesitating(utterance: Utterance, rng: np.random.Generator) -> Utterance:
    """Pauses between words; beginnings broken off, or said again (then the transcript has them twice)."""
    words = utterance.transcript.split()
    knows_words = len(utterance.gaps) == len(words) - 1 and len(words) > 1
    if utterance.gaps and chance(rng, 0.18):
        for _ in range(int(rng.integers(1, 3))):
            utterance = _with_pause(
                utterance, float(rng.choice(utterance.gaps)), float(rng.uniform(0.1, 0.7))
            )
    if knows_words and chance(rng, 0.1):
        until = 0 if chance(rng, 0.5) else int(rng.integers(1, min(3, len(words) - 1) + 1))
        utterance = _with_false_start(utterance, words, until, rng)
    return utterance


def _with_pause(utterance: Utterance, at_s: float, pause_s: float) -> Utterance:
    at = round(at_s * RATE_HZ)
    samples = np.concatenate(
        (
            _faded_out(utterance.samples[:at]),
            np.zeros(round(pause_s * RATE_HZ), np.float32),
            _faded_in(utterance.samples[at:]),
        )
    )
    sounds = utterance.sounds
    if sounds is not None:
        sounds = tuple((t + pause_s * (t >= at_s - 0.01), name) for t, name in sounds)
        sounds = tuple(sorted((*sounds, (at_s, "_"))))
    return replace(
        utterance,
        samples=samples,
        sounds=sounds,
        gaps=tuple(t + pause_s * (t > at_s) for t in utterance.gaps),
    )


def _with_false_start(
    utterance: Utterance, words: list[str], until: int, rng: np.random.Generator
) -> Utterance:
    """``until`` words are said and then all; with 0 a part of the first word is, which nobody writes down."""
    end_s = utterance.gaps[until - 1] if until else utterance.gaps[0] * float(rng.uniform(0.45, 0.8))
    start = utterance.samples[: round(end_s * RATE_HZ)]
    pause_s = float(rng.uniform(0.05, 0.5))
    shift = len(start) / RATE_HZ + pause_s
    sounds = utterance.sounds
    if sounds is not None:
        sounds = (
            *((t, name) for t, name in sounds if t < end_s),
            (end_s, "_"),
            *((t + shift, name) for t, name in sounds),
        )
    return Utterance(
        np.concatenate(
            (_faded_out(start), np.zeros(round(pause_s * RATE_HZ), np.float32), utterance.samples)
        ),
        " ".join((*words[:until], *words)),
        sounds,
        tuple(t + shift for t in utterance.gaps),
    )


def _faded_out(samples: Array) -> Array:
    out = samples.copy()
    n = min(FADE, len(out))
    out[len(out) - n :] *= np.linspace(1, 0, n, dtype=np.float32)
    return out


def _faded_in(samples: Array) -> Array:
    return _faded_out(samples[::-1])[::-1]


def in_room(samples: Array, rng: np.random.Generator) -> Array:
    """Close to the microphone or far from it: first echoes from the walls, then a tail that dies away."""
    reverberation_s = float(np.exp(rng.uniform(np.log(0.08), np.log(0.9))))
    n = int(reverberation_s * RATE_HZ)
    tail = rng.standard_normal(n).astype(np.float32) * np.exp(-6.9 * np.arange(n) / n).astype(np.float32)
    tail[: int(rng.uniform(0.002, 0.02) * RATE_HZ)] = 0.0
    echoes = (rng.uniform(0.001, 0.03, 6) * RATE_HZ).astype(int)
    np.add.at(tail, echoes[echoes < n], rng.uniform(-1, 1, int((echoes < n).sum())) * 6)
    direct_db = rng.uniform(-3, 18)  # against all that comes by way of the walls
    response = tail * np.float32(10 ** (-direct_db / 20) / (np.linalg.norm(tail) + 1e-9))
    response[0] = 1.0
    return fftconvolve(samples, response)[: len(samples) + n // 2].astype(np.float32)


def microphone(samples: Array, rng: np.random.Generator) -> Array:
    """A colour of its own, from its electronics and what is in the way."""
    if not chance(rng, 0.5):
        return samples
    spectrum = np.fft.rfft(samples)
    place = np.linspace(0, 1, len(spectrum))
    curve = sum(rng.normal(0, 0.5) * np.cos(np.pi * k * place + rng.uniform(0, 3)) for k in range(1, 6))
    if chance(rng, 0.3):
        curve = curve - rng.uniform(0, 3) * place
    return np.fft.irfft(spectrum * np.exp(curve), len(samples)).astype(np.float32)


def recorded(
    samples: Array, rng: np.random.Generator, others: Array | None = None, telephone: bool | None = None
) -> tuple[Array, float]:
    """What arrives of speech: room, noise or music or other talkers beside it, overload, line, level.

    Returns the recording and at which second of it ``samples`` begin; below 0 where it is cut close to the words.

    Args:
        others: someone else's speech, which may be talking in the background.
        telephone: through one or not; None leaves it to chance, as training does.
    """
    power = float(np.sqrt(np.mean(np.square(samples)))) + 1e-6
    out = samples
    if chance(rng, 0.45):
        out = in_room(out, rng)
    before, after = (int(s * RATE_HZ) for s in rng.uniform(0.02, 0.5, 2))
    if chance(rng, CUT_CLOSE) and out.any():
        loud = np.flatnonzero(np.abs(out) > 0.02 * np.abs(out).max())
        before, after = -int(loud[0]), 0
        out = out[loud[0] : loud[-1] + 1]
    else:
        out = np.pad(out, (before, after)).astype(np.float32)
    if chance(rng, 0.75):
        out = out + any_noise(len(out), rng) * np.float32(power * 10 ** (-rng.uniform(5, 45) / 20))
    if chance(rng, 0.12):
        out = out + music(len(out), rng) * np.float32(power * 10 ** (-rng.uniform(8, 30) / 20))
    if others is not None and chance(rng, 0.15):
        background = in_room(np.resize(others, len(out)), rng)[: len(out)]
        level = float(np.sqrt(np.mean(np.square(background)))) + 1e-6
        out = out + background * np.float32(power / level * 10 ** (-rng.uniform(12, 30) / 20))
    out = microphone(out, rng)
    if chance(rng, 0.07):
        limit = rng.uniform(0.15, 0.7) * float(np.abs(out).max())
        out = np.clip(out, -limit, limit)
    if telephone or (telephone is None and chance(rng, 0.25)):
        out = by_telephone(out, rng)
    elif telephone is None and chance(rng, 0.15):
        out = by_internet(out, rng)
    return at_some_level(out, rng), before / RATE_HZ


def at_some_level(samples: Array, rng: np.random.Generator) -> Array:
    """A peak anywhere from full scale down to a whisper, in steps of 16 bits."""
    peak_db = rng.uniform(-30, LOUDEST_DB) if chance(rng, 0.8) else rng.uniform(QUIETEST_DB, LOUDEST_DB)
    out = samples * np.float32(10 ** (peak_db / 20) / (float(np.abs(samples).max()) + 1e-9))
    return (np.round(out * 32767) / 32767).astype(np.float32)


def nothing(rng: np.random.Generator, held_out: bool = False) -> Array:
    """One to five seconds in which no one speaks: silence, noise, knocks, hum or music, loud or not."""
    n = int(rng.uniform(0.6, 5.0) * RATE_HZ)
    kind = rng.random()
    if kind < 0.12:
        return np.zeros(n, np.float32)
    if kind < 0.25:  # what a microphone makes of silence
        return at_some_level(any_noise(n, rng), rng) * np.float32(10 ** (-rng.uniform(20, 50) / 20))
    out = music(n, rng, held_out) if kind > 0.6 else any_noise(n, rng)
    if chance(rng, 0.3):
        out = out + any_noise(n, rng) * np.float32(10 ** (-rng.uniform(5, 30) / 20))
    if chance(rng, 0.3):
        out = in_room(out, rng)[:n]
    if chance(rng, 0.3):
        out = by_telephone(out, rng)
    return at_some_level(microphone(out, rng), rng)
