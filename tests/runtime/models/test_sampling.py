"""Sampling: greedy, filters, penalties, seeds."""

from __future__ import annotations

import numpy as np
import pytest

from muomni.errors import InputError
from muomni.models.sampling import Sampler, SamplingOptions

LOGITS = np.array([0.0, 3.0, 1.0, 2.0, -1.0], dtype=np.float32)


def draws(options: SamplingOptions, count: int = 2000) -> np.ndarray:
    sampler = Sampler(options)
    return np.bincount([sampler.pick(LOGITS) for _ in range(count)], minlength=5) / count


def test_zero_temperature_is_greedy() -> None:
    assert Sampler(SamplingOptions()).pick(LOGITS) == 1


def test_draws_follow_the_softmax() -> None:
    expected = np.exp(LOGITS) / np.exp(LOGITS).sum()
    assert np.abs(draws(SamplingOptions(temperature=1.0, seed=1), 5000) - expected).max() < 0.03


def test_low_temperature_nears_greedy_and_high_nears_uniform() -> None:
    assert draws(SamplingOptions(temperature=0.05, seed=1))[1] > 0.999
    assert draws(SamplingOptions(temperature=100.0, seed=1)).min() > 0.15


def test_top_k_keeps_the_k_likeliest() -> None:
    shares = draws(SamplingOptions(temperature=5.0, top_k=2, seed=1))
    assert set(np.flatnonzero(shares)) == {1, 3}
    assert draws(SamplingOptions(temperature=5.0, top_k=99, seed=1)).min() > 0


def test_top_p_keeps_the_smallest_set_that_reaches_p() -> None:
    # softmax of LOGITS is about 0.03, 0.63, 0.09, 0.23, 0.01
    assert set(np.flatnonzero(draws(SamplingOptions(temperature=1.0, top_p=0.6, seed=1)))) == {1}
    assert set(np.flatnonzero(draws(SamplingOptions(temperature=1.0, top_p=0.8, seed=1)))) == {1, 3}


def test_a_seed_repeats_and_no_seed_does_not() -> None:
    def sequence(seed: int | None) -> list[int]:
        sampler = Sampler(SamplingOptions(temperature=3.0, seed=seed))
        return [sampler.pick(LOGITS) for _ in range(50)]

    assert sequence(7) == sequence(7)
    assert sequence(7) != sequence(8)
    assert sequence(None) != sequence(None)


def test_repetition_penalty_moves_the_choice_and_leaves_the_logits_alone() -> None:
    before = LOGITS.copy()
    assert Sampler(SamplingOptions(repetition_penalty=2.0)).pick(LOGITS, [1]) == 3
    assert Sampler(SamplingOptions(repetition_penalty=2.0)).pick(np.array([-1.0, -1.5]), [0]) == 1
    assert Sampler(SamplingOptions(repetition_penalty=2.0)).pick(np.array([0.9, 0.6]), [0]) == 1
    assert (before == LOGITS).all()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("temperature", -0.1),
        ("temperature", float("nan")),
        ("temperature", float("inf")),
        ("top_k", -1),
        ("top_p", 0.0),
        ("top_p", 1.1),
        ("repetition_penalty", 0.0),
        ("seed", -1),
    ],
)
def test_impossible_options_are_refused_by_name(field: str, value: float) -> None:
    with pytest.raises(InputError, match=field):
        SamplingOptions(**{field: value})  # type: ignore[arg-type]
