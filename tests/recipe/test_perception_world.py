"""The text world: the same sample for the same key, no evaluation phrasing in training, right answers."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest

from recipe.scoring import plain
from recipe.seeds import generator
from recipe.world import dialogue, lexicon
from recipe.world.arithmetic import ask_difference, ask_product, ask_sum
from recipe.world.lexicon import number_words
from recipe.world.lines import spoken_line, spoken_vocabulary
from recipe.world.phrasing import as_heard

WORDS = {number_words(n): n for n in range(-99, 101)}


def value(text: str) -> int:
    """Read a number in words or figures, by looking it up (not the way it was written)."""
    return int(text) if text.lstrip("-").isdigit() else WORDS[text]


def test_a_sample_depends_on_its_key_alone() -> None:
    first = [dialogue.conversation("train", 7, i) for i in (3, 1, 2)]
    again = [dialogue.conversation("train", 7, i) for i in (1, 2, 3)]
    assert first == [again[2], again[0], again[1]]
    assert (
        dialogue.conversation("train", 8, 1) != again[0] or dialogue.conversation("train", 8, 2) != again[1]
    )


def test_splits_never_share_a_stream() -> None:
    draws = {
        (split, seed, stream): tuple(generator(split, seed, stream, 0).integers(0, 2**62, 4))
        for split in ("train", "dev", "evaluation")
        for seed in (0, 1)
        for stream in ("chat", "speech")
    }
    assert len(set(draws.values())) == len(draws)


def test_evaluation_questions_are_phrased_as_training_never_does() -> None:
    trained = {plain(t.question) for i in range(6000) for t in dialogue.conversation("train", 0, i)}
    asked = [t for i in range(600) for t in dialogue.conversation("evaluation", 0, i)]
    assert not [t.question for t in asked if plain(t.question) in trained]


@pytest.mark.parametrize(
    ("make", "word", "compute"),
    [
        (ask_sum, "plus", lambda a, b: a + b),
        (ask_difference, "minus", lambda a, b: a - b),
        (ask_product, "times", lambda a, b: a * b),
    ],
)
def test_arithmetic_is_right(make, word, compute) -> None:  # type: ignore[no-untyped-def]
    for seed in range(300):
        ask, result = make(np.random.default_rng(seed), bool(seed % 2))
        left, right = ask.reply.rstrip(".").lower().split(" is ")
        a, b = (value(x) for x in left.split(f" {word} "))
        assert value(right) == compute(a, b) == result
        figures = [int(n) for n in re.findall(r"\d+", ask.held_out[-1])]
        assert not figures or sorted(figures) == sorted((a, b))


def test_a_follow_up_goes_on_from_the_answer_before() -> None:
    seen = 0
    for i in range(3000):
        turns = dialogue.conversation("train", 1, i)
        for before, after in itertools.pairwise(turns):
            if after.kind == "follow-up sum":
                result = before.reply.rstrip(".").lower().split(" is ")[1]
                assert after.reply.lower().startswith(result + " ")
                assert after.needs_history
                seen += 1
    assert seen > 100


def test_opposites_and_mixtures_have_one_answer() -> None:
    words = [w for pair in lexicon.OPPOSITES for w in pair]
    assert len(words) == len(set(words))
    assert len({frozenset(p) for p in lexicon.COLOUR_MIXTURES}) == len(lexicon.COLOUR_MIXTURES)


def test_speech_stays_in_its_vocabulary() -> None:
    words = set(spoken_vocabulary())
    assert 300 < len(words) < 800
    said = [w for i in range(500) for w in spoken_line("evaluation", 0, i).transcript.split()]
    assert sum(w not in words for w in said) / len(said) < 0.005


def test_heard_text_has_words_only() -> None:
    assert as_heard("Twenty-one plus three is twenty-four.") == "twenty one plus three is twenty four"
    assert as_heard("What's that, Anna?") == "what's that anna"
