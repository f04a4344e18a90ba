"""Loose words put together anew: every word whole, with what is written for it."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("librosa")

from recipe.patchwork import MOST_BESIDE, PAUSE, patchwork, words_of
from recipe.perception.hearing import Utterance, with_patchworks
from recipe.world.lines import Line, LineKind

BINS = 4


def spoken(words: dict[str, int], power: float = 1.0, kind: LineKind = "words") -> Utterance:
    """Each word holds a sound of its own number for ten frames, with twenty of silence around it."""
    labels = np.concatenate([np.repeat([PAUSE, number, PAUSE], (20, 10, 20)) for number in words.values()])
    mel = np.where(labels == PAUSE, 0.0, power)[:, None] * np.ones(BINS)
    return mel.astype(np.float32), labels.astype(np.uint8), Line(kind, " ".join(words))


RED, DAYS = {"red": 3, "two": 4, "frog": 5}, {"monday": 6, "may": 7}
NUMBERS = RED | DAYS


def heard(labels: np.ndarray) -> list[int]:
    """The words' numbers, one after the other."""
    changes = labels[np.flatnonzero(np.diff(labels, prepend=PAUSE))]
    return [int(n) for n in changes if n != PAUSE]


def test_words_are_cut_in_the_pauses_between_them() -> None:
    mel, labels, line = spoken(RED)
    found = words_of(mel, labels, line.transcript)
    assert [w.text for w in found] == ["red", "two", "frog"]
    for word in found:
        assert heard(word.labels) == [RED[word.text]]
        assert (word.labels != PAUSE).sum() == 10 and len(word.mel) == 10 + 2 * MOST_BESIDE


@pytest.mark.parametrize("transcript", ["red two", "red two frog may", ""])
def test_recordings_whose_pauses_are_not_those_of_the_words_are_left_alone(transcript: str) -> None:
    assert words_of(*spoken(RED)[:2], transcript) == []


def test_a_patchwork_says_what_is_written_and_is_as_loud_as_its_first_source() -> None:
    first, second = spoken(RED, power=2.0), spoken(DAYS, power=50.0)
    sources = [words_of(m, sounds, line.transcript) for m, sounds, line in (first, second)]
    orders = set()
    for seed in range(20):
        made = patchwork(sources, 1000, np.random.default_rng(seed))
        assert made is not None and sorted(made.text.split()) == sorted(NUMBERS)
        assert heard(made.labels) == [NUMBERS[word] for word in made.text.split()]
        assert made.mel[made.labels != PAUSE] == pytest.approx(2.0)
        orders.add(made.text)
    assert len(orders) > 10


def test_a_patchwork_is_no_longer_than_asked() -> None:
    sources = [words_of(m, sounds, line.transcript) for m, sounds, line in (spoken(RED), spoken(DAYS))]
    made = patchwork(sources, 60, np.random.default_rng(0))
    assert made is not None and len(made.mel) <= 60 and len(made.text.split()) == 2
    assert patchwork(sources, 5, np.random.default_rng(0)) is None


SENTENCE = {"a": 8, "frog": 5}
FOUND = [spoken(RED), spoken(DAYS), spoken({"may": 7}, kind="word"), spoken(SENTENCE, kind="sentence")]


@pytest.mark.parametrize(("patched", "count"), [(("words",), 2), (("words", "sentence"), 4)])
def test_lines_of_the_kinds_asked_for_are_put_together_anew(
    patched: tuple[LineKind, ...], count: int
) -> None:
    found, numbers = FOUND, NUMBERS | SENTENCE
    made = [with_patchworks(found, patched, np.random.default_rng(seed)) for seed in range(20)]
    kinds = {line.kind for batch in made for _, _, line in batch[3:]}
    assert kinds == ({"sentence"} if count == 2 else {"sentence", "words"})  # some stay as they were
    for batch in made:
        assert batch[2] == found[2] and (count == 4 or batch[3] == found[3])
        for mel, labels, line in (*batch[:2], *batch[3:count]):
            assert len(mel) == len(labels) <= max(len(mel) for mel, _, _ in found)
            assert heard(labels) == [numbers[word] for word in line.transcript.split()]
    assert len({line.text for batch in made for _, _, line in batch[:2]}) > 10
