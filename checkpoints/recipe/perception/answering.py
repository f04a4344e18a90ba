"""Stage three: the Thinker learns to answer, from text, pictures, films and speech together."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from sentencepiece import SentencePieceProcessor
from torch import Tensor

from recipe.pictures import film_frames, picture, pixels
from recipe.seeds import generator
from recipe.shards import PicturePool
from recipe.speech_pool import SpeechPool
from recipe.world.dialogue import conversation
from recipe.world.film import FILM_FRAMES, draw_film, film_turn
from recipe.world.lines import FOREIGN, NOTHING, Line
from recipe.world.phrasing import chance
from recipe.world.picture_talk import picture_turn
from recipe.world.scene import Scene
from recipe.world.spoken_prompts import answer_prompt, transcribe_prompt
from recipe.world.system_message import draw_system_message
from recipe.world.talks import draw_talk

from .hearing import LINES, LOOSE_WORDS, SpeechBatches, hearing_loss
from .model import Perception, half_precision
from .prompts import Exchange, reply_loss, tokens_of, with_slips
from .seeing import UNKNOWN_ONE_IN, centre_loss, picture_batch
from .talks import see_and_place, talk_loss
from .workers import count, rank, wait

LENGTH_GROUPS = 3
PARTS = ("chat", "picture", "film", "heard", "answered", "asked", "talk")
PARTS_OF_TWO = (("picture", "asked", "talk"), ("heard", "answered", "film", "chat"))
"""Of two workers, who take about the same time so."""
HEADS = {"vision": ("centre_head",), "audio": ("ctc_head", "sound_head")}
"""Of an encoder: what labels it in training alone."""
PICTURE_SHARDS = 28
"""To begin with: the first stage has made them."""
SPEECH_SHARDS, MAX_SPEECH_SHARDS, NEW_SPEECH_SHARD_EVERY = 40, 60, 200
"""To begin with, in the end, and steps. Ten uses of each of 20 shards were too many: 98 % of the pieces of their loose
words were written right, and 85 % of those of new recordings."""
SEEN_LABEL_WEIGHT, HEARD_LABEL_WEIGHT = 0.1, 0.3
"""Of the encoders' direct labels: they keep what the first stages taught."""
SLIPS = 0.1  # of a transcript's pieces
QUESTIONS_ON_A_PICTURE = (7, 11)
HARD_QUESTIONS = 0.5  # of them: places, relations and numbers take longest
VISION_LEARNS_EVERY = 2  # steps: its gradient is a third of the time of pictures
PICTURE_WEIGHT, SPOKEN_WEIGHT, CHAT_WEIGHT, TALK_WEIGHT = 16.0, 5.0, 2.0, 16.0
"""Of the losses of replies to typed questions on pictures, to spoken questions, to chats, and in talks. One piece in
six of a reply about a picture is not plain from the question, and updates of one size (Muon's, Adam's) follow the
largest gradient: unweighted, that of pictures had a twelfth of the norm of hearing's."""
TYPED_TALKS_ONE_IN, TYPED_CHATS, FILM_IN_TALK, SYSTEM_MESSAGE_IN_TALK = 3, (4, 20), 0.12, 0.45
LOOSE_WORDS_EVERY = 2  # steps whose recordings hold words without order, so that hearing does not guess


@dataclass(frozen=True)
class Mixture:
    """Samples of each kind in one step."""

    chats: int = 16
    talks: int = 16
    talks_recordings: int = 24
    pictures: int = 16
    films: int = 2
    recordings: int = 96
    spoken_questions: int = 16
    spoken_questions_on_pictures: int = 20


