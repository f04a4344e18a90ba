"""What a picture shows: one to four coloured shapes. The truth that questions and drawings share."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .lexicon import COLOURS, SHAPES, SIZES
from .phrasing import chance, pick

SMALL_EXTENT = (0.15, 0.21)
BIG_EXTENT = (0.30, 0.44)
"""Diameter of the circle around a shape, as a part of the picture's side; the gap keeps the words exact."""

MIN_GAP = 0.02  # between the circles around two shapes
MIN_ORDER_STEP = 0.05  # between centres from left to right, so that "from left to right" has one answer


@dataclass(frozen=True)
class Thing:
    """A coloured shape. ``x, y`` is its centre, 0…1 from the left and from the top; ``extent`` its diameter."""

    shape: str
    colour: str
    size: str
    x: float
    y: float
    extent: float

    @property
    def name(self) -> str:
        return f"{self.colour} {self.shape}"

    @property
    def full_name(self) -> str:
        return f"{self.size} {self.colour} {self.shape}"


@dataclass(frozen=True)
class Scene:
    """Things in order from left to right, on a background that has one of the colours or is mixed."""

    things: tuple[Thing, ...]
    background: str


def touches(a: Thing, b: Thing) -> bool:
    distance = float(np.hypot(a.x - b.x, a.y - b.y))
    return distance < (a.extent + b.extent) / 2 + MIN_GAP


def draw_thing(rng: np.random.Generator, colours: list[str]) -> Thing:
    size = pick(rng, SIZES)
    extent = float(rng.uniform(*(SMALL_EXTENT if size == "small" else BIG_EXTENT)))
    x, y = rng.uniform(extent / 2, 1 - extent / 2, 2)
    return Thing(pick(rng, SHAPES), pick(rng, colours), size, float(x), float(y), extent)


CONFUSABLE = {
    "gray": {"white", "black"}, "white": {"gray"}, "black": {"gray"}, "red": {"orange", "brown", "pink"},
    "orange": {"red", "yellow", "brown"}, "yellow": {"orange"}, "brown": {"red", "orange"}, "pink": {"purple", "red"},
    "purple": {"pink", "blue"}, "blue": {"purple"}, "green": set(),
}  # fmt: skip
"""Colours too near a background's for a shape to stand out under noise and shading."""


def draw_scene(rng: np.random.Generator, count: int | None = None) -> Scene:
    """A random scene; things never touch and have one order from left to right.

    One scene in three repeats a shape or a colour on purpose, so that "how many circles" is often more than one.
    """
    count = count if count is not None else int(rng.choice(4, p=(0.22, 0.30, 0.26, 0.22))) + 1
    background = "white" if chance(rng, 0.3) else "black" if chance(rng, 0.12) else pick(rng, COLOURS)
    colours = [c for c in COLOURS if c != background and c not in CONFUSABLE[background]]
    things: list[Thing] = []
    while len(things) < count:
        for _ in range(40):
            thing = draw_thing(rng, colours)
            if things and chance(rng, 0.2):
                thing = replace(thing, shape=things[0].shape)
            elif things and chance(rng, 0.2):
                thing = replace(thing, colour=things[0].colour)
            if not any(touches(thing, t) or abs(thing.x - t.x) < MIN_ORDER_STEP for t in things):
                things.append(thing)
                break
        else:
            things.clear()  # no room left: start again
    return Scene(tuple(sorted(things, key=lambda t: t.x)), background)


NO_SCENE = Scene((), "white")
"""Of a picture that holds nothing of the world."""
