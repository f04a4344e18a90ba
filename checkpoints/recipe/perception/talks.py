"""Sequences of talks of many turns: each turn is what is shown and heard with it, then ``bos question reply eos``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from sentencepiece import SentencePieceProcessor
from torch import Tensor

from recipe.pictures import film_frames, pixels
from recipe.tokenizer import BOS, EOS
from recipe.unknown_pictures import drawn
from recipe.world.talks import TalkTurn

from .model import Perception
from .prompts import Tokens, padded, prediction_loss


@dataclass(frozen=True)
class Placed:
    """Tokens, and which of their positions (B, T) are taken by rows of ``media`` (N, D), in order."""

    tokens: Tokens
    taken: Tensor
    media: Tensor


def shown(turn: TalkTurn, rng: np.random.Generator) -> list[Image.Image]:
    """What is seen with a turn: nothing, a picture, or the frames of a film."""
    if turn.film:
        return film_frames(turn.film.frames, rng)
    return [drawn(turn.scene, rng)] if turn.scene else []


def see_and_place(
    model: Perception,
    tokenizer: SentencePieceProcessor,
    talks: Sequence[Sequence[TalkTurn]],
    heard: Tensor,
    rng: np.random.Generator,
) -> Placed:
    """Draw and encode what talks show, and lay everything out.

    Turns that no longer fit the context are left out. The encoders do not learn here: each picture and recording comes
    with one or two questions, and other batches have more for the same time.

    Args:
        heard: embeddings of the recordings (R, E, D).
    """
    side = model.sizes.vision.image_size
    images = [[shown(turn, rng) for turn in talk] for talk in talks]
    flat = [pixels(image, side) for talk in images for of_turn in talk for image in of_turn]
    seen = iter(model.see(torch.from_numpy(np.stack(flat)).to(heard.device), learn=False)[0] if flat else ())
    media = [
        [
            [*(next(seen) for _ in of_turn), *([] if turn.recording is None else [heard[turn.recording]])]
            for turn, of_turn in zip(talk, of_talk, strict=True)
        ]
        for talk, of_talk in zip(talks, images, strict=True)
    ]
    return placed(talks, media, tokenizer, model.sizes.thinker.context_length)


def placed(
    talks: Sequence[Sequence[TalkTurn]],
    media: Sequence[Sequence[Sequence[Tensor]]],
    tokenizer: SentencePieceProcessor,
    limit: int,
) -> Placed:
    """Lay out talks with the embeddings (E, D) of each turn's media; turns beyond ``limit`` positions are left out."""
    rows: list[list[int]] = []
    learned: list[list[bool]] = []
    taken: list[list[bool]] = []
    kept: list[Tensor] = []
    for talk, media_of_talk in zip(talks, media, strict=True):
        ids: list[int] = []
        replied: list[bool] = []
        filled: list[bool] = []
        for turn, embeddings in zip(talk, media_of_talk, strict=True):
            before = sum(map(len, embeddings))
            asked, said = [BOS, *tokenizer.encode(turn.question)], [*tokenizer.encode(turn.reply), EOS]
            if len(ids) + before + len(asked) + len(said) > limit:
                break
            is_replied = bool(turn.reply)  # a system message is not, and ends where a reply would
            ids += [EOS] * before + asked + said  # what stands in the place of media is replaced
            replied += [False] * (before + len(asked)) + [is_replied] * len(said)
            filled += [True] * before + [False] * (len(asked) + len(said))
            kept += embeddings
        rows.append(ids)
        learned.append(replied)
        taken.append(filled)
    tokens = padded(rows, learned, limit)
    places = torch.zeros_like(tokens.ids, dtype=torch.bool)
    for i, filled in enumerate(taken):
        places[i, : len(filled)] = torch.tensor(filled)
    return Placed(tokens, places, torch.cat(kept) if kept else torch.zeros(0))


def talk_loss(model: Perception, talks: Placed) -> tuple[Tensor, float]:
    """As :func:`recipe.perception.prompts.reply_loss`, with media in any turn."""
    device = model.proj_v.weight.device
    x = model.thinker.tok_emb(talks.tokens.ids.to(device))
    if len(talks.media):
        rows, columns = talks.taken.to(device).nonzero(as_tuple=True)
        x = x.index_put((rows, columns), talks.media.to(x.dtype))
    return prediction_loss(model, model.thinker.hidden(x), talks.tokens.targets)
