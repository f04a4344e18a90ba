"""Scores: known values, and the edges."""

from __future__ import annotations

import pytest

from recipe.scoring import error_rate, error_rate_interval, is_right, wilson, word_errors


@pytest.mark.parametrize(
    ("heard", "spoken", "errors"),
    [
        ("a b c", "a b c", 0),
        ("a c", "a b c", 1),
        ("a x b c", "a b c", 1),
        ("x y", "a b", 2),
        ("", "a b", 2),
        ("The Circle.", "the circle", 0),
    ],
)
def test_word_errors(heard: str, spoken: str, errors: int) -> None:
    assert word_errors(heard, spoken) == (errors, len(spoken.split()))


def test_wilson_matches_the_published_example() -> None:
    """Newcombe 1998, table I: 81 of 263 gives 0.2553…0.3662."""
    low, high = wilson(81, 263)
    assert (round(low, 4), round(high, 4)) == (0.2553, 0.3662)


def test_wilson_is_sensible_at_the_edges() -> None:
    assert wilson(200, 200)[1] == pytest.approx(1.0)
    assert 0.97 < wilson(200, 200)[0] < 1
    assert wilson(0, 0) == (0.0, 1.0)


def test_error_rates_count_words_not_sentences() -> None:
    pairs = [(1, 10), (0, 2), (0, 8)]
    assert error_rate(pairs) == 0.05
    low, high = error_rate_interval(pairs)
    assert 0 <= low < 0.05 < high


def test_a_reply_is_right_whatever_its_punctuation() -> None:
    assert is_right("five plus two is seven", "Five plus two is seven.")
    assert not is_right("Five plus two is six.", "Five plus two is seven.")
