"""Talks of many turns: what a person types, shows and says one after the other, and the right reply to each.

A conversation of one question and its follow-ups says nothing of how people go on: with another question, with a
picture and then something else, with a name that is asked for later. A model that was taught short conversations alone
answers the fifth question as if it were about what was shown first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from recipe.seeds import Split, is_training

from .dialogue import Turn, ask_name_recall, conversation, name_told
from .film import FILM_FRAMES, Film, draw_film, film_turn
from .lines import Line
from .phrasing import Ask, chance, phrase
from .picture_talk import picture_turn
from .scene import NO_SCENE, Scene, draw_scene
from .spoken_prompts import answer_prompt, transcribe_prompt
from .system_message import SystemMessage, ask_own_name

NO_NAME_SHARE = 0.03
"""Of the other chats, in training: asked as where a name was told, the model says who it is. Evaluation has that in its
chats."""
RECALL_SHARE = 0.25  # of the chats after a name was told, the person's or the model's
INTERRUPTIONS = 0.4  # of the questions on a picture that is still there: something else is asked before
UNKNOWN_PICTURES = 0.125
DESCRIPTIONS = 0.25
WRITTEN_SHARE = 0.2  # of the spoken questions
LATER_SHARE = 0.5  # of spoken questions on a picture, which was shown some turns before


@dataclass(frozen=True)
class TalkTurn:
    """What is asked and replied; with it a picture may be shown, a film, or a recording heard (by its number).

    A system message has no reply.
    """

    question: str
    reply: str
    kind: str
    scene: Scene | None = None
    film: Film | None = None
    recording: int | None = None


@dataclass
class Talk:
    """A talk as it is made; every reply is right after the turns before it."""

    rng: np.random.Generator
    split: Split
    turns: list[TalkTurn] = field(default_factory=list)
    name: str = ""
    own_name: str = ""

    def begin_with(self, message: SystemMessage) -> None:
        """What it tells; it belongs before everything else."""
        self.name, self.own_name = message.users_name, message.own_name
        self.turns.append(TalkTurn(message.text, "", "system"))
        if chance(self.rng, 0.5):
            self._ask_a_name()

    def chat(self) -> None:
        """A typed conversation, and sometimes the name that was told turns ago."""
        for turn in conversation(self.split, 0, int(self.rng.integers(2**40))):
            if self._has_become_wrong(turn):
                return
            self.name = name_told(turn) or self.name
            self.turns.append(TalkTurn(turn.question, turn.reply, turn.kind))
        if (self.name or self.own_name) and chance(self.rng, RECALL_SHARE):
            self._ask_a_name()
        elif not self.own_name and is_training(self.split) and chance(self.rng, NO_NAME_SHARE):
            self._ask(ask_own_name(""))

    def _ask_a_name(self) -> None:
        """Of the names that were told; nothing where none was."""
        told = ((ask_name_recall, self.name), (ask_own_name, self.own_name))
        asks = [ask(name) for ask, name in told if name]
        if asks:
            self._ask(asks[int(self.rng.integers(len(asks)))])

    def _ask(self, ask: Ask) -> None:
        self.turns.append(TalkTurn(phrase(ask, self.rng, self.split), ask.reply, ask.kind))

    def _has_become_wrong(self, turn: Turn) -> bool:
        return (
            (turn.kind == "unknown name" and self.name != "")
            or (turn.kind == "identity" and self.own_name != "")
            or (turn.kind == "no picture" and any(t.scene or t.film for t in self.turns))
            or (turn.kind == "no sound" and any(t.recording is not None for t in self.turns))
        )

    def picture(self) -> None:
        """A picture and one to four questions on it, between which something else may be asked."""
        unknown = chance(self.rng, UNKNOWN_PICTURES)
        scene = NO_SCENE if unknown else draw_scene(self.rng)
        self._on_picture(scene, shown=scene)
        for _ in range(int(self.rng.integers(1 if unknown else 4))):
            if chance(self.rng, INTERRUPTIONS):
                self.chat()
            self._on_picture(scene)

    def _on_picture(self, scene: Scene, shown: Scene | None = None) -> None:
        turn = picture_turn(
            scene, self.rng, self.split, chance(self.rng, DESCRIPTIONS), hard=chance(self.rng, 0.5)
        )
        self.turns.append(TalkTurn(turn.question, turn.reply, turn.kind, scene=shown))

    def film(self) -> None:
        film = draw_film(self.rng, FILM_FRAMES)
        for i in range(int(self.rng.integers(1, 4))):
            turn = film_turn(film, self.rng, self.split)
            self.turns.append(TalkTurn(turn.question, turn.reply, turn.kind, film=None if i else film))

    def recording(self, number: int, line: Line) -> None:
        """A line that is said: written down, or answered; a question on a picture together with it or after it."""
        if not line.reply or chance(self.rng, WRITTEN_SHARE):
            question, reply = transcribe_prompt(self.rng, self.split), line.written
        else:
            question, reply = answer_prompt(self.rng, self.split), line.reply
        scene = line.scene if reply == line.reply else None
        if scene and chance(self.rng, LATER_SHARE):
            self._on_picture(scene, shown=scene)
            if chance(self.rng, INTERRUPTIONS):
                self.chat()
            scene = None
        self.turns.append(TalkTurn(question, reply, line.kind, scene=scene, recording=number))


def draw_talk(
    rng: np.random.Generator,
    split: Split,
    *,
    chats: int = 1,
    pictures: int = 0,
    films: int = 0,
    lines: Sequence[tuple[int, Line]] = (),
    system: SystemMessage | None = None,
) -> list[TalkTurn]:
    """So many of each in any order; ``lines`` are what is said in recordings, with their numbers.

    A system message comes before them all.

    Example:
        >>> turns = draw_talk(np.random.default_rng(0), "train", chats=2, pictures=1)
        >>> len(turns) >= 3, sum(turn.scene is not None for turn in turns)
        (True, 1)
    """
    parts: list[Callable[[Talk], None]] = [
        *[Talk.chat] * chats,
        *[Talk.picture] * pictures,
        *[Talk.film] * films,
        *(partial(Talk.recording, number=number, line=line) for number, line in lines),
    ]
    talk = Talk(rng, split)
    if system:
        talk.begin_with(system)
    for i in rng.permutation(len(parts)):
        parts[i](talk)
    return talk.turns