class Answering:
    """Batches and loss of the stage; encoders that are ``frozen`` (``vision``, ``audio``) do not learn."""

    def __init__(
        self,
        model: Perception,
        tokenizer: SentencePieceProcessor,
        pictures: PicturePool,
        speech: SpeechPool,
        mixture: Mixture = Mixture(),
        device: str = "cpu",
        frozen: Collection[str] = (),
        shards: int = MAX_SPEECH_SHARDS,
    ) -> None:
        for part in frozen:
            for name in (part, *HEADS[part]):
                getattr(model, name).requires_grad_(False)
        self.sees_to_learn, self.hears_to_learn = "vision" not in frozen, "audio" not in frozen
        self.first_shards = min(SPEECH_SHARDS, shards)
        self.model, self.tokenizer, self.pictures, self.mixture = model, tokenizer, pictures, mixture
        self.device, self.seed = device, pictures.seed
        batches = partial(SpeechBatches, speech, shards, NEW_SPEECH_SHARD_EVERY, self.first_shards)
        self.recordings = batches()
        # Words of lines, too: they are said three times as fast as words alone, and there are three times as many.
        self.loose_words = batches((*LOOSE_WORDS, *LINES), ("words", *LINES))
        self.questions = batches(("chat", NOTHING, FOREIGN))
        self.on_pictures = batches(("picture",))
        self.in_talks = batches((*LINES, NOTHING))

    def make_first_recordings(self) -> None:
        """The shards of speech that a first step draws from, where they are missing; the workers take turns."""
        for k in range(rank(), self.first_shards, count()):
            self.recordings.pool.shard(k)
        wait()

    def loss(self, step: int) -> tuple[Tensor, dict[str, float]]:
        """The parts of this worker (all of them where there is one)."""
        shared = PARTS if count() == 1 else PARTS_OF_TWO[rank()]
        makers = {
            "chat": self._chat,
            "picture": self._pictures,
            "film": self._films,
            "heard": self._recordings,
            "answered": self._spoken_questions,
            "asked": self._spoken_questions_on_pictures,
            "talk": self._talks,
        }
        losses = []
        figures: dict[str, float] = {}
        for name in shared:
            rng = generator("train", self.seed, f"answering {name}", step)
            # One by one: a weight's half, made where nothing is learned, would be used where it is.
            with half_precision(self.device):
                loss, right = makers[name](rng, step)
            losses.append(loss)
            figures |= {name: float(loss.detach()), f"{name}_right": right}
        return torch.stack(losses).sum(), figures

    def _reply_loss(
        self,
        media: Tensor | None,
        conversations: list[list[Exchange]],
        slips: np.random.Generator | None = None,
    ) -> tuple[Tensor, float]:
        """With ``slips`` some of a reply's own pieces are wrong where the next one is to be predicted."""
        room = self.model.sizes.thinker.context_length - (0 if media is None else media.shape[1])
        tokens = tokens_of(conversations, self.tokenizer, room)
        if slips is not None:
            tokens = with_slips(tokens, SLIPS, self.model.sizes.thinker.vocabulary, slips)
        return reply_loss(self.model, media, tokens)

    def _chat(self, rng: np.random.Generator, step: int) -> tuple[Tensor, float]:
        talks_in_all = self.mixture.chats
        indices = range(step * talks_in_all, (step + 1) * talks_in_all)
        talks = [conversation("train", self.seed, index) for index in indices]
        exchanges = [[(t.question, t.reply) for t in talk] for talk in talks]
        exchanges.sort(key=lambda turns: sum(len(q) + len(r) for q, r in turns))
        # Short and long ones apart: in one batch two positions in three would be padding.
        size = -(-talks_in_all // LENGTH_GROUPS)
        groups = [self._reply_loss(None, exchanges[i : i + size]) for i in range(0, talks_in_all, size)]
        right = sum(right for _, right in groups) / len(groups)
        return CHAT_WEIGHT * torch.stack([loss for loss, _ in groups]).mean(), right

    def _pictures(self, rng: np.random.Generator, step: int) -> tuple[Tensor, float]:
        """Several questions on each picture, in one conversation: the picture is encoded once."""
        count = self.mixture.pictures
        images, scenes = picture_batch(
            self.pictures, rng, step, count, PICTURE_SHARDS, unknown=count // UNKNOWN_ONE_IN
        )
        media, grid = self.model.see(
            images.to(self.device), learn=self.sees_to_learn and step % VISION_LEARNS_EVERY == 0
        )
        loss, right = self._reply_loss(media, [questions_on(scene, rng) for scene in scenes])
        loss = PICTURE_WEIGHT * loss
        if self.sees_to_learn:
            loss = loss + SEEN_LABEL_WEIGHT * centre_loss(self.model, grid.float(), scenes)[0]
        return loss, right

    def _films(self, rng: np.random.Generator, step: int) -> tuple[Tensor, float]:
        side = self.model.sizes.vision.image_size
        frames, talks = [], []
        for index in range(step * self.mixture.films, (step + 1) * self.mixture.films):
            rng = generator("train", self.seed, "film", index)  # a film is the same in any batch
            film = draw_film(rng, FILM_FRAMES)
            frames += [pixels(image, side) for image in film_frames(film.frames, rng)]
            turns = [film_turn(film, rng, "train") for _ in range(int(rng.integers(1, 6)))]
            talks.append([(t.question, t.reply) for t in turns])
        # The vision encoder learns from pictures; its gradient would be half of this part's time.
        media, _ = self.model.see(torch.from_numpy(np.stack(frames)).to(self.device), learn=False)
        return self._reply_loss(media.unflatten(0, (-1, FILM_FRAMES)).flatten(1, 2), talks)

    def _recordings(self, rng: np.random.Generator, step: int) -> tuple[Tensor, float]:
        source = self.loose_words if step % LOOSE_WORDS_EVERY == 0 else self.recordings
        batch = source.draw(rng, step, self.mixture.recordings)
        media, features = self.model.hear(batch.mel.to(self.device), self.hears_to_learn)
        talks = [exchanges_on(line, rng) for line in batch.lines]
        loss, right = self._reply_loss(media, talks, rng)
        if self.hears_to_learn:
            loss = loss + HEARD_LABEL_WEIGHT * hearing_loss(self.model, self.tokenizer, features, batch)[0]
        return loss, right

    def _spoken_questions(self, rng: np.random.Generator, step: int) -> tuple[Tensor, float]:
        batch = self.questions.draw(rng, step, self.mixture.spoken_questions)
        media, _ = self.model.hear(batch.mel.to(self.device), self.hears_to_learn)
        loss, right = self._reply_loss(media, [[answered(line, rng)] for line in batch.lines])
        return SPOKEN_WEIGHT * loss, right

    def _spoken_questions_on_pictures(self, rng: np.random.Generator, step: int) -> tuple[Tensor, float]:
        """A picture and a spoken question about it."""
        batch = self.on_pictures.draw(rng, step, self.mixture.spoken_questions_on_pictures)
        lines = batch.lines
        side = self.model.sizes.vision.image_size
        drawn = [pixels(picture(line.scene, rng), side) for line in lines if line.scene]
        seen, _ = self.model.see(torch.from_numpy(np.stack(drawn)).to(self.device), learn=False)
        heard, _ = self.model.hear(batch.mel.to(self.device), self.hears_to_learn)
        talks: list[list[Exchange]] = [
            [written(line, rng) if chance(rng, 0.15) else answered(line, rng)] for line in lines
        ]
        loss, right = self._reply_loss(torch.cat((seen, heard), dim=1), talks)
        return SPOKEN_WEIGHT * loss, right

    def _talks(self, rng: np.random.Generator, step: int) -> tuple[Tensor, float]:
        """Many turns of all kinds: one in three typed alone, the others with what is shown and said between.

        Some come after a system message.
        """
        batch = self.in_talks.draw(rng, step, self.mixture.talks_recordings)
        heard, _ = self.model.hear(batch.mel.to(self.device), learn=False)
        typed = self.mixture.talks // TYPED_TALKS_ONE_IN
        others = self.mixture.talks - typed
        talk = partial(draw_talk, rng, "train")
        told = [
            draw_system_message(rng, "train") if chance(rng, SYSTEM_MESSAGE_IN_TALK) else None
            for _ in range(self.mixture.talks)
        ]
        talks = [talk(chats=int(rng.integers(*TYPED_CHATS)), system=told[i]) for i in range(typed)]
        for i in range(others):
            films = int(chance(rng, FILM_IN_TALK))
            talks.append(
                talk(
                    system=told[typed + i],
                    chats=int(rng.integers(1, 5)),
                    pictures=int(rng.integers(0, 3 - films)),
                    films=films,
                    lines=list(enumerate(batch.lines))[i::others],
                )
            )
        loss, right = talk_loss(self.model, see_and_place(self.model, self.tokenizer, talks, heard, rng))
        return TALK_WEIGHT * loss, right


def questions_on(scene: Scene, rng: np.random.Generator) -> list[Exchange]:
    """Several questions about a scene, one in eight for the description (after which the others are easy)."""
    turns = []
    for _ in range(int(rng.integers(*QUESTIONS_ON_A_PICTURE))):
        turn = picture_turn(scene, rng, "train", chance(rng, 0.12), hard=chance(rng, HARD_QUESTIONS))
        turns.append((turn.question, turn.reply))
    return turns


def exchanges_on(line: Line, rng: np.random.Generator) -> list[Exchange]:
    """Write down, and sometimes answer then; questions about pictures cannot be answered without one."""
    transcript = written(line, rng)
    return [transcript, answered(line, rng)] if line.kind == "chat" and chance(rng, 0.3) else [transcript]


def written(line: Line, rng: np.random.Generator) -> Exchange:
    return transcribe_prompt(rng, "train"), line.written


def answered(line: Line, rng: np.random.Generator) -> Exchange:
    return answer_prompt(rng, "train"), line.reply
