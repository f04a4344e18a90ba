"""What the teacher reads, and in which voice: reading ``index`` of a stream, as a function of seed and index alone.

``hearing`` has the lines and single words of the world in blends of five of Kokoro's styles, a region of which is held
out; ``english`` has others in all its English styles and, now and then, those of other languages; ``heart`` has others
in Hibari's voice, which is fifty times faster to make; ``voice`` has any English in that voice, which is the
model's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from muomni.speech.normalise import normalise
from recipe.seeds import Split, generator, is_training
from recipe.speaking.open_sentences import open_english
from recipe.speaking.sentences import closed_sentence, dictionary, open_sentence, world_sentence
from recipe.world.lines import single_word, spoken_line, spoken_vocabulary
from recipe.world.phrasing import chance, pick

from .kokoro import ACCENTED_STYLES, ENGLISH_STYLES, STYLES, Blend

Stream = Literal["hearing", "english", "heart", "voice"]
SHARDS: dict[Stream, int] = {"hearing": 192, "english": 160, "heart": 300, "voice": 600}
"""Of 50 readings each: about 5, 5, 7 and 22 hours of speech."""
MAN = STYLES[-1]
HELD_OUT_STYLE, HELD_OUT_WEIGHT = "jf_gongitsune", 0.35
"""No voice that training hears has so much of this style, in its timbre or in its manner; those of evaluation do."""
MENS_SHARE = 0.45
BRITISH_SHARE = 0.2
SINGLE_WORDS, LOOSE_WORDS = 0.35, 0.15
"""Shares of the readings for hearing; the others are lines of the world."""
VOICE: Blend = {"af_heart": 1.0}
"""Hibari's, and the model's own; see MEASURED.md of the speaking part for how it was chosen."""
HEARTS_FIRST, ENGLISH_FIRST = 1_000_000, 2_000_000
"""Numbers of the first readings of ``heart`` and ``english`` among those of ``hearing``: they have other texts."""
SLOWEST, FASTEST = 0.75, 1.35
HEARTS_SLOWEST, HEARTS_FASTEST = 0.65, 1.8
ENGLISH_SLOWEST, ENGLISH_FASTEST = 0.7, 1.7
ACCENTED_SHARE = 0.15
BRITONS_BRITISH_SHARE, OTHERS_BRITISH_SHARE = 0.85, 0.08


@dataclass(frozen=True)
class Reading:
    """A normalised text (words and marks), what kind of line it is, and a voice.

    ``transcript`` is what a listener writes down, ``line`` the number of the line in the world, where it is one.
    """

    text: str
    kind: str
    timbre: Blend
    manner: Blend
    speed: float
    british: bool = False
    line: int | None = None


def reading(stream: Stream, split: Split, seed: int, index: int) -> Reading:
    makers = {"hearing": _hearing, "english": _english, "heart": _heart, "voice": _voice}
    return makers[stream](split, seed, index)


def _hearing(split: Split, seed: int, index: int) -> Reading:
    rng = generator(split, seed, "teacher", index)
    text, kind, line = _something_of_the_world(rng, split, seed, index)
    timbre = draw_blend(rng, held_out=not is_training(split))
    manner = draw_blend(rng, held_out=not is_training(split)) if chance(rng, 0.4) else timbre
    speed = _speed(rng, SLOWEST, FASTEST)
    return Reading(text, kind, timbre, manner, speed, chance(rng, BRITISH_SHARE), line)


def _english(split: Split, seed: int, index: int) -> Reading:
    index += ENGLISH_FIRST
    rng = generator(split, seed, "teacher", index)
    text, kind, line = _something_of_the_world(rng, split, seed, index)
    timbre = draw_english_blend(rng)
    manner = draw_english_blend(rng) if chance(rng, 0.3) else timbre
    speed = _speed(rng, ENGLISH_SLOWEST, ENGLISH_FASTEST)
    of_britons = sum(weight for name, weight in manner.items() if name[0] == "b") >= 0.5
    british = chance(rng, BRITONS_BRITISH_SHARE if of_britons else OTHERS_BRITISH_SHARE)
    return Reading(text, kind, timbre, manner, speed, british, line)


def _heart(split: Split, seed: int, index: int) -> Reading:
    index += HEARTS_FIRST
    rng = generator(split, seed, "teacher", index)
    text, kind, line = _something_of_the_world(rng, split, seed, index)
    return Reading(text, kind, VOICE, VOICE, _speed(rng, HEARTS_SLOWEST, HEARTS_FASTEST), line=line)


def _speed(rng: np.random.Generator, slowest: float, fastest: float) -> float:
    return float(np.exp(rng.uniform(np.log(slowest), np.log(fastest))))


def _something_of_the_world(
    rng: np.random.Generator, split: Split, seed: int, index: int
) -> tuple[str, str, int | None]:
    """A word, loose words or line ``index``: the text, its kind, and the number where it is a line."""
    line = None
    share = rng.random()
    if share < SINGLE_WORDS:
        text, kind = single_word(rng), "word"
    elif share < SINGLE_WORDS + LOOSE_WORDS:
        text = " ".join(pick(rng, spoken_vocabulary()) for _ in range(int(rng.integers(2, 7))))
        kind = "words"
    else:
        drawn = spoken_line(split, seed, index, loose_words=0.0)
        text, kind, line = normalise(drawn.text), drawn.kind, index
    if text[-1] not in ".?!":
        text += pick(rng, (".", ".", ".", "?", "!"))
    return text, kind, line


def draw_blend(rng: np.random.Generator, held_out: bool) -> Blend:
    """A point of the blend space inside the held-out region or outside it; men's voices are made up for."""
    mans = chance(rng, MENS_SHARE)
    while True:
        weights = rng.dirichlet(np.full(len(STYLES), 0.6))
        if mans:
            own = rng.uniform(0.5, 1.0)
            weights = (1 - own) * weights
            weights[STYLES.index(MAN)] += own
        if (weights[STYLES.index(HELD_OUT_STYLE)] >= HELD_OUT_WEIGHT) == held_out:
            return {name: round(float(weight), 4) for name, weight in zip(STYLES, weights, strict=True)}


def draw_english_blend(rng: np.random.Generator) -> Blend:
    """One voice, or two or three mixed."""
    count = 1 + (rng.random(2) < (0.5, 0.3)).sum()
    names = [
        pick(rng, ACCENTED_STYLES if chance(rng, ACCENTED_SHARE) else ENGLISH_STYLES) for _ in range(count)
    ]
    blend: dict[str, float] = {}
    for name, weight in zip(names, rng.dirichlet(np.ones(count)), strict=True):
        blend[name] = round(blend.get(name, 0.0) + float(weight), 4)
    return blend


def is_mans(blend: Blend) -> bool:
    return sum(weight for name, weight in blend.items() if name[1] == "m") >= 0.5


def _voice(split: Split, seed: int, index: int) -> Reading:
    rng = generator(split, seed, "voice", index)
    share = rng.random()
    if share < 0.5:
        text, kind = normalise(open_english(rng, split)), "open"
    elif share < 0.75:
        text, kind = open_sentence(rng, dictionary(held_out=not is_training(split))), "salad"
    elif share < 0.92:
        text, kind = normalise(world_sentence(split, seed, index)), "world"
    else:
        text, kind = closed_sentence(rng), "closed"
    return Reading(text or "hello.", kind, VOICE, VOICE, 1.0)
