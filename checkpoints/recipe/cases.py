"""Test cases by ability: what the model is given and the right reply, from a seed space training never uses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from . import festival_voices, svg_pictures
from .heard import at_some_level, nothing
from .held_out_voices import HeldOutVoices, Voice
from .pictures import film_frames, picture
from .seeds import Split, generator
from .sound import in_a_room, with_noise
from .transmission import by_telephone
from .unknown_pictures import drawn, unknown_picture
from .voices import SAMPLE_RATE_HZ, Readers, draw_reader, foreign_reader
from .world.dialogue import conversation
from .world.film import FILM_FRAMES, draw_film, film_turn
from .world.foreign import foreign_text
from .world.lines import FOREIGN, NOTHING, NOTHING_REPLIES, Line, listed_words, single_word, spoken_line
from .world.phrasing import chance
from .world.picture_talk import picture_turn
from .world.scene import NO_SCENE, Scene, draw_scene
from .world.spoken_prompts import answer_prompt, transcribe_prompt
from .world.system_message import draw_system_message
from .world.talks import TalkTurn, draw_talk

AUDIO_RATE_HZ = SAMPLE_RATE_HZ
SILENCE_S = 0.2


Draw = Callable[[Scene, np.random.Generator], Image.Image]


@dataclass(frozen=True)
class Case:
    """What is given and what must come back.

    ``turns`` are the user's texts in order, in one conversation; media belong to the first. Only the reply to the
    last is scored, against ``expected``: exactly (but for capitals and punctuation), by its word errors, or as
    ``said``: right is any reply but those of :data:`NOTHING_REPLIES`. ``also`` has other right replies. ``before`` are
    cases of the same conversation that came before, whose replies are not scored. ``system`` is a system message.
    """

    ability: str
    kind: str
    turns: tuple[str, ...]
    expected: str
    image: Image.Image | None = None
    audio: NDArray[np.float32] | None = None
    video: tuple[Image.Image, ...] | None = None
    measure: Literal["exact", "words", "said"] = "exact"
    also: tuple[str, ...] = ()
    before: tuple[Case, ...] = ()
    system: str = ""


class CaseMaker:
    """Makes cases of a split and seed; case ``index`` does not depend on the others."""

    def __init__(self, split: Split, seed: int) -> None:
        self.split, self.seed = split, seed

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
        film = draw_film(rng, FILM_FRAMES)
        turn = film_turn(film, rng, self.split)
        return Case(
            "video", turn.kind, (turn.question,), turn.reply, video=tuple(film_frames(film.frames, rng))
        )

    def heard(self, index: int, unseen: bool) -> Case:
        """Transcription of any line; ``unseen`` voices are never trained on."""
        name = "hearing, voices unseen" if unseen else "hearing, voices seen"
        rng = generator(self.split, self.seed, name, index)
        line = spoken_line(self.split, self.seed, index)
        return self._transcription(name, line, self._read(line.text, rng, unseen), rng)

    def heard_from_festival(self, index: int) -> Case:
        name = "hearing, another synthesizer"
        rng = generator(self.split, self.seed, name, index)
        line = spoken_line(self.split, self.seed, index)
        samples = festival_voices.festival_reading(line.text, rng)
        return self._transcription(name, line, with_noise(in_a_room(samples, rng), rng), rng)

    def heard_from(self, index: int, voice: Voice, telephone: bool) -> Case:
        """Transcription of any line in a neural voice that training never hears."""
        name = f"hearing, {voice}{', by telephone' if telephone else ''}"
        rng = generator(self.split, self.seed, name, index)
        line = spoken_line(self.split, self.seed, index)
        return self._transcription(name, line, self._held_out_reading(line.text, voice, telephone, rng), rng)

    def single_word(self, index: int, voice: Voice, telephone: bool) -> Case:
        name = f"single words, {voice}{', by telephone' if telephone else ''}"
        rng = generator(self.split, self.seed, name, index)
        line = Line("word", single_word(rng))
        audio = self._held_out_reading(line.text, voice, telephone, rng)
        return replace(self._transcription(name, line, audio, rng), measure="exact")

    def listed_word(self, index: int, telephone: bool) -> Case:
        """A number, day or month said by joe with nothing beside it, each in turn."""
        name = f"listed words, joe{', by telephone' if telephone else ''}"
        rng = generator(self.split, self.seed, name, index)
        words = listed_words()
        line = Line("word", words[index % len(words)])
        audio = self._held_out_voices.read(line.text, "joe", rng)
        if telephone:
            audio = by_telephone(audio, rng)
        audio = np.pad(audio, round(SILENCE_S * SAMPLE_RATE_HZ))
        return replace(self._transcription(name, line, audio, rng), measure="exact")

    def spoken_question_by(self, index: int, voice: Voice) -> Case:
        """A spoken question as :meth:`spoken_question` asks it, in a neural voice that training never hears."""
        name = f"spoken question, {voice}"
        rng = generator(self.split, self.seed, name, index)
        return self._question(name, rng, lambda text: self._held_out_reading(text, voice, False, rng))

    def nothing_heard(self, index: int) -> Case:
        """Silence, noise and music, by instruments that training never hears, and languages that it never hears."""
        rng = generator(self.split, self.seed, "nothing heard", index)
        if index % 4 == 3:
            language, text = foreign_text(rng, self.split)
            reader = foreign_reader(language, rng)
            audio, kind = with_noise(in_a_room(self._synthesizers.read(text, reader), rng), rng), FOREIGN
        else:
            audio, kind = nothing(rng, held_out=True), NOTHING
        prompt = (transcribe_prompt if index % 2 else answer_prompt)(rng, self.split)
        replies = tuple(NOTHING_REPLIES.values())
        return Case("nothing heard", kind, (prompt,), NOTHING_REPLIES[kind], audio=audio, also=replies)

    def speech_heard(self, index: int) -> Case:
        """Speech of any voice: is it taken for nothing?"""
        voice: Voice = "joe" if index % 2 else "held-out blends"
        if index % 4 < 2:
            case = self.heard_from(index, voice, telephone=index % 8 < 4)
        else:
            case = self.single_word(index, voice, telephone=index % 8 < 4)
        return replace(case, ability="speech taken for something", measure="said")

    def nothing_seen(self, index: int, photographs: bool) -> Case:
        """A blank picture or noise, or what looks like a photograph."""
        name = "nothing seen, photographs" if photographs else "nothing seen"
        rng = generator(self.split, self.seed, name, index)
        while True:
            image, kind = unknown_picture(rng, held_out=True)
            if (kind == "photograph") == photographs:
                break
        turn = picture_turn(NO_SCENE, rng, self.split, description=True)
        return Case(name, kind, (turn.question,), turn.reply, image=image)

    def in_a_long_chat(self, index: int) -> Case:
        """A typed question after two to nine others with their follow-ups."""
        name = "conversation, typed"
        rng = generator(self.split, self.seed, name, index)
        turns = draw_talk(rng, self.split, chats=int(rng.integers(3, 11)))
        return Case(name, turns[-1].kind, tuple(t.question for t in turns), turns[-1].reply)

    def after_a_system_message(self, index: int) -> Case:
        """A name that a system message tells is asked for; every other case asks anything, which may not change."""
        name = "after a system message"
        rng = generator(self.split, self.seed, name, index)
        turns: list[TalkTurn] = []
        while not turns:
            system = draw_system_message(rng, self.split)
            _, *turns = draw_talk(rng, self.split, chats=index % 2, system=system)
        questions = tuple(turn.question for turn in turns)
        return Case(name, turns[-1].kind, questions, turns[-1].reply, system=system.text)

    def in_a_talk(self, index: int) -> Case:
        """A question after others, typed ones, ones that joe says, and ones on pictures, with a film now and then."""
        name = "conversation, pictures and joe"
        rng = generator(self.split, self.seed, name, index)
        numbers = [int(rng.integers(2**40)) for _ in range(int(rng.integers(1, 3)))]
        lines = [spoken_line(self.split, self.seed + 1, number, loose_words=0.0) for number in numbers]
        media = {"pictures": int(rng.integers(1, 3)), "films": int(chance(rng, 0.1))}
        turns = draw_talk(
            rng, self.split, chats=int(rng.integers(1, 4)), lines=list(enumerate(lines)), **media
        )
        *before, last = [self._in_talk(name, turn, lines, rng) for turn in turns]
        return replace(last, before=tuple(before))

    def _in_talk(self, name: str, turn: TalkTurn, lines: list[Line], rng: np.random.Generator) -> Case:
        case = Case(name, turn.kind, (turn.question,), turn.reply)
        if turn.recording is not None:
            text = lines[turn.recording].text
            case = replace(case, audio=self._held_out_reading(text, "joe", False, rng))
        if turn.film:
            case = replace(case, video=tuple(film_frames(turn.film.frames, rng)))
        if turn.scene:
            case = replace(case, image=drawn(turn.scene, rng))
        return case

    def _held_out_reading(
        self, text: str, voice: Voice, telephone: bool, rng: np.random.Generator
    ) -> NDArray[np.float32]:
        audio = with_noise(in_a_room(self._held_out_voices.read(text, voice, rng), rng), rng)
        return at_some_level(by_telephone(audio, rng) if telephone else audio, rng)

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
        unseen = index % 2 == 1
        return self._question("spoken question", rng, lambda text: self._read(text, rng, unseen))

    def _question(
        self, name: str, rng: np.random.Generator, read: Callable[[str], NDArray[np.float32]]
    ) -> Case:
        while True:
            line = spoken_line(self.split, self.seed + 1, int(rng.integers(2**40)))
            if line.reply:
                break
        image = picture(line.scene, rng) if line.scene else None
        audio = read(line.text)
        prompt = answer_prompt(rng, self.split)
        return Case(name, line.kind, (prompt,), line.reply, image=image, audio=audio)

    def _read(self, text: str, rng: np.random.Generator, unseen: bool) -> NDArray[np.float32]:
        reader = draw_reader(rng, unseen)
        return with_noise(in_a_room(self._synthesizers.read(text, reader), rng), rng)

    @cached_property
    def _held_out_voices(self) -> HeldOutVoices:
        return HeldOutVoices()

    @cached_property
    def _synthesizers(self) -> Readers:
        return Readers()
