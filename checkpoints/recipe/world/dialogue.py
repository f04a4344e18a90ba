"""Conversations of one to three turns: a question, and follow-ups that need what was said before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from recipe.seeds import Split, generator, is_training

from . import arithmetic, facts, talk
from .lexicon import CAPITALS, DAYS, LEGS, MONTHS, OPPOSITES
from .phrasing import Ask, article, as_typed, chance, phrase, pick
from .small_talk import SOCIAL


@dataclass(frozen=True)
class Turn:
    """One exchange. ``needs_history`` marks a question that cannot be answered on its own."""

    kind: str
    question: str
    reply: str
    needs_history: bool = False


NAME_REPLY = "Nice to meet you, {}."

Maker = Callable[[np.random.Generator, Split, bool], list[Turn]]
"""(generator, split, spoken) -> turns. ``spoken`` questions hold words only."""


def _turn(ask: Ask, rng: np.random.Generator, split: Split, needs_history: bool = False) -> Turn:
    return Turn(ask.kind, phrase(ask, rng, split), ask.reply, needs_history)


def _arithmetic_chain(rng: np.random.Generator, split: Split, spoken: bool) -> list[Turn]:
    """A sum or difference, sometimes with "and plus four?" after it."""
    ask, value = (arithmetic.ask_sum if chance(rng, 0.55) else arithmetic.ask_difference)(rng, spoken)
    turns = [_turn(ask, rng, split)]
    while len(turns) < 3 and 0 <= value <= 50 and chance(rng, 0.35):
        n = int(rng.integers(1, 11))
        x = arithmetic.written(n, rng, spoken)
        if chance(rng, 0.5) or value < n:
            word, reply, value = "plus", arithmetic.sum_reply(value, n), value + n
        else:
            word, reply, value = "minus", arithmetic.difference_reply(value, n), value - n
        follow = Ask(
            "follow-up sum",
            reply,
            (f"And {word} {x}?", f"{word.capitalize()} {x}?", f"And now {word} {x}?", f"Now {word} {x}.",
             f"What is that {word} {x}?", f"{word.capitalize()} {x} more?", f"And that {word} {x}?",
             f"And if it is {word} {x}?", f"What is it {word} {x}?", f"So {word} {x}?",
             f"And how much is that {word} {x}?"),
            (),
            (f"And {word} {x} more?", f"And what is that {word} {x}?", f"Then {word} {x}?"),
        )  # fmt: skip
        turns.append(_turn(follow, rng, split, needs_history=True))
    return turns


def _follow(kind: str, topic: str, reply: str, rng: np.random.Generator, split: Split) -> Turn:
    ask = Ask(
        kind,
        reply,
        (f"And {topic}?", f"What about {topic}?", f"And what about {topic}?", f"And of {topic}?"
         if kind in ("opposite", "capital") else f"And {topic}, please?", f"Now {topic}?", f"Then {topic}?",
         f"So what about {topic}?", f"How is it with {topic}?", f"And then {topic}?", f"And the same for {topic}?",
         f"{topic}?"),
        (),
        (f"And now {topic}?", f"How about {topic}?"),
    )  # fmt: skip
    return _turn(ask, rng, split, needs_history=True)


def _fact_chain(rng: np.random.Generator, split: Split, spoken: bool) -> list[Turn]:
    """A question of a family, then "and Tuesday?" of the same family."""
    family = int(rng.integers(5))
    if family == 0:
        turns = [_turn(facts.ask_opposite(rng), rng, split)]
        if chance(rng, 0.35):
            word = pick(rng, OPPOSITES[int(rng.integers(len(OPPOSITES)))])
            turns.append(_follow("opposite", word, facts.opposite_reply(word), rng, split))
    elif family == 1:
        turns = [_turn(facts.ask_capital(rng), rng, split)]
        if chance(rng, 0.35):
            country = pick(rng, list(CAPITALS))
            turns.append(_follow("capital", country, facts.capital_reply(country), rng, split))
    elif family in (2, 3):
        names = DAYS if family == 2 else MONTHS
        first = (facts.ask_day if family == 2 else facts.ask_month)(rng)
        turns = [_turn(first, rng, split)]
        while len(turns) < 3 and chance(rng, 0.35):
            where = "after" if " after " in first.reply else "before"
            i = names.index(turns[-1].reply.split()[0])
            if chance(rng, 0.5):  # what comes after that?
                reply = facts.calendar_reply(names, i, where)
                ask = Ask("follow-up day", reply, (f"And {where} that?", f"What comes {where} that?",
                          f"And what comes {where} that?", f"What is {where} that one?", f"What follows {where} that?",
                          f"What comes {where} it?", f"And {where} that one?", f"Which one is {where} that?"), (),
                          (f"And what is {where} that?",))  # fmt: skip
                turns.append(_turn(ask, rng, split, needs_history=True))
            else:
                j = int(rng.integers(len(names)))
                reply = facts.calendar_reply(names, j, where)
                turns.append(_follow("follow-up day", names[j], reply, rng, split))
    else:
        animal = pick(rng, list(LEGS))
        turns = [_turn(facts.ask_animal(rng), rng, split)]
        if turns[0].kind == "legs" and chance(rng, 0.5):
            turns.append(_follow("legs", article(animal), facts.legs_reply(animal), rng, split))
    return turns


def _single(rng: np.random.Generator, split: Split, spoken: bool) -> list[Turn]:
    """One question of the other families."""
    makers: tuple[Callable[[], Ask], ...] = (
        lambda: arithmetic.ask_product(rng, spoken)[0],
        lambda: arithmetic.ask_comparison(rng, spoken),
        lambda: arithmetic.ask_neighbour(rng, spoken),
        lambda: arithmetic.ask_parity(rng, spoken),
        lambda: facts.ask_mixture(rng),
        lambda: facts.ask_thing_colour(rng),
        lambda: facts.ask_nth_month(rng),
        lambda: facts.ask_quantity(rng),
        lambda: facts.ask_simple_fact(rng),
        lambda: talk.ask_part(rng),
        lambda: talk.ask_repeat(rng),
    )
    return [_turn(makers[int(rng.integers(len(makers)))](), rng, split)]


def _social(rng: np.random.Generator, split: Split, spoken: bool) -> list[Turn]:
    """Small talk, or a name to remember."""
    if chance(rng, 0.8):
        return [_turn(SOCIAL[int(rng.integers(len(SOCIAL)))], rng, split)]
    name = talk.a_name(rng, split)
    tell = Ask("name", NAME_REPLY.format(name),
               (f"My name is {name}.", f"I am {name}.", f"Hello, I am {name}.", f"Hi, my name is {name}.",
                f"Call me {name}.", f"I am called {name}.", f"You can call me {name}.", f"Hey, I am {name}.",
                f"Good morning, my name is {name}.", f"Hello muomni, I am {name}.", f"Please call me {name}.",
                f"Hello there, my name is {name}.", f"People call me {name}."), (), (f"Hello, my name is {name}.",
                f"Hi, I am {name}."))  # fmt: skip
    turns = [_turn(tell, rng, split)]
    if chance(rng, 0.3):
        turns.extend(_single(rng, split, spoken))
    if chance(rng, 0.7):
        turns.append(_turn(ask_name_recall(name), rng, split, needs_history=True))
    return turns


def ask_name_recall(name: str) -> Ask:
    """A name that was told before."""
    return Ask("name recall", f"Your name is {name}.",
               ("What is my name?", "Who am I?", "Do you know my name?", "What am I called?", "And who am I?",
                "Say my name.", "What did I say my name is?", "Do you remember who I am?",
                "Can you remember my name?",
                "So what is my name?", "And do you know my name?", "Please say my name.", "My name is what?"),
               ("my name", "who I am"),
               ("Do you remember my name?", "And what is my name?"))  # fmt: skip


def name_told(turn: Turn) -> str:
    """The name that a turn tells; empty where it tells none."""
    before, after = NAME_REPLY.split("{}")
    return turn.reply.removeprefix(before).removesuffix(after) if turn.kind == "name" else ""


def _unknown(rng: np.random.Generator, split: Split, spoken: bool) -> list[Turn]:
    if chance(rng, 0.1):
        ask = Ask("unknown name", talk.DO_NOT_KNOW, ("What is my name?", "Do you know my name?", "Who am I?"), (),
                  ("Do you remember my name?",))  # fmt: skip
        return [_turn(ask, rng, split)]
    return [_turn(talk.ask_unknown(rng, split), rng, split)]


MAKERS: tuple[tuple[float, Maker], ...] = (
    (0.26, _arithmetic_chain),
    (0.24, _fact_chain),
    (0.26, _single),
    (0.16, _social),
    (0.08, _unknown),
)


def conversation(split: Split, seed: int, index: int, spoken: bool = False) -> list[Turn]:
    """Conversation ``index``: one to three turns. Typed ones are sometimes typed carelessly."""
    rng = generator(split, seed, "spoken chat" if spoken else "chat", index)
    turns = _draw_maker(rng)(rng, split, spoken)
    if spoken:
        return turns
    careless = 1.0 if is_training(split) else 0.3
    return [
        Turn(t.kind, as_typed(t.question, rng), t.reply, t.needs_history) if chance(rng, careless) else t
        for t in turns
    ]


def _draw_maker(rng: np.random.Generator) -> Maker:
    point = rng.random()
    for share, maker in MAKERS:
        if point < share:
            return maker
        point -= share
    return MAKERS[-1][1]


SPEAKABLE_KINDS_EXCLUDED = frozenset({"unknown", "name", "name recall", "repeat", "no picture", "no sound"})
"""Kinds that hold made-up or rare words: typed only, hearing has a closed vocabulary."""


def spoken_question(split: Split, seed: int, index: int) -> Turn:
    """A question of one turn that can be read aloud within the closed vocabulary."""
    for attempt in range(50):
        first = conversation(split, seed, index * 50 + attempt, spoken=True)[0]
        if first.kind not in SPEAKABLE_KINDS_EXCLUDED:
            return first
    raise AssertionError("no speakable question in fifty draws")
