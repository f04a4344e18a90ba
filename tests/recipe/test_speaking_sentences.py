"""Sentences of the closed world, and English about anything."""

from __future__ import annotations

import re

import numpy as np

from muomni.speech.normalise import normalise
from recipe.seeds import generator
from recipe.speaking.open_sentences import open_english
from recipe.speaking.sentences import RULES, closed_sentence


def test_sentences_are_normalised() -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        assert normalise(closed := closed_sentence(rng)) == closed


def test_open_sentences_of_evaluation_are_not_trained() -> None:
    trained = {open_english(generator("train", 0, "test", i), "train") for i in range(3000)}
    held_out = [open_english(generator("evaluation", 0, "test", i), "evaluation") for i in range(300)]
    assert not trained & set(held_out)
    for text in held_out:
        assert normalise(text) and text[0].isupper() and text[-1] in ".?!" and "<" not in text, text


def test_articles_and_plurals() -> None:
    texts = " ".join(open_english(generator("train", 0, "test", i), "train") for i in range(3000)).lower()
    assert not re.search(r"\ba [aei]\w|\ban [bcdfgjklmnpqrstvwxyz]", texts)
    assert not re.search(r"mouses|wolfs|leafs|loafs|boxs|childs", texts)


def test_every_rule_a_rule_names_exists() -> None:
    for choices in RULES.values():
        for choice in choices:
            for part in choice.split("<")[1:]:
                assert part.split(">")[0] in RULES
