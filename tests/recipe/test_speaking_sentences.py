"""The closed world of sentences, as a grammar and as an automaton."""

from __future__ import annotations

import numpy as np

from muomni.speech.normalise import MARKS, normalise
from recipe.seeds import generator
from recipe.speaking.sentences import RULES, automaton, closed_sentence, vocabulary


def test_sentences_are_normalised() -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        assert normalise(closed := closed_sentence(rng)) == closed


def test_closed_sentences_are_in_the_automaton() -> None:
    _, arcs = automaton()
    follow: dict[tuple[int, str], set[int]] = {}
    for start, end, word in arcs:
        follow.setdefault((start, word), set()).add(end)
    for index in range(100):
        states = {0}
        sentence = closed_sentence(generator("dev", 0, "test", index))
        for word in sentence.translate(str.maketrans("", "", MARKS)).split():
            states = set().union(*(follow.get((state, word), set()) for state in states))
        assert 1 in states, sentence
    assert {word for _, _, word in arcs} <= set(vocabulary())


def test_every_rule_a_rule_names_exists() -> None:
    for choices in RULES.values():
        for choice in choices:
            for part in choice.split("<")[1:]:
                assert part.split(">")[0] in RULES
