"""The pointer over phonemes: speech of any length, in utterances of bounded length, that always ends."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from muomni.speech.phonemes import COMMA, FIRST_PHONEME, PADDING, SENTENCE_MARKS
from muomni.speech.pointer import (
    LONG_FRAMES,
    LONGEST_FRAMES,
    LONGEST_PHONEME_FRAMES,
    Answer,
    Frame,
    Pointer,
    Query,
    Step,
)

FULL_STOP = min(SENTENCE_MARKS)
CODES = 8


@dataclass
class Counting:
    """Graphs that note what they are asked: every phoneme lasts ``frames`` frames."""

    frames: int = 2
    reach: int = 3
    residual_by_base: NDArray[np.float32] = field(
        default_factory=lambda: np.zeros((CODES, CODES), np.float32)
    )
    windows: list[list[int]] = field(default_factory=list)
    utterances: list[int] = field(default_factory=list)
    """Frames of each utterance that was begun."""

    def letters(self, letters: NDArray[np.int64]) -> NDArray[np.float32]:
        raise AssertionError("phonemes are given")

    def context(self, phonemes: NDArray[np.int64]) -> NDArray[np.float32]:
        self.windows.append(phonemes[0].tolist())
        return phonemes[:, None, self.reach].astype(np.float32)[..., None]

    def start(self) -> Step:
        self.utterances.append(0)

        def step(query: Query) -> Answer:
            codes, vector, elapsed = query
            assert (codes is None) == (self.utterances[-1] == 0)
            self.utterances[-1] += 1
            logits = np.zeros(CODES, np.float32)
            logits[int(vector[0]) % CODES] = 1
            return logits, logits, 9.0 if elapsed + 1 >= self.frames else -9.0

        return step


def spoken(graphs: Counting, phonemes: list[int], pieces: list[int] | None = None) -> list[Frame]:
    """All frames of phonemes that are pushed in pieces of these sizes."""
    pointer = Pointer(graphs)
    frames: list[Frame] = []
    at = 0
    for size in pieces or [len(phonemes)]:
        pointer.push(phonemes[at : at + size])
        at += size
        while (frame := pointer.next_frame()) is not None:
            frames.append(frame)
    pointer.push(phonemes[at:])
    pointer.finish()
    while (frame := pointer.next_frame()) is not None:
        frames.append(frame)
    assert pointer.over
    return frames


def words(count: int) -> list[int]:
    return [FIRST_PHONEME + i % 7 for i in range(count)]


@given(
    phonemes=st.lists(st.integers(1, FIRST_PHONEME + 6), max_size=40),
    pieces=st.lists(st.integers(0, 9), max_size=12),
)
@settings(max_examples=150, deadline=None)
def test_how_phonemes_are_cut_into_pieces_makes_no_difference(phonemes: list[int], pieces: list[int]) -> None:
    whole, parts = Counting(), Counting()
    assert spoken(whole, phonemes) == spoken(parts, phonemes, pieces)
    assert whole.windows == parts.windows and whole.utterances == parts.utterances


def test_frames_come_as_soon_as_what_they_see_is_there() -> None:
    graphs = Counting()
    pointer = Pointer(graphs)
    pointer.push(words(graphs.reach))
    assert pointer.next_frame() is None and not pointer.over
    pointer.push(words(1))
    assert pointer.next_frame() is not None


def test_an_utterance_sees_nothing_of_the_sentences_around_it() -> None:
    graphs = Counting()
    spoken(graphs, [*words(2), FULL_STOP, *words(2), FULL_STOP])
    seen = [[p for p in window if p != PADDING] for window in graphs.windows]
    assert all(sum(p in SENTENCE_MARKS for p in window) == 1 for window in seen)
    assert len(graphs.utterances) == 2


@pytest.mark.parametrize(
    ("phonemes", "longest"),
    [
        ([*words(150), COMMA] * 8, 2 * 302),  # a comma ends one that has become long
        (words(1200), LONGEST_FRAMES),  # without any mark
        ([*words(20), COMMA] * 60, LONG_FRAMES + 42),
    ],
)
def test_a_text_of_any_length_is_spoken_in_utterances_of_bounded_length(
    phonemes: list[int], longest: int
) -> None:
    graphs = Counting()
    frames = spoken(graphs, phonemes)
    assert len(frames) == 2 * len(phonemes) == sum(graphs.utterances)
    assert max(graphs.utterances) <= longest
    assert len(graphs.utterances) > 1
    assert min(graphs.utterances[:-2]) >= min(LONG_FRAMES, longest) - 2


def test_a_comma_does_not_end_a_short_utterance() -> None:
    graphs = Counting()
    spoken(graphs, [*words(20), COMMA, *words(20), FULL_STOP])
    assert graphs.utterances == [84]


def test_a_phoneme_that_never_ends_is_cut_and_counted() -> None:
    graphs = Counting(frames=10_000)
    pointer = Pointer(graphs)
    pointer.push(words(3))
    pointer.finish()
    frames = 0
    while pointer.next_frame() is not None:
        frames += 1
    assert (frames, pointer.cut_phonemes) == (3 * LONGEST_PHONEME_FRAMES, 3)
