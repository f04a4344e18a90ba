"""What is said in training and in evaluation: a closed world of sentences, and any English words.

The closed half is a small grammar over the words of ``recipe.world``. The open half strings words of a dictionary
together, so that a word never seen is still made of spellings that were; one word in fifty is held out of training to
measure just that.
"""

# ruff: noqa: SIM905  word lists read better as text

from __future__ import annotations

import zlib
from functools import cache

import numpy as np

from muomni.speech.normalise import normalise
from muomni.speech.numbers import integer
from recipe.seeds import Split, generator, is_training
from recipe.word_lists import word_list
from recipe.world import lexicon
from recipe.world.dialogue import conversation
from recipe.world.picture_talk import picture_turn
from recipe.world.scene import draw_scene

HELD_OUT_SHARE = 50
LONGEST_WORD = 16
SHARD_SENTENCES = 2000  # of the Talker's corpus, two to three hours of speech
SEED = 0
GENITIVE_SHARE = 5  # a fifth of the list is genitives; one in five of them teaches as much

FUNCTION_WORDS = (
    "the of and to a in is it you that he was for on are with as i his they be at one have this from or had by but "
    "not what all were we when your can said there use an each which she do how their if will up other about out "
    "many then them these so some her would make like him into time has look two more write go see number no way "
    "could people my than first been call who its now find long down day did get come made may part over new sound "
    "take only little work know place year live me back give most very after thing our just name good sentence man "
    "think say great where help through much before line right too mean old any same tell boy follow came want "
    "show also around form three small set put end does another well large must big even such because turn here "
    "why ask went men read need land different home us move try kind hand picture again change off play spell air "
    "away animal house point page letter mother answer found study still learn should world i'm it's don't can't "
    "i'll you're that's isn't didn't we're they're couldn't what's let's"
).split()

RULES: dict[str, tuple[str, ...]] = {
    "n": tuple(integer(str(i)) for i in range(101)),
    "colour": tuple(lexicon.COLOURS),
    "shape": tuple(lexicon.SHAPES),
    "size": lexicon.SIZES,
    "day": tuple(d.lower() for d in lexicon.DAYS),
    "month": tuple(m.lower() for m in lexicon.MONTHS),
    "name": tuple(n.lower() for n in lexicon.NAMES),
    "adjective": tuple(dict.fromkeys(w for pair in lexicon.OPPOSITES for w in pair)),
    "animal": tuple(dict.fromkeys((*lexicon.LEGS, *lexicon.YOUNG_ANIMALS))),
    "country": tuple(c.lower() for c in lexicon.CAPITALS),
    "city": tuple(c.lower() for c in lexicon.CAPITALS.values()),
    "side": ("left of", "right of", "above", "below"),
    "object": ("<colour> <shape>", "<size> <colour> <shape>"),
    "sentence": (
        "<n> plus <n> is <n>.",
        "<n> minus <n> is <n>.",
        "the answer is <n>.",
        "there is a <object>.",
        "there is a <object> and a <object>.",
        "i see a <object>, a <object> and a <object>.",
        "the <shape> is <colour>.",
        "the <colour> <shape> is <side> the <colour> <shape>.",
        "the opposite of <adjective> is <adjective>.",
        "the day after <day> is <day>.",
        "the month before <month> is <month>.",
        "<month> has <n> days.",
        "hello <name>, how are you?",
        "nice to meet you, <name>!",
        "i am a small model, and i can see, hear and speak.",
        "<colour> and <colour> make <colour>.",
        "a <animal> has <n> legs.",
        "the capital of <country> is <city>.",
        "yes, there is a <shape>.",
        "no, there is no <colour> <shape>.",
        "there are <n> shapes in the picture.",
        "the <object> moves to the <adjective>.",
        "i do not know.",
    ),
}


def closed_sentence(rng: np.random.Generator) -> str:
    """A sentence of the closed world."""
    return expand("<sentence>", rng)


def expand(pattern: str, rng: np.random.Generator) -> str:
    while "<" in pattern:
        before, _, rest = pattern.partition("<")
        rule, _, after = rest.partition(">")
        choices = RULES[rule]
        pattern = before + choices[int(rng.integers(len(choices)))] + after
    return pattern


@cache
def vocabulary() -> tuple[str, ...]:
    """Every word of the closed world."""
    words: set[str] = set()
    for choices in RULES.values():
        for choice in choices:
            words.update(w.strip(",.?!") for w in choice.split() if "<" not in w)
    return tuple(sorted(words))


@cache
def dictionary(held_out: bool) -> tuple[str, ...]:
    """Lower-case English words: those of training, or the one in fifty kept from it."""
    words = {normalise(w) for w in word_list("american-english", "wamerican")}
    keep = {w for w in words if 1 < len(w) <= LONGEST_WORD and w.replace("'", "").isalpha()}
    keep -= set(FUNCTION_WORDS) | set(vocabulary())
    keep = {w for w in keep if not w.endswith("'s") or zlib.crc32(w.encode()) % GENITIVE_SHARE == 0}
    return tuple(sorted(w for w in keep if is_held_out(w) == held_out))


def is_held_out(word: str) -> bool:
    """A name and its genitive are held out together."""
    return zlib.crc32(word.removesuffix("'s").encode()) % HELD_OUT_SHARE == 0


def open_sentence(rng: np.random.Generator, words: tuple[str, ...]) -> str:
    """Three to nine words, dictionary and function words mixed, with marks where a reader would breathe."""
    count = int(rng.integers(3, 10))
    spoken: list[str] = []
    for i in range(count):
        pool = words if rng.random() < 0.6 else FUNCTION_WORDS
        word = pool[int(rng.integers(len(pool)))]
        if rng.random() < 0.08 and i < count - 1:
            word += "," if rng.random() < 0.7 else "."
        spoken.append(word)
    return " ".join(spoken) + str(rng.choice([".", ".", ".", "?", "!"]))


def world_sentence(split: Split, seed: int, index: int) -> str:
    """A question or reply of the world the model talks about, as text to be normalised."""
    rng = generator(split, seed, "spoken world", index)
    if rng.random() < 0.5:
        turns = conversation(split, seed, index)
    else:
        turns = [picture_turn(draw_scene(rng), rng, split, description=bool(rng.random() < 0.5))]
    turn = turns[int(rng.integers(len(turns)))]
    return turn.reply if rng.random() < 0.75 else turn.question


def sentence(split: Split, seed: int, index: int, open_share: float = 0.7) -> str:
    """Sentence ``index`` of a split, normalised. Evaluation's open sentences use held-out words.

    What is not open is half the closed grammar and half what the model says and hears in its chats.
    """
    rng = generator(split, seed, "speaking", index)
    if rng.random() < open_share:
        return open_sentence(rng, dictionary(held_out=not is_training(split)))
    if rng.random() < 0.5 and (spoken := normalise(world_sentence(split, seed, index))):
        return spoken
    return closed_sentence(rng)
