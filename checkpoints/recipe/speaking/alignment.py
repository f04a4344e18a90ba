"""What the teacher said, on the grid of codec frames: sounds, the frames of each, and the word it belongs to."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import soxr
from numpy.typing import NDArray

from muomni.speech.normalise import MARKS
from recipe.teachers.kokoro import SAMPLE_RATE_HZ
from recipe.teachers.kokoro_phonemes import SPACE
from recipe.teachers.shards import LEAD_S, Recorded

from .espeak import SpokenSound, Utterance
from .mel import SPEC, MelSpec

FIRST_HEARD_S = 0.09
"""Before what the durations call the start; a vowel is heard from 0.075 s before it."""
FINAL_PAUSE_S = 0.35
"""The most that is kept of the pause at the end: a last consonant dies away in it."""
PAUSE = "_"
"""A pause that no mark asks for."""


@dataclass(frozen=True)
class Sound:
    """One sound of a sentence: ``symbol`` is espeak's, or a mark (``. ? ! ,``) for the pause it makes."""

    symbol: str
    starts_word: bool
    word: int
    """Index of the word, or of the word before the mark."""


@dataclass(frozen=True)
class Aligned:
    text: str
    sounds: tuple[Sound, ...]
    frames: NDArray[np.int64]
    """Codec frames of each sound, at least one."""
    samples: NDArray[np.float32]
    """Frames · hop samples at the codec's rate."""


def aligned(reading: Recorded, spec: MelSpec = SPEC) -> Aligned:
    """A reading of the teacher on the grid of codec frames.

    What is heard comes a little before what the durations say, and a space belongs to the word before it. Speech is to
    begin at once, so the silence before it goes.
    """
    rate = spec.sample_rate_hz / SAMPLE_RATE_HZ
    first = max(reading.start - round(FIRST_HEARD_S * SAMPLE_RATE_HZ), 0)
    samples = soxr.resample(reading.samples[first:], SAMPLE_RATE_HZ, spec.sample_rate_hz, quality="HQ")
    sounds: list[Sound] = []
    ends: list[float] = []
    for piece, end in zip(reading.pieces, reading.ends, strict=True):
        at = (float(end - first) - LEAD_S * SAMPLE_RATE_HZ) * rate / spec.hop_samples
        if piece.text == SPACE:
            ends[-1] = at
            continue
        sounds.append(Sound(piece.symbol, piece.starts_word, piece.word))
        ends.append(at)
    if sounds[-1].symbol in MARKS:  # the silence that is heard after the last word is enough
        ends[-1] = min(ends[-1], (ends[-2] if len(ends) > 1 else 0.0) + FINAL_PAUSE_S * spec.frame_rate_hz)
    frames = durations(np.array(ends))
    length = int(frames.sum()) * spec.hop_samples
    samples = np.pad(samples, (0, max(0, length - len(samples))))[:length].astype(np.float32)
    return Aligned(reading.text, tuple(sounds), frames, samples)


def sentence_case(text: str) -> str:
    """Capitals at the starts of sentences: espeak pauses at a full stop only before one."""
    return re.sub(r"([.?!] )(\w)", lambda match: match[1] + match[2].upper(), text)


def split_words(text: str) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Words without their marks, and where in the text each begins."""
    words, starts, position = [], [], 0
    for token in text.split(" "):
        words.append(token.strip(MARKS))
        starts.append(position)
        position += len(token) + 1
    return tuple(words), np.array(starts, dtype=np.int64)


def durations(boundaries: NDArray[np.float64]) -> NDArray[np.int64]:
    """Ends of the sounds in frames (fractional) -> whole frames of each, at least one, without drift.

    The pointer moves by one sound a frame at most, so a sound too short for a frame takes one from the next.
    """
    ends, last = [], 0
    for boundary in boundaries:
        last = max(round(float(boundary)), last + 1)
        ends.append(last)
    return np.diff(np.array([0, *ends], dtype=np.int64))


def name_sounds(
    utterance: Utterance, text: str, words: tuple[str, ...], starts: NDArray[np.int64]
) -> tuple[tuple[Sound, ...], list[int], float]:
    """Sounds with their words, the sample where each starts, and the sample where the last one ends."""
    sounds: list[Sound] = []
    first_samples: list[int] = []
    previous_word = -1
    for spoken, following in _with_following(utterance.sounds):
        if spoken.symbol != PAUSE:
            position = spoken.word_position
            while position < len(text) - 1 and not text[position].isalpha():
                position += 1  # espeak puts the first word of a sentence on the space before it
            word = int(np.searchsorted(starts, position, side="right")) - 1
            sounds.append(Sound(spoken.symbol, word != previous_word, word))
            first_samples.append(spoken.start_sample)
            previous_word = word
            continue
        if not sounds or sounds[-1].symbol in (PAUSE, *MARKS):
            continue  # espeak writes one pause as two events
        last = len(words) - 1 if following is None else sounds[-1].word
        mark = text[starts[last] + len(words[last])] if last_has_mark(text, words, starts, last) else PAUSE
        sounds.append(Sound(mark, False, last))
        first_samples.append(spoken.start_sample)
    if sounds[-1].symbol not in MARKS:
        sounds.append(Sound(".", False, len(words) - 1))
        first_samples.append(len(utterance.samples))
    return tuple(sounds), first_samples, first_samples[-1] + FINAL_PAUSE_S * utterance.sample_rate_hz


def last_has_mark(text: str, words: tuple[str, ...], starts: NDArray[np.int64], word: int) -> bool:
    end = int(starts[word]) + len(words[word])
    return end < len(text) and text[end] in MARKS


def _with_following(
    sounds: tuple[SpokenSound, ...],
) -> list[tuple[SpokenSound, SpokenSound | None]]:
    """Each sound with the next one that is no pause."""
    result: list[tuple[SpokenSound, SpokenSound | None]] = []
    following: SpokenSound | None = None
    for sound in reversed(sounds):
        result.append((sound, following))
        if sound.symbol != PAUSE:
            following = sound
    return result[::-1]
