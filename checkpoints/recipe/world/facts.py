"""Facts: colours, opposites, the calendar, animals, capitals. Each function gives one random question."""

from __future__ import annotations

import numpy as np

from .arithmetic import ordinal, sentence
from .lexicon import (
    ANIMAL_SOUNDS,
    CAPITALS,
    COLOUR_MIXTURES,
    COLOUR_OF_THINGS,
    DAYS,
    LEGS,
    MONTH_DAYS,
    MONTHS,
    OPPOSITES,
    QUANTITIES,
    SHAPE_SIDES,
    SIMPLE_FACTS,
    YOUNG_ANIMALS,
    number_words,
)
from .phrasing import Ask, article, chance, pick


def ask_mixture(rng: np.random.Generator) -> Ask:
    pairs = list(COLOUR_MIXTURES)
    a, b = pairs[int(rng.integers(len(pairs)))]
    mixed = COLOUR_MIXTURES[a, b]
    if chance(rng, 0.5):
        a, b = b, a
    return Ask(
        "mixture",
        sentence(f"{a} and {b} make {mixed}"),
        (f"What do {a} and {b} make?", f"What colour do you get if you mix {a} and {b}?", f"Mix {a} and {b}.",
         f"Which colour do {a} and {b} make?", f"What is {a} mixed with {b}?", f"What colour is {a} and {b}?",
         f"What colour do you get from {a} and {b}?", f"What do you get if you mix {a} with {b}?",
         f"{a.capitalize()} and {b} make what?", f"What colour is a mix of {a} and {b}?"),
        (f"what {a} and {b} make", f"what colour {a} and {b} make"),
        (f"What colour do {a} and {b} make?", f"Which colour do you get if you mix {a} with {b}?"),
    )  # fmt: skip


def ask_thing_colour(rng: np.random.Generator) -> Ask:
    thing = pick(rng, list(COLOUR_OF_THINGS))
    return Ask(
        "thing colour",
        sentence(f"{thing} is {COLOUR_OF_THINGS[thing]}"),
        (
            f"What colour is {thing}?",
            f"Which colour is {thing}?",
            f"What colour does {thing} have?",
            f"What is the usual colour of {thing}?",
            f"Of which colour is {thing}?",
            f"The colour of {thing}?",
        ),
        (f"what colour {thing} is", f"the colour of {thing}"),
        (f"What is the colour of {thing}?", f"Which colour does {thing} have?"),
    )


def opposite_of(word: str) -> str:
    return next(b if a == word else a for a, b in OPPOSITES if word in (a, b))


def ask_opposite(rng: np.random.Generator) -> Ask:
    word = pick(rng, OPPOSITES[int(rng.integers(len(OPPOSITES)))])
    return Ask(
        "opposite",
        opposite_reply(word),
        (f"What is the opposite of {word}?", f"Which word is the opposite of {word}?", f"The opposite of {word}?",
         f"What is not {word} but the opposite?", f"Name the opposite of {word}.",
         f"What would be the opposite of {word}?",
         f"What is {word} the opposite of?", f"Find the opposite of {word}.",
         f"What word means the opposite of {word}?",
         f"Give me a word that is the opposite of {word}."),
        (f"the opposite of {word}", f"what the opposite of {word} is"),
        (f"What word is the opposite of {word}?", f"Give me the opposite of {word}."),
    )  # fmt: skip


def opposite_reply(word: str) -> str:
    return sentence(f"the opposite of {word} is {opposite_of(word)}")


def calendar_reply(names: list[str], i: int, where: str) -> str:
    step = 1 if where == "after" else -1
    return f"{names[(i + step) % len(names)]} comes {where} {names[i]}."


