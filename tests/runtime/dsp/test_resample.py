"""Resampling: length, level, aliases, and awkward ratios."""

from __future__ import annotations

import math

import numpy as np
import pytest

from muomni.dsp import resample as resample_module
from muomni.dsp.resample import output_length, resample
from muomni.errors import InputError

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


def decibels(value: float, reference: float = 1.0) -> float:
    return 20 * math.log10(value / reference)


@pytest.mark.parametrize(("past_nyquist", "at_most_db"), [(1.2, -28), (1.3, -42), (1.5, -54), (1.7, -65)])
@pytest.mark.parametrize("source", [44_100, 48_000, 96_000])
def test_aliases_fall_off_with_the_distance_to_the_new_nyquist(
    source: int, past_nyquist: float, at_most_db: float
) -> None:
    got = resample(tone(8_000 * past_nyquist, source), source, 16_000)
    assert decibels(np.abs(got)[300:-300].max()) < at_most_db


@pytest.mark.parametrize(("source", "target"), [(22_051, 16_000), (44_100, 16_000), (16_000, 22_051)])
@pytest.mark.parametrize("hz", [200, 1_000, 3_000])
def test_a_tone_is_the_ideal_one_to_60_db(source: int, target: int, hz: int) -> None:
    got = resample(tone(hz, source), source, target)
    ideal = tone(hz, target, len(got) / target)[: len(got)]
    inner = slice(300, -300)
    assert decibels(np.linalg.norm((got - ideal)[inner]), np.linalg.norm(ideal[inner])) < -60


def by_the_formula(samples: np.ndarray, source: int, target: int) -> np.ndarray:
    """The module's formula, output by output in float64."""
    scale = 0.99 * min(source, target) / source
    distances = (
        np.arange(len(samples)) - np.arange(-(-len(samples) * target // source))[:, None] * source / target
    )
    crossings = scale * distances
    inside = np.abs(crossings) < 6
    weights = np.where(inside, scale * np.sinc(crossings) * np.cos(np.pi / 12 * crossings) ** 2, 0)
    return weights @ samples


@pytest.mark.parametrize(("source", "target"), [*RATIOS, (16_000, 8_000), (16_000, 48_000), (7, 5), (5, 7)])
@pytest.mark.parametrize("samples", [1, 10, 999])
def test_it_computes_its_formula(source: int, target: int, samples: int) -> None:
    noise = np.random.default_rng(samples).standard_normal(samples)
    expected = by_the_formula(noise, source, target)
    assert np.abs(resample(noise, source, target) - expected).max() < 3e-5 * np.abs(noise).max()


def test_the_size_of_the_blocks_makes_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(0).standard_normal(9_000).astype(np.float32)
    for source, target in RATIOS:
        whole = resample(noise, source, target)
        with monkeypatch.context() as patched:
            patched.setattr(resample_module, "BLOCK_ELEMENTS", 1)
            patched.setattr(resample_module, "MIN_PHASES", 1)
            assert np.abs(resample(noise, source, target) - whole).max() < 1e-5


@pytest.mark.parametrize(("source", "target"), [(16_000, 48_000), (48_000, 16_000), (44_100, 22_050)])
def test_the_impulse_response_is_symmetric(source: int, target: int) -> None:
    impulse = np.zeros(301)
    impulse[150] = 1
    got = resample(impulse, source, target)
    centre = 150 * target // source
    reach = 20
    after, before = got[centre : centre + reach], got[centre : centre - reach : -1]
    assert np.abs(after - before).max() < 1e-6
    assert got.argmax() == centre


@pytest.mark.parametrize(("source", "target"), [(44_100, 16_000), (22_050, 16_000), (8_000, 16_000)])
def test_scipys_resampler_agrees_on_what_both_keep(source: int, target: int) -> None:
    signal = pytest.importorskip("scipy.signal")
    noise = np.random.default_rng(0).standard_normal(source)
    low = 0.3 * min(1, target / source)  # of the lower Nyquist frequency: far from where the filters differ
    noise = signal.lfilter(signal.firwin(201, low), 1, noise)
    divisor = math.gcd(source, target)
    theirs = signal.resample_poly(noise, target // divisor, source // divisor)
    ours = resample(noise, source, target)
    assert ours.shape == theirs.shape
    assert decibels(np.linalg.norm((ours - theirs)[100:-100]), np.linalg.norm(theirs)) < -55


def test_only_one_channel_is_taken() -> None:
    with pytest.raises(InputError, match="average the channels"):
        resample(np.zeros((10, 2)), 8_000, 16_000)
