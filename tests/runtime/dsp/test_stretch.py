"""Frames at another rate, as they come."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from muomni.dsp.stretch import FrameStretch


def stretched(frames: NDArray[np.float32], ratio: float, sizes: list[int]) -> NDArray[np.float32]:
    stretch = FrameStretch(ratio)
    made, at = [], 0
    for size in [*sizes, len(frames)]:
        made.append(stretch.feed(frames[at : at + size]))
        at += size
    rest = stretch.finish()
    return np.concatenate([*made, frames[:0] if rest is None else rest])


@given(
    count=st.integers(1, 60),
    ratio=st.floats(0.5, 2.0),
    sizes=st.lists(st.integers(0, 20), max_size=8),
)
@settings(deadline=None)
def test_chunks_make_no_difference(count: int, ratio: float, sizes: list[int]) -> None:
    frames = np.random.default_rng(count).random((count, 3), dtype=np.float32)
    whole = stretched(frames, ratio, [])
    assert len(whole) == (count if ratio == 1 else max(1, round(count * ratio)))
    assert np.array_equal(stretched(frames, ratio, sizes), whole)


@given(count=st.integers(2, 60), ratio=st.floats(0.5, 2.0))
@settings(deadline=None)
def test_a_straight_line_stays_one(count: int, ratio: float) -> None:
    frames = np.arange(count, dtype=np.float32)[:, None]
    made = stretched(frames, ratio, [5])[:, 0]
    expected = np.clip((np.arange(len(made)) + 0.5) / ratio - 0.5, 0, count - 1)
    assert np.abs(made - expected).max() < 1e-4


def test_nothing_becomes_nothing() -> None:
    assert FrameStretch(1.5).finish() is None
