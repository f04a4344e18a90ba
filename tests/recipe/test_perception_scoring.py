"""Scores: known values, and the edges."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from muomni.bundle.demo import demo_bundle
from muomni.bundle.folder import open_bundle
from recipe.evaluate import record
from recipe.scoring import Result, error_rate, error_rate_interval, is_right, wilson, word_errors


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


def test_figures_are_written_into_the_manifest(tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(demo_bundle(), bundle)

    def result(ability: str, value: float) -> Result:
        return Result(ability, value, value - 0.1, value + 0.1, 0.9, 50, lower_is_better=False)

    record(bundle, [result("chat", 0.5), result("video", 0.6)], seed=3)
    record(bundle, [result("chat", 0.7)], seed=4)
    opened = open_bundle(bundle)
    opened.verify()
    figures = {m.ability: (m.value, m.seed) for m in opened.manifest.measured}
    assert figures["chat"] == (0.7, 4) and figures["video"] == (0.6, 3)
    assert [p.name for p in bundle.glob("*.partial")] == []