def ask_day(rng: np.random.Generator) -> Ask:
    i, where = int(rng.integers(7)), pick(rng, ("after", "before"))
    day = DAYS[i]
    return Ask(
        "day",
        calendar_reply(DAYS, i, where),
        (f"Which day comes {where} {day}?", f"What day comes {where} {day}?", f"What comes {where} {day}?",
         f"Which day is {where} {day}?", f"The day {where} {day}?", f"What is the name of the day {where} {day}?",
         f"Which is the day {where} {day}?", f"What day do we have {where} {day}?", f"Name the day {where} {day}."),
        (f"which day comes {where} {day}", f"what comes {where} {day}", f"the day {where} {day}"),
        (f"What day is {where} {day}?", f"What is the day {where} {day}?"),
    )  # fmt: skip


def ask_month(rng: np.random.Generator) -> Ask:
    i, where = int(rng.integers(12)), pick(rng, ("after", "before"))
    month = MONTHS[i]
    return Ask(
        "month",
        calendar_reply(MONTHS, i, where),
        (f"Which month comes {where} {month}?", f"What month comes {where} {month}?", f"What comes {where} {month}?",
         f"Which month is {where} {month}?", f"The month {where} {month}?",
         f"What is the name of the month {where} {month}?",
         f"Which is the month {where} {month}?", f"What month do we have {where} {month}?",
         f"Name the month {where} {month}."),
        (f"which month comes {where} {month}", f"what comes {where} {month}", f"the month {where} {month}"),
        (f"What month is {where} {month}?", f"What is the month {where} {month}?"),
    )  # fmt: skip


def ask_nth_month(rng: np.random.Generator) -> Ask:
    """The n-th month or day of the year or week, or how many days a month has."""
    form = int(rng.integers(3))
    if form == 0:
        i = int(rng.integers(12))
        month = MONTHS[i]
        return Ask(
            "days of month",
            f"{month} has {number_words(MONTH_DAYS[i])} days.",
            (
                f"How many days are in {month}?",
                f"How many days are there in {month}?",
                f"How long is {month}?",
                f"What number of days has {month}?",
                f"How many days does the month of {month} have?",
                f"How many days has the month of {month}?",
                f"Count the days of {month}.",
            ),
            (f"how many days {month} has", f"how many days are in {month}"),
            (f"How many days has {month}?", f"How many days does {month} have?"),
        )
    names, whole, kind = (MONTHS, "year", "month") if form == 1 else (DAYS, "week", "day")
    i = int(rng.integers(len(names)))
    nth = ordinal(i + 1)
    return Ask(
        "nth of calendar",
        sentence(f"the {nth} {kind} is {names[i]}"),
        (f"What is the {nth} {kind} of the {whole}?", f"Name the {nth} {kind} of the {whole}.",
         f"Which {kind} is the {nth} {kind}?", f"What is the {nth} {kind}?",
         f"Which {kind} comes {nth} in the {whole}?",
         f"What {kind} of the {whole} is the {nth}?", f"What is the name of the {nth} {kind}?",
         f"The {nth} {kind} of the {whole} is which?"),
        (f"the {nth} {kind} of the {whole}", f"which {kind} is the {nth}"),
        (f"Which is the {nth} {kind} of the {whole}?", f"Which {kind} is the {nth} of the {whole}?"),
    )  # fmt: skip


def ask_capital(rng: np.random.Generator) -> Ask:
    country = pick(rng, list(CAPITALS))
    return Ask(
        "capital",
        capital_reply(country),
        (f"What is the capital of {country}?", f"Which city is the capital of {country}?",
         f"The capital of {country}?", f"Name the capital of {country}.", f"What is the capital city of {country}?",
         f"What is {country}'s capital?", f"Which is the capital of {country}?",
         f"What is the name of the capital of {country}?",
         f"Do you know a city that is the capital of {country}?", f"{country} has which capital?"),
        (f"the capital of {country}", f"what the capital of {country} is"),
        (f"What city is the capital of {country}?", f"Give me the capital of {country}."),
    )  # fmt: skip


def capital_reply(country: str) -> str:
    return f"The capital of {country} is {CAPITALS[country]}."


