"""Streams at another rate."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from muomni.live.rate import RateStream

RATES = [
    (24_000, 16_000),
    (8_000, 16_000),
    (16_000, 24_000),
    (16_000, 8_000),
    (48_000, 16_000),
    (44_100, 16_000),
]


def tone(hz: float, rate: int, seconds: float = 0.5) -> NDArray[np.float32]:
    return np.sin(2 * np.pi * hz * np.arange(int(seconds * rate)) / rate).astype(np.float32)


def in_pieces(samples: NDArray[np.float32], from_hz: int, to_hz: int, longest: int) -> NDArray[np.float32]:
    """Resampled, cut anywhere."""
    stream, draw, made, at = RateStream(from_hz, to_hz), np.random.default_rng(longest), [], 0
    while at < len(samples):
        size = int(draw.integers(1, longest + 1))
        made.append(stream.push(samples[at : at + size]))
        at += size
    return np.concatenate([*made, stream.finish()])


@pytest.mark.parametrize(("from_hz", "to_hz"), RATES)
@pytest.mark.parametrize("share", [0.01, 0.3, 0.8])
def test_a_tone_stays_as_it_is(from_hz: int, to_hz: int, share: float) -> None:
    hz = share * min(from_hz, to_hz) / 2
    made = in_pieces(tone(hz, from_hz), from_hz, to_hz, 700)
    assert len(made) == to_hz // 2
    inside = slice(to_hz // 50, -to_hz // 50)  # at the ends the tone begins and stops
    assert np.abs(made - tone(hz, to_hz))[inside].max() < 2e-4


@pytest.mark.parametrize(("from_hz", "to_hz"), [pair for pair in RATES if pair[0] > pair[1]])
def test_what_the_lower_rate_cannot_hold_is_gone(from_hz: int, to_hz: int) -> None:
    made = in_pieces(tone(0.52 * to_hz, from_hz), from_hz, to_hz, 700)
    assert np.abs(made[to_hz // 50 : -to_hz // 50]).max() < 2e-4


@pytest.mark.parametrize(("from_hz", "to_hz"), RATES)
def test_the_cuts_make_no_difference(from_hz: int, to_hz: int) -> None:
    samples = np.random.default_rng(0).standard_normal(from_hz // 5).astype(np.float32)
    whole = in_pieces(samples, from_hz, to_hz, len(samples))
    np.testing.assert_allclose(in_pieces(samples, from_hz, to_hz, 13), whole, atol=1e-5)


@pytest.mark.parametrize(("from_hz", "to_hz"), RATES)
def test_it_lags_by_a_few_milliseconds(from_hz: int, to_hz: int) -> None:
    stream, frame = RateStream(from_hz, to_hz), np.zeros(from_hz // 50, np.float32)
    given = 0
    for frames in range(1, 20):
        given += len(stream.push(frame))
        assert frames * 0.02 - given / to_hz < 0.0145


def test_the_length_is_that_of_the_whole() -> None:
    assert len(in_pieces(np.zeros(22_050, np.float32), 22_050, 24_000, 500)) == 24_000
    assert len(in_pieces(np.zeros(1, np.float32), 24_000, 16_000, 1)) == 1


def test_rates_without_a_common_divisor_work_as_well() -> None:
    made = in_pieces(tone(440, 44_101), 44_101, 16_000, 700)
    assert np.abs(made - tone(440, 16_000)[: len(made)])[400:-400].max() < 1e-3
