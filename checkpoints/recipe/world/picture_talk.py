"""Questions about a scene and their one right answer, computed from the scene."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from recipe.seeds import Split

from .arithmetic import sentence
from .dialogue import Turn
from .lexicon import COLOURS, SHAPES, SIZES, number_words
from .phrasing import Ask, article, chance, phrase, pick
from .picture_places import ask_extreme, ask_place, ask_relation
from .scene import Scene, Thing, draw_scene

NOTHING_SEEN = "I see nothing that I know."


def plural(noun: str) -> str:
    return {"cross": "crosses"}.get(noun, noun + "s")


def listing(items: list[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


def describe(scene: Scene) -> str:
    """From left to right, with sizes, colours and shapes."""
    return sentence(listing([article(t.full_name) for t in scene.things]))


def ask_description(scene: Scene) -> Ask:
    return Ask(
        "describe",
        describe(scene),
        ("Describe what you see concisely.", "Describe what you see.", "What do you see?", "Describe the picture.",
         "What is in the picture?", "Describe the image.", "What is in the image?", "What is in this picture?",
         "What does the picture show?", "Tell me what you see.", "Describe this picture.", "What can you see?",
         "List the shapes.", "Which shapes do you see?", "What can be seen?", "What can you see here?",
         "Describe the whole picture.", "What is shown in the picture?", "What is to be seen in this image?",
         "Which shapes are there?", "Which things do you see in the picture?", "What is drawn here?", "What is on it?",
         "List everything in the picture.", "Give a description of the picture.", "Describe it.",
         "What do you see here?",
         "What does this picture show?", "Which shapes does the picture show?", "Describe all that you see."),
        ("what you see", "what is in the picture", "what you can see", "what the picture shows",
         "which shapes are in the picture"),
        ("What do you see in the picture?", "What is on the picture?", "Describe this image.",
         "Which shapes are in the picture?", "What does the image show?", "What can you see in this picture?"),
    )  # fmt: skip


def counted(count: int, singular: str, many: str) -> str:
    if count == 1:
        return f"There is one {singular}."
    return f"There are {number_words(count) if count else 'no'} {many}."


def ask_count(scene: Scene, rng: np.random.Generator) -> Ask:
    """How many shapes there are in all, of a shape, of a colour or of a size."""
    form = int(rng.integers(4))
    present = scene.things[int(rng.integers(len(scene.things)))]
    if form == 0:
        singular, many, count = "shape", "shapes", len(scene.things)
    elif form == 1:
        shape = present.shape if chance(rng, 0.7) else pick(rng, SHAPES)
        singular, many = shape, plural(shape)
        count = sum(t.shape == shape for t in scene.things)
    elif form == 2:
        colour = present.colour if chance(rng, 0.7) else pick(rng, COLOURS)
        singular, many = f"{colour} shape", f"{colour} shapes"
        count = sum(t.colour == colour for t in scene.things)
    else:
        size = pick(rng, SIZES)
        singular, many = f"{size} shape", f"{size} shapes"
        count = sum(t.size == size for t in scene.things)
    objects = [f"How many {many.replace('shapes', 'objects')} are there?"] if form != 1 else []
    return Ask(
        "count",
        counted(count, singular, many),
        (f"How many {many} are there?", f"How many {many} do you see?", f"Count the {many}.",
         f"How many {many} are in the picture?", f"What is the number of {many}?", f"Count all the {many}.",
         f"What number of {many} do you see?", f"How many {many} does the picture show?", f"How many {many}?",
         f"How many {many} are here?", f"Can you count the {many}?", f"How many {many} are there in all?", *objects),
        (f"how many {many} there are", f"how many {many} you see", f"the number of {many}"),
        (f"How many {many} can you see?", f"How many {many} are in the image?", f"Please count the {many}."),
    )  # fmt: skip


def unique(scene: Scene, key: Callable[[Thing], object]) -> list[Thing]:
    """Things that nothing else shares ``key`` with."""
    keys = [key(t) for t in scene.things]
    return [t for t in scene.things if keys.count(key(t)) == 1]


def ask_colour(scene: Scene, rng: np.random.Generator) -> Ask | None:
    by_shape, by_size = unique(scene, lambda t: t.shape), unique(scene, lambda t: (t.size, t.shape))
    if by_shape and chance(rng, 0.75):
        thing = by_shape[int(rng.integers(len(by_shape)))]
        noun = thing.shape
    elif by_size:
        thing = by_size[int(rng.integers(len(by_size)))]
        noun = f"{thing.size} {thing.shape}"
    else:
        return None
    return Ask(
        "colour of",
        f"The {noun} is {thing.colour}.",
        (f"What colour is the {noun}?", f"Which colour is the {noun}?", f"The {noun} is what colour?",
         f"What colour does the {noun} have?", f"What is the colour of the {noun}?", f"The colour of the {noun}?",
         f"In what colour is the {noun}?", f"What is the {noun}'s colour?", f"Which colour has the {noun}?",
         f"What colour do you see the {noun} in?", f"Name the colour of the {noun}.", f"Of which colour is the {noun}?",
         f"The {noun} has which colour?"),
        (f"what colour the {noun} is", f"the colour of the {noun}"),
        (f"Which colour does the {noun} have?", f"Of what colour is the {noun}?", f"What colour has the {noun}?"),
    )  # fmt: skip


def ask_shape(scene: Scene, rng: np.random.Generator) -> Ask | None:
    things = unique(scene, lambda t: t.colour)
    if not things:
        return None
    thing = things[int(rng.integers(len(things)))]
    colour = thing.colour
    return Ask(
        "shape of",
        f"The {colour} shape is {article(thing.shape)}.",
        (f"What shape is {colour}?", f"Which shape is {colour}?", f"What is the {colour} shape?",
         f"What is {colour}?", f"What is the {colour} object?", f"Which shape has the {colour} object?",
         f"What shape has the {colour} thing?", f"Which of the shapes is {colour}?", f"Which object is {colour}?",
         f"What do you see that is {colour}?", f"Name the {colour} shape.", f"The {colour} object is what shape?"),
        (f"which shape is {colour}", f"what the {colour} shape is"),
        (f"What shape does the {colour} object have?", f"What kind of shape is {colour}?"),
    )  # fmt: skip


def ask_size(scene: Scene, rng: np.random.Generator) -> Ask | None:
    things = unique(scene, lambda t: t.shape)
    if not things:
        return None
    thing = things[int(rng.integers(len(things)))]
    noun = thing.shape if chance(rng, 0.6) else thing.name
    return Ask(
        "size of",
        f"The {noun} is {thing.size}.",
        (f"Is the {noun} big or small?", f"What size is the {noun}?", f"How big is the {noun}?",
         f"Is the {noun} small or big?", f"The {noun}, is it big or small?", f"What size does the {noun} have?",
         f"Of what size is the {noun}?", f"Is the {noun} large or small?", f"How small is the {noun}?",
         f"The size of the {noun}?", f"Is the {noun} a big or a small one?", f"What size has the {noun}?"),
        (f"if the {noun} is big or small", f"what size the {noun} is"),
        (f"What is the size of the {noun}?", f"Which size has the {noun}?", f"How large is the {noun}?"),
    )  # fmt: skip


def ask_presence(scene: Scene, rng: np.random.Generator) -> Ask:
    """Is there a red circle? Wrong ones are often half right: the colour of one thing, the shape of another."""
    thing = scene.things[int(rng.integers(len(scene.things)))]
    other = scene.things[int(rng.integers(len(scene.things)))]
    colour = thing.colour if chance(rng, 0.75) else pick(rng, COLOURS)
    shape = (thing.shape if chance(rng, 0.5) else other.shape) if chance(rng, 0.75) else pick(rng, SHAPES)
    if chance(rng, 0.3):
        noun, there = shape, any(t.shape == shape for t in scene.things)
    elif chance(rng, 0.15):
        noun, there = f"{colour} shape", any(t.colour == colour for t in scene.things)
    else:
        noun, there = f"{colour} {shape}", any((t.colour, t.shape) == (colour, shape) for t in scene.things)
    reply = f"Yes, there is {article(noun)}." if there else f"No, there is no {noun}."
    a = article(noun)
    return Ask(
        "is there",
        reply,
        (f"Is there {a}?", f"Do you see {a}?", f"Is there {a} in the picture?", f"Can you see {a}?",
         f"Does the picture show {a}?", f"Is {a} in the picture?", f"Is {a} here?", f"Is there {a} here?",
         f"Is {a} to be seen?",
         f"Can you see {a} in the image?", f"Do you find {a}?", f"Is any {noun} there?", f"Is there any {noun}?",
         f"Does this picture have {a}?", f"Can {a} be seen?", f"Is there {a} or not?"),
        (f"if there is {a}", f"if you see {a}"),
        (f"Is there {a} in the image?", f"Is {a} there?", f"Can you find {a}?", f"Does the image show {a}?"),
    )  # fmt: skip


SINGLE_MAKERS: tuple[Callable[[Scene, np.random.Generator], Ask | None], ...] = (
    ask_count, ask_colour, ask_shape, ask_size, ask_presence, ask_presence, ask_relation, ask_relation, ask_extreme,
    ask_place,
)  # fmt: skip


HARD_MAKERS = (ask_relation, ask_relation, ask_relation, ask_place, ask_count)
"""Of what takes longest to learn: two things at once, places, and numbers."""


def ask_single(scene: Scene, rng: np.random.Generator, hard: bool = False) -> Ask:
    """One question about one thing in the scene (never the whole description)."""
    makers = HARD_MAKERS if hard and len(scene.things) > 1 else SINGLE_MAKERS
    while True:
        ask = makers[int(rng.integers(len(makers)))](scene, rng)
        if ask is not None:
            return ask


def picture_turn(
    scene: Scene, rng: np.random.Generator, split: Split, description: bool, hard: bool = False
) -> Turn:
    """A question on a picture; one of nothing known is asked the same things, and always has one answer."""
    if not scene.things:
        asked = picture_turn(draw_scene(rng), rng, split, description or chance(rng, 0.5), hard)
        return Turn("nothing", asked.question, NOTHING_SEEN)
    ask = ask_description(scene) if description else ask_single(scene, rng, hard)
    return Turn(ask.kind, phrase(ask, rng, split), ask.reply)
