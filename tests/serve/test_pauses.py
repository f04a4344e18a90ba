"""Where recordings are cut."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from muomni.live.silero import WINDOW, Silero
from muomni.live.turns import RATE_HZ
from muomni.media.audio import load_audio
from muomni.serve.openai.pauses import AFTER_S, BEFORE_S, PauseCutter, Piece

from .conftest import SAMPLES

LONGEST_S = 5.0


def level(window: np.ndarray) -> float:
    """A judge for sound that says itself how likely it is speech."""
    return float(window[0])


def cut(likely: list[float], block: int = 100_000) -> list[Piece]:
    samples = np.repeat(np.array(likely, np.float32), WINDOW)
    cutter = PauseCutter(level, LONGEST_S)
    pieces = [
        piece for at in range(0, len(samples), block) for piece in cutter.push(samples[at : at + block])
    ]
    return [*pieces, *cutter.finish()]


runs = st.lists(st.tuples(st.sampled_from([0.0, 0.1, 0.4, 0.6, 0.9]), st.integers(1, 60)), max_size=12)


@settings(max_examples=60, deadline=None)
@given(runs, st.integers(1, 40_000))
def test_pieces_are_ordered_short_enough_and_hold_the_speech(
    parts: list[tuple[float, int]], block: int
) -> None:
    likely = [value for value, count in parts for _ in range(count)]
    pieces = cut(likely)
    assert pieces == cut(likely, block)
    for piece in pieces:
        assert 0 <= piece.start < piece.end
        assert piece.end - piece.start <= LONGEST_S * RATE_HZ
    for one, other in pairwise(pieces):
        assert one.start < other.start and one.end - AFTER_S * RATE_HZ <= other.start
    covered = np.zeros(len(likely) * WINDOW + RATE_HZ, bool)
    for piece in pieces:
        covered[piece.start : piece.end] = True
    window = 0
    for value, count in parts:
        if value >= 0.6 and count >= 4:
            assert covered[window * WINDOW : (window + count) * WINDOW].all()
        window += count


def test_a_pause_cuts_and_a_short_one_does_not() -> None:
    speech, short, long = [0.9] * 30, [0.0] * 10, [0.0] * 20
    assert len(cut(speech + short + speech)) == 1
    (first, second) = cut(speech + long + speech)
    assert first.end == 30 * WINDOW + int(AFTER_S * RATE_HZ)
    assert second.start == 50 * WINDOW - int(BEFORE_S * RATE_HZ)


def test_a_long_piece_is_cut_where_speech_is_least_likely() -> None:
    likely = [0.9] * 300
    likely[100] = 0.5
    pieces = cut(likely)
    assert pieces[0].end == 100 * WINDOW + int(AFTER_S * RATE_HZ)
    assert sum(piece.end - piece.start for piece in pieces) >= 300 * WINDOW


def test_silero_finds_the_speech_of_a_recording() -> None:
    samples = load_audio(SAMPLES / "question.wav", RATE_HZ)
    pause = np.zeros(RATE_HZ, np.float32)
    cutter = PauseCutter(Silero(), LONGEST_S)
    pieces = [*cutter.push(np.concatenate([pause, samples, pause, samples])), *cutter.finish()]
    assert len(pieces) == 2
    length = (len(samples) + len(pause)) / RATE_HZ
    assert pieces[1].start / RATE_HZ == pytest.approx(pieces[0].start / RATE_HZ + length, abs=0.1)
    noise = 0.1 * np.random.default_rng(1).standard_normal(5 * RATE_HZ).astype(np.float32)
    cutter = PauseCutter(Silero(), LONGEST_S)
    assert [*cutter.push(noise), *cutter.finish()] == []
