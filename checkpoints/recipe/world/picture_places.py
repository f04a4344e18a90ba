"""Questions about where the things of a scene are: from each other, at the edges, in the picture."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .arithmetic import sentence
from .phrasing import Ask, article, chance, pick
from .scene import Scene, Thing

CLEAR_OFFSET = 0.12
"""How far apart, along the axis asked about, two centres are for left/right/above/below to be asked."""

RELATIONS = {"left of": (-1, 0), "right of": (1, 0), "above": (0, -1), "below": (0, 1)}
RELATION_WORDINGS = {"left of": ("left of", "to the left of"), "right of": ("right of", "to the right of"),
                     "above": ("above", "over"), "below": ("below", "under")}  # fmt: skip


def holds(a: Thing, b: Thing, relation: str) -> bool | None:
    """Is a ``relation`` b? None where it is too close to say."""
    dx, dy = RELATIONS[relation]
    along = (a.x - b.x) * dx + (a.y - b.y) * dy
    return None if abs(along) < CLEAR_OFFSET else along > 0


def main_relation(a: Thing, b: Thing) -> str | None:
    """The one word for where a is from b, if one axis clearly dominates."""
    dx, dy = a.x - b.x, a.y - b.y
    if abs(dx) > 1.4 * abs(dy) and abs(dx) > CLEAR_OFFSET:
        return "right of" if dx > 0 else "left of"
    if abs(dy) > 1.4 * abs(dx) and abs(dy) > CLEAR_OFFSET:
        return "below" if dy > 0 else "above"
    return None


def short_names(scene: Scene) -> dict[Thing, str]:
    """The shortest name that tells a thing from the others: "circle", or else "red circle"."""
    shapes, names = [t.shape for t in scene.things], [t.name for t in scene.things]
    out = {}
    for t in scene.things:
        if shapes.count(t.shape) == 1:
            out[t] = t.shape
        elif names.count(t.name) == 1:
            out[t] = t.name
    return out


def ask_relation(scene: Scene, rng: np.random.Generator) -> Ask | None:
    """Is the circle left of the square? Where is the circle from the square?"""
    names = short_names(scene)
    if len(names) < 2:
        return None
    things = list(names)
    i, j = rng.choice(len(things), 2, replace=False)
    a, b = things[i], things[j]
    x, y = (t.name if chance(rng, 0.25) and names[t] == t.shape else names[t] for t in (a, b))
    if chance(rng, 0.5):
        relation = main_relation(a, b)
        if relation is None:
            return None
        return Ask(
            "where",
            f"The {x} is {relation} the {y}.",
            (f"Where is the {x} from the {y}?", f"Where is the {x}, seen from the {y}?",
             f"On which side of the {y} is the {x}?", f"From the {y}, where is the {x}?",
             f"Where do you see the {x} from the {y}?", f"If you look from the {y}, where is the {x}?",
             f"Where is the {x} compared to the {y}?", f"Where does the {x} lie from the {y}?",
             f"The {x} is where, seen from the {y}?", f"In which direction from the {y} is the {x}?"),
            (f"where the {x} is from the {y}", f"on which side of the {y} the {x} is",
             f"where the {x} is compared to the {y}"),
            (f"Where is the {x} relative to the {y}?", f"Seen from the {y}, where is the {x}?"),
        )  # fmt: skip
    relation = pick(rng, list(RELATIONS))
    true = holds(a, b, relation)
    if true is None:
        return None
    trained, other = RELATION_WORDINGS[relation]
    reply = f"Yes, the {x} is {relation} the {y}." if true else f"No, the {x} is not {relation} the {y}."
    return Ask(
        "relation",
        reply,
        (
            f"Is the {x} {trained} the {y}?",
            f"Is the {x} {other} the {y}?",
            f"Do you see the {x} {trained} the {y}?",
            f"Is the {x} really {trained} the {y}?",
            f"The {x} is {trained} the {y}, is that right?",
            f"Is it right that the {x} is {other} the {y}?",
            f"Does the {x} lie {trained} the {y}?",
            f"The {x} is {other} the {y}, yes or no?",
            f"Would you say that the {x} is {trained} the {y}?",
        ),
        (f"if the {x} is {trained} the {y}", f"if the {x} is {other} the {y}"),
        (f"Is it true that the {x} is {trained} the {y}?", f"Can you see the {x} {trained} the {y}?"),
    )


def ask_extreme(scene: Scene, rng: np.random.Generator) -> Ask | None:
    """What is on the far left, right, top or bottom?"""
    if len(scene.things) < 2:
        return None
    side = pick(rng, ("left", "right", "top", "bottom"))
    axis: Callable[[Thing], float] = (lambda t: t.x) if side in ("left", "right") else (lambda t: t.y)
    ordered = sorted(scene.things, key=axis, reverse=side in ("right", "bottom"))
    if abs(axis(ordered[0]) - axis(ordered[1])) < CLEAR_OFFSET:
        return None
    where = f"on the {side}" if side in ("left", "right") else f"at the {side}"
    return Ask(
        "extreme",
        sentence(f"{article(ordered[0].name)} is {where}"),
        (
            f"What is {where}?",
            f"Which shape is {where}?",
            f"What do you see {where}?",
            f"What is farthest {where}?",
            f"Which thing do you see {where}?",
            f"What is there {where}?",
            f"Which shape is the one {where}?",
            f"What can you see {where}?",
            f"What lies {where}?",
            f"{where[0].upper()}{where[1:]}, what is there?",
            f"Which one of the shapes is {where}?",
        ),
        (f"what is {where}", f"which shape is {where}"),
        (f"Which object is {where}?", f"What shape is {where}?"),
    )


PLACES = (("at the top left", "at the top", "at the top right"), ("on the left", "in the middle", "on the right"),
          ("at the bottom left", "at the bottom", "at the bottom right"))  # fmt: skip
"""Where in the picture: rows from the top, columns from the left."""
THIRDS = ((0.0, 0.38), (0.44, 0.56), (0.62, 1.0))
"""What counts as the first, the middle and the last of them along one axis; between them it is too close to say."""


def third(v: float) -> int | None:
    return next((i for i, (low, high) in enumerate(THIRDS) if low <= v <= high), None)


def ask_place(scene: Scene, rng: np.random.Generator) -> Ask | None:
    """Where in the picture is the circle?"""
    names = short_names(scene)
    if not names:
        return None
    thing = list(names)[int(rng.integers(len(names)))]
    row, column = third(thing.y), third(thing.x)
    if row is None or column is None:
        return None
    noun = thing.name if chance(rng, 0.25) and names[thing] == thing.shape else names[thing]
    return Ask(
        "place",
        f"The {noun} is {PLACES[row][column]}.",
        (
            f"Where is the {noun}?",
            f"Where in the picture is the {noun}?",
            f"Where do you see the {noun}?",
            f"In which part of the picture is the {noun}?",
            f"Where is the {noun} in the picture?",
            f"Where does the {noun} lie?",
            f"The {noun} is where?",
        ),
        (f"where the {noun} is", f"where in the picture the {noun} is", f"where you see the {noun}"),
        (
            f"Where can you see the {noun}?",
            f"In what part of the image is the {noun}?",
            f"Where is the {noun} placed?",
        ),
    )
