"""What a short film shows: a scene in which one thing moves, or none, and questions about it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from recipe.seeds import Split

from .dialogue import Turn
from .phrasing import Ask, chance, phrase, pick
from .scene import Scene, Thing, draw_scene, touches

FILM_FRAMES = 4  # as many as the model takes
DIRECTIONS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
MIN_TRAVEL, MAX_TRAVEL = 0.22, 0.6  # of the picture's side, from the first to the last frame
SIDEWAYS = 0.15  # drift across the main direction, as a part of the travel
MAX_STEP_JITTER = 0.25  # of a step: things do not move at a steady speed


@dataclass(frozen=True)
class Film:
    """Frames in order; ``mover`` (as it is in the first frame) goes ``direction``, or both are None."""

    frames: tuple[Scene, ...]
    mover: Thing | None
    direction: str | None


def draw_film(rng: np.random.Generator, frames: int) -> Film:
    """A film of one to three things with different names. One film in eight stands still."""
    still, count = chance(rng, 0.12), int(rng.choice(3, p=(0.45, 0.35, 0.2))) + 1
    while True:
        scene = draw_scene(rng, count)
        if len({t.name for t in scene.things}) < len(scene.things):
            continue
        if still:
            return Film((scene,) * frames, None, None)
        mover = scene.things[int(rng.integers(len(scene.things)))]
        direction = pick(rng, list(DIRECTIONS))
        dx, dy = DIRECTIONS[direction]
        travel = float(rng.uniform(MIN_TRAVEL, MAX_TRAVEL))
        drift = float(rng.uniform(-SIDEWAYS, SIDEWAYS)) * travel
        steps = np.arange(frames) + rng.uniform(-MAX_STEP_JITTER, MAX_STEP_JITTER, frames)
        steps = (steps - steps[0]) / (steps[-1] - steps[0])
        path = [
            replace(
                mover, x=mover.x + s * (dx * travel + dy * drift), y=mover.y + s * (dy * travel + dx * drift)
            )
            for s in steps
        ]
        others = [t for t in scene.things if t is not mover]
        inside = all(p.extent / 2 <= v <= 1 - p.extent / 2 for p in path for v in (p.x, p.y))
        if inside and not any(touches(p, t) for p in path for t in others):
            scenes = tuple(Scene((*others, p), scene.background) for p in path)
            return Film(scenes, mover, direction)


def ask_about(film: Film, rng: np.random.Generator) -> Ask:
    """What moves and which way; the plain description is the same sentence."""
    form = int(rng.integers(4))
    still = film.mover is None
    name = film.mover.name if film.mover else ""
    shape = film.mover.shape if film.mover else ""
    if form <= 1 or (still and form == 2):
        return Ask(
            "film",
            "Nothing moves." if still else f"The {name} moves {film.direction}.",
            ("Describe what you see concisely.", "What happens?", "What happens in the video?", "Describe the video.",
             "What moves and which way?", "What is moving and where?", "Describe what you see.", "What do you see?",
             "What is going on?", "What moves where?", "What do you see in the video?", "Tell me what happens.",
             "What goes on here?", "What does the video show?", "What is shown in the video?", "What happens here?",
             "Which thing moves, and where to?", "Describe what happens.", "What can you see in the video?",
             "Describe the whole film.", "What happens in this film?"),
            ("what happens", "what moves and which way", "what happens in the video"),
            ("What happens in this video?", "What is moving and which way?", "What goes on in the video?",
             "Describe this video."),
        )  # fmt: skip
    if form == 2:
        return Ask(
            "direction",
            f"The {shape} moves {film.direction}.",
            (f"Which way does the {shape} move?", f"Where does the {shape} go?", f"Where does the {shape} move?",
             f"In which direction does the {shape} move?", f"Where is the {shape} going?",
             f"Where is the {shape} moving?", f"What is the direction of the {shape}?",
             f"Where to does the {shape} move?",
             f"The {shape} moves which way?", f"In what direction does the {shape} go?"),
            (f"which way the {shape} moves", f"where the {shape} goes"),
            (f"What direction does the {shape} move in?", f"Which way does the {shape} go?"),
        )  # fmt: skip
    return Ask(
        "mover",
        "Nothing moves." if still else f"The {name} moves.",
        (
            "What moves?",
            "Which shape moves?",
            "What is moving?",
            "Which object moves?",
            "Does anything move?",
            "Which thing moves?",
            "What is it that moves?",
            "Which one moves?",
            "Does something move?",
            "Is something moving?",
            "What shape is moving?",
            "What can you see moving?",
        ),
        ("what moves", "which shape moves", "what is moving"),
        ("Which shape is moving?", "Which object is moving?", "Is anything moving?"),
    )


def film_turn(film: Film, rng: np.random.Generator, split: Split) -> Turn:
    ask = ask_about(film, rng)
    return Turn(ask.kind, phrase(ask, rng, split), ask.reply)
