"""The speech of an exported bundle, judged by an independent recogniser beside the teacher's own.

Sentences come from a seed space that training never uses, and those that training happened to draw as well are left
out: the grammar is small.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING

from muomni.speech.normalise import MARKS
from recipe.scoring import Result, edit_distance, error_rate, error_rate_interval, wilson
from recipe.seeds import generator

from .alignment import say
from .espeak import Espeak
from .recognise import SAMPLE_RATE_HZ, Recogniser
from .sentences import SEED, SHARD_SENTENCES, closed_sentence, sentence

if TYPE_CHECKING:
    from muomni import Omni

CLOSE_DURATION = 0.25
MOST_SHARDS = 12
"""Shards of speech that the Talker may have been trained on."""
WORSE, WORSE_TARGET = "speaking, word errors beyond the teacher's", 0.05
TEACHER = "the teacher's word errors"
ENDS, ENDS_TARGET = "speaking, ends by itself and in time", 0.98


@cache
def trained_sentences() -> frozenset[str]:
    """What the Talker may have been trained on."""
    return frozenset(sentence("train", SEED, i) for i in range(MOST_SHARDS * SHARD_SENTENCES))


def untrained_sentences(seed: int) -> Iterator[str]:
    """Sentences of the closed world that training never had, endlessly."""
    index = 0
    while True:
        text = closed_sentence(generator("evaluation", seed, "speaking evaluation", index))
        index += 1
        if text not in trained_sentences():
            yield text


def judge_speech(omni: Omni, seed: int, count: int) -> list[Result]:
    """Word errors beyond the teacher's through the same recogniser, and whether speech ends, and when."""
    espeak, recogniser = Espeak(), Recogniser()
    model, teacher, beyond = [], [], []
    in_time = 0
    mistakes = []
    for _, text in zip(range(count), untrained_sentences(seed), strict=False):
        aligned = say(espeak, text)
        words = text.translate(str.maketrans("", "", MARKS)).split()
        speech = omni.speak(text)
        assert speech.sample_rate == SAMPLE_RATE_HZ, "the recogniser listens at 16 kHz"
        heard = recogniser.words(speech.samples)
        errors = edit_distance(words, heard), edit_distance(words, recogniser.words(aligned.samples))
        model.append((errors[0], len(words)))
        teacher.append((errors[1], len(words)))
        beyond.append((errors[0] - errors[1], len(words)))
        ratio = len(speech.samples) / len(aligned.samples)
        in_time += speech.cut_sounds == 0 and abs(ratio - 1) < CLOSE_DURATION
        if errors[0]:
            mistakes.append((f"said in {ratio:.2f} of the teacher's time", text, " ".join(heard)))
    low, high = error_rate_interval(beyond, lowest=-1.0)
    figures = {
        "word errors": error_rate(model),
        TEACHER: error_rate(teacher),
    }
    kept = tuple(mistakes[:12])
    return [
        Result(WORSE, error_rate(beyond), low, high, WORSE_TARGET, count, True, figures, mistakes=kept),
        Result(ENDS, in_time / count, *wilson(in_time, count), ENDS_TARGET, count, False),
    ]
