"""The text pieces: SentencePiece BPE trained on the world's own text."""

from __future__ import annotations

import io
import string
from collections.abc import Iterator
from pathlib import Path

import sentencepiece

from .seeds import generator
from .world.dialogue import conversation
from .world.film import draw_film, film_turn
from .world.lines import NOTHING_REPLIES, spoken_line, spoken_vocabulary
from .world.phrasing import chance
from .world.picture_talk import NOTHING_SEEN, picture_turn
from .world.scene import draw_scene

VOCABULARY_SIZE = 1500
UNKNOWN, BOS, EOS = 0, 1, 2  # the reference's ids
SOURCE_SAMPLES = 30_000
WORD_REPEATS = 60  # of each spoken word, so that rare ones are whole pieces too


def world_text(samples: int) -> Iterator[str]:
    """Questions, replies and transcripts of training, one a line."""
    for word in spoken_vocabulary():
        yield from (word,) * WORD_REPEATS
    for reply in (*NOTHING_REPLIES.values(), NOTHING_SEEN):
        yield from (reply,) * WORD_REPEATS
    for index in range(samples):
        for turn in conversation("train", 0, index):
            yield turn.question
            yield turn.reply
        rng = generator("train", 0, "tokenizer", index)
        scene = draw_scene(rng)
        turn = picture_turn(scene, rng, "train", description=chance(rng, 0.3))
        yield turn.question
        yield turn.reply
        if index % 4 == 0:
            film = film_turn(draw_film(rng, 2), rng, "train")
            yield film.question
            yield film.reply
        yield spoken_line("train", 0, index).transcript


def train_tokenizer(path: Path, samples: int = SOURCE_SAMPLES) -> None:
    """Write a tokenizer model. Every printable ASCII character has a piece, so any English text is encodable."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=world_text(samples),
        model_writer=model,
        model_type="bpe",
        vocab_size=VOCABULARY_SIZE,
        character_coverage=1.0,
        required_chars="".join(c for c in string.printable if c.isprintable() and c != " "),
        split_digits=True,
        unk_id=UNKNOWN,
        bos_id=BOS,
        eos_id=EOS,
        pad_id=-1,
        num_threads=1,
        minloglevel=2,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_bytes(model.getvalue())
    partial.replace(path)


def load_tokenizer(path: Path) -> sentencepiece.SentencePieceProcessor:
    """The tokenizer at ``path``, trained first if it is not there."""
    if not path.exists():
        train_tokenizer(path)
    return sentencepiece.SentencePieceProcessor(model_file=str(path))
