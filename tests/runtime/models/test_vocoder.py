"""Mel normalisation and the stretch between frame rates."""

from __future__ import annotations

import numpy as np
import pytest

from muomni.models.vocoder import normalise_mel, stretch

MEL = np.random.default_rng(0).random((7, 4), dtype=np.float32) * 5 - 2


def test_normalise_fills_zero_to_one() -> None:
    out = normalise_mel(MEL)
    assert out.min() == 0 and out.max() == 1
    assert np.allclose(out, (MEL - MEL.min()) / (MEL.max() - MEL.min()))


def test_a_constant_mel_becomes_zeros() -> None:
    assert not normalise_mel(np.full((3, 2), 4.0, dtype=np.float32)).any()


def test_equal_rates_change_nothing() -> None:
    assert stretch(MEL, 62.5, 62.5) is MEL


@pytest.mark.parametrize(("source", "target"), [(12.5, 62.5), (25.0, 62.5), (62.5, 12.5), (10.0, 86.1)])
def test_the_duration_is_kept(source: float, target: float) -> None:
    out = stretch(MEL, source, target)
    assert abs(len(out) / target - len(MEL) / source) <= 0.5 / target
    assert out.min() >= MEL.min() and out.max() <= MEL.max()


def test_a_straight_line_stays_straight() -> None:
    line = np.arange(10, dtype=np.float32)[:, None]
    out = stretch(line, 10.0, 50.0)[:, 0]
    inner = out[(out > 0) & (out < 9)]
    assert np.allclose(np.diff(inner), 0.2, atol=1e-6)
    assert out[0] == 0 and out[-1] == 9