def ask_animal(rng: np.random.Generator) -> Ask:
    """A young animal, a sound, or a number of legs."""
    form = int(rng.integers(3))
    if form == 0:
        animal = pick(rng, list(YOUNG_ANIMALS))
        return Ask(
            "young animal",
            sentence(f"a young {animal} is a {YOUNG_ANIMALS[animal]}"),
            (
                f"What is a young {animal}?",
                f"What is a baby {animal} called?",
                f"What do you call a young {animal}?",
                f"What name has a young {animal}?",
                f"A young {animal} is called what?",
                f"A baby {animal} is what?",
                f"How do you call the young of a {animal}?",
            ),
            (f"what a young {animal} is called", f"what a baby {animal} is"),
            (f"What is a young {animal} called?", f"What do you call a baby {animal}?"),
        )
    if form == 1:
        animal = pick(rng, list(ANIMAL_SOUNDS))
        return Ask(
            "animal sound",
            f"The {animal} {ANIMAL_SOUNDS[animal]}.",
            (f"What does a {animal} do to make a sound?", f"What sound does a {animal} make?",
             f"What sound does the {animal} make?", f"How does a {animal} sound?", f"What is the sound of a {animal}?",
             f"What does the {animal} do?", f"What do you hear from a {animal}?", f"A {animal} makes which sound?"),
            (f"what sound a {animal} makes", f"how a {animal} sounds"),
            (f"Which sound does a {animal} make?", f"How does the {animal} sound?"),
        )  # fmt: skip
    animal = pick(rng, list(LEGS))
    return Ask(
        "legs",
        legs_reply(animal),
        (f"How many legs has {article(animal)}?", f"How many legs does {article(animal)} have?",
         f"How many legs are on {article(animal)}?", f"What number of legs has {article(animal)}?",
         f"On how many legs does {article(animal)} walk?",
         f"Count the legs of {article(animal)}.", f"How many legs are there on the {animal}?",
         f"The {animal} has how many legs?"),
        (f"how many legs {article(animal)} has",),
        (f"How many legs does the {animal} have?", f"How many legs has the {animal}?"),
    )  # fmt: skip


def legs_reply(animal: str) -> str:
    count = LEGS[animal]
    return sentence(f"{article(animal)} has {number_words(count) if count else 'no'} legs")


def ask_quantity(rng: np.random.Generator) -> Ask:
    """How many parts a whole has, or how many sides a shape."""
    if chance(rng, 0.35):
        shape = pick(rng, list(SHAPE_SIDES))
        return Ask(
            "sides",
            sentence(f"{article(shape)} has {number_words(SHAPE_SIDES[shape])} sides"),
            (
                f"How many sides has {article(shape)}?",
                f"How many sides does {article(shape)} have?",
                f"How many sides are on {article(shape)}?",
                f"What number of sides has the {shape}?",
                f"Count the sides of the {shape}.",
                f"The {shape} has how many sides?",
            ),
            (f"how many sides {article(shape)} has",),
            (f"How many sides does the {shape} have?",),
        )
    parts, whole = list(QUANTITIES)[int(rng.integers(len(QUANTITIES)))]
    container = "the alphabet" if whole == "alphabet" else "an hour" if whole == "hour" else f"a {whole}"
    return Ask(
        "quantity",
        sentence(f"there are {number_words(QUANTITIES[parts, whole])} {parts} in {container}"),
        (f"How many {parts} are in {container}?", f"How many {parts} are there in {container}?",
         f"What number of {parts} is in {container}?", f"{container.capitalize()} has how many {parts}?",
         f"How many {parts} make {container}?",
         f"{container.capitalize()} is how many {parts}?", f"What is the number of {parts} in {container}?"),
        (f"how many {parts} are in {container}",),
        (f"How many {parts} has {container}?", f"How many {parts} does {container} have?"),
    )  # fmt: skip


def ask_simple_fact(rng: np.random.Generator) -> Ask:
    questions, clauses, reply = SIMPLE_FACTS[int(rng.integers(len(SIMPLE_FACTS)))]
    return Ask("fact", reply, questions[:-1], clauses, questions[-1:])
