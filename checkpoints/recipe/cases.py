"""Test cases by ability: what the model is given and the one right reply, from a seed space training never uses."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from . import festival_voices, svg_pictures
from .pictures import film_frames, picture
from .seeds import Split, generator
from .sound import in_a_room, with_noise
from .voices import SAMPLE_RATE_HZ, Readers, draw_reader
from .world.dialogue import conversation
from .world.film import draw_film, film_turn
from .world.lines import Line, spoken_line
from .world.picture_talk import picture_turn
from .world.scene import Scene, draw_scene
from .world.spoken_prompts import answer_prompt, transcribe_prompt

VIDEO_FRAMES = 4


Draw = Callable[[Scene, np.random.Generator], Image.Image]


@dataclass(frozen=True)
class Case:
    """What is given and what must come back.

    ``turns`` are the user's texts in order, in one conversation; media belong to the first. Only the reply to the
    last is scored, against ``expected``: exactly (but for capitals and punctuation), or by its word errors.
    """

    ability: str
    kind: str
    turns: tuple[str, ...]
    expected: str
    image: Image.Image | None = None
    audio: NDArray[np.float32] | None = None
    video: tuple[Image.Image, ...] | None = None
    measure: Literal["exact", "words"] = "exact"


class CaseMaker:
    """Makes cases of a split and seed; case ``index`` does not depend on the others."""

    def __init__(self, split: Split, seed: int) -> None:
        self.split, self.seed = split, seed
        self._readers: Readers | None = None

    def chat(self, index: int) -> Case:
        turns = conversation(self.split, self.seed, index)
        return Case("chat", turns[-1].kind, tuple(t.question for t in turns), turns[-1].reply)

    def description(self, index: int) -> Case:
        return self._picture("picture description", index, description=True)

    def picture_question(self, index: int) -> Case:
        return self._picture("picture question", index, description=False)

    def _picture(self, ability: str, index: int, description: bool, draw: Draw = picture) -> Case:
        rng = generator(self.split, self.seed, ability, index)
        scene = draw_scene(rng)
        turn = picture_turn(scene, rng, self.split, description)
        return Case(ability, turn.kind, (turn.question,), turn.reply, image=draw(scene, rng))

    def svg_description(self, index: int) -> Case:
        return self._picture(
            "picture description, SVG", index, description=True, draw=svg_pictures.svg_picture
        )

    def svg_question(self, index: int) -> Case:
        return self._picture("picture question, SVG", index, description=False, draw=svg_pictures.svg_picture)

    def film(self, index: int) -> Case:
        rng = generator(self.split, self.seed, "film", index)
        film = draw_film(rng, VIDEO_FRAMES)
        turn = film_turn(film, rng, self.split)
        return Case(
            "video", turn.kind, (turn.question,), turn.reply, video=tuple(film_frames(film.frames, rng))
        )

    def heard(self, index: int, unseen: bool) -> Case:
        """Transcription of any line; ``unseen`` voices are never trained on."""
        name = "hearing, voices unseen" if unseen else "hearing, voices seen"
        rng = generator(self.split, self.seed, name, index)
        line = spoken_line(self.split, self.seed, index)
        return self._transcription(name, line, self._read(line, rng, unseen), rng)

    def heard_from_festival(self, index: int) -> Case:
        name = "hearing, another synthesizer"
        rng = generator(self.split, self.seed, name, index)
        line = spoken_line(self.split, self.seed, index)
        samples = festival_voices.festival_reading(line.text, rng)
        return self._transcription(name, line, with_noise(in_a_room(samples, rng), rng), rng)

    def _transcription(
        self, name: str, line: Line, audio: NDArray[np.float32], rng: np.random.Generator
    ) -> Case:
        return Case(
            name,
            line.kind,
            (transcribe_prompt(rng, self.split),),
            line.transcript,
            audio=audio,
            measure="words",
        )

    def spoken_question(self, index: int) -> Case:
        """A spoken chat question, or one about a picture; every other one in an unseen voice."""
        rng = generator(self.split, self.seed, "spoken question", index)
        while True:
            line = spoken_line(self.split, self.seed + 1, int(rng.integers(2**40)))
            if line.reply:
                break
        image = picture(line.scene, rng) if line.scene else None
        audio = self._read(line, rng, unseen=index % 2 == 1)
        prompt = answer_prompt(rng, self.split)
        return Case("spoken question", line.kind, (prompt,), line.reply, image=image, audio=audio)

    def _read(self, line: Line, rng: np.random.Generator, unseen: bool) -> NDArray[np.float32]:
        self._readers = self._readers or Readers()
        return with_noise(in_a_room(self._readers.read(line.text, draw_reader(rng, unseen)), rng), rng)


Make = Callable[[CaseMaker, int], Case]

ABILITIES: dict[str, tuple[Make, float]] = {
    "chat": (CaseMaker.chat, 0.95),
    "picture description": (CaseMaker.description, 0.90),
    "picture question": (CaseMaker.picture_question, 0.95),
    "picture description, SVG": (CaseMaker.svg_description, 0.90),
    "picture question, SVG": (CaseMaker.svg_question, 0.95),
    "hearing, voices seen": (lambda maker, i: maker.heard(i, unseen=False), 0.05),
    "hearing, voices unseen": (lambda maker, i: maker.heard(i, unseen=True), 0.20),
    "hearing, another synthesizer": (CaseMaker.heard_from_festival, 0.20),
    "spoken question": (CaseMaker.spoken_question, 0.90),
    "video": (CaseMaker.film, 0.90),
}
"""Ability -> (how to make a case, target). Targets of hearing are word error rates: lower is better."""

PROGRAMS = {
    "picture description, SVG": svg_pictures.PROGRAM,
    "picture question, SVG": svg_pictures.PROGRAM,
    "hearing, another synthesizer": festival_voices.PROGRAM,
}
"""What makes the cases of an ability, where that is a program that training does without."""


def can_make(ability: str) -> bool:
    """Whether the program that an ability's cases need, if any, is installed."""
    return ability not in PROGRAMS or shutil.which(PROGRAMS[ability]) is not None


AUDIO_RATE_HZ = SAMPLE_RATE_HZ
