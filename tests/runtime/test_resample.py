"""Resampling: length, level, aliases, and awkward ratios."""

from __future__ import annotations

import numpy as np
import pytest

from muomni.errors import InputError
from muomni.resample import output_length, resample

RATIOS = [
    (8_000, 16_000),
    (22_050, 16_000),
    (44_100, 16_000),
    (48_000, 16_000),
    (11_025, 16_000),
    (22_051, 16_000),
]


def tone(hz: float, rate: int, seconds: float = 1.0) -> np.ndarray:
    return np.sin(2 * np.pi * hz * np.arange(int(rate * seconds)) / rate).astype(np.float32)


@pytest.mark.parametrize(("source", "target"), RATIOS)
def test_a_tone_keeps_its_pitch_and_level(source: int, target: int) -> None:
    got = resample(tone(1000, source), source, target)
    assert got.dtype == np.float32 and len(got) == output_length(source, source, target)
    assert np.abs(got - tone(1000, target, len(got) / target)[: len(got)])[100:-100].max() < 2e-3


@pytest.mark.parametrize(
    ("source", "target"), [(44_100, 16_000), (48_000, 16_000), (96_000, 16_000), (22_051, 16_000)]
)
def test_what_the_lower_rate_cannot_hold_is_gone(source: int, target: int) -> None:
    above = target * 0.5 * 1.3  # a filter of six zero crossings is short: 45 dB down, and no more
    assert np.abs(resample(tone(above, source), source, target))[200:-200].max() < 10 ** (-42 / 20)


@pytest.mark.parametrize("samples", [1, 2, 440, 441, 442, 1000, 22_051])
def test_the_length_is_rounded_up(samples: int) -> None:
    for source, target in RATIOS:
        assert len(resample(np.zeros(samples), source, target)) == -(-samples * target // source)


def test_equal_rates_copy() -> None:
    signal = tone(440, 16_000)
    got = resample(signal, 16_000, 16_000)
    assert (got == signal).all() and got is not signal
    assert len(resample(np.zeros(0), 8_000, 16_000)) == 0


@pytest.mark.parametrize(("source", "target"), RATIOS)
def test_it_is_linear_and_does_not_depend_on_the_length(source: int, target: int) -> None:
    random = np.random.default_rng(0)
    a, b = random.standard_normal((2, 9_000)).astype(np.float32)
    both = resample(2 * a - 3 * b, source, target)
    assert np.abs(both - (2 * resample(a, source, target) - 3 * resample(b, source, target))).max() < 1e-4
    start = resample(a[:6_000], source, target)[: 5_000 * target // source]
    assert np.abs(resample(a, source, target)[: len(start)] - start).max() < 1e-5


@pytest.mark.parametrize("rates", [(0, 16_000), (16_000, -1), (16_000.5, 16_000)])
def test_impossible_rates_are_refused(rates: tuple[int, int]) -> None:
    with pytest.raises(InputError, match="Hz"):
        resample(np.zeros(10), *rates)
