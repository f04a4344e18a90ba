"""Sequences of training and of inference: media embeddings, then ``bos question reply eos`` for each turn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from sentencepiece import SentencePieceProcessor
from torch import Tensor
from torch.nn import functional as F

from recipe.tokenizer import BOS, EOS

from .model import Perception

IGNORED = -100
LENGTH_STEP = 16
"""Batches are padded to multiples of this: oneDNN compiles its kernels anew for every shape."""


@dataclass(frozen=True)
class Tokens:
    """Ids (B, T) padded on the right, and for each position the id to predict next (or IGNORED)."""

    ids: Tensor
    targets: Tensor


Exchange = tuple[str, str]
"""A question and its reply."""


def tokens_of(
    conversations: Sequence[Sequence[Exchange]], tokenizer: SentencePieceProcessor, limit: int
) -> Tokens:
    """Only replies and their ``eos`` are learned. Turns that do not fit ``limit`` positions are left out."""
    rows, learned = [], []
    for turns in conversations:
        ids: list[int] = []
        mask: list[bool] = []
        for question, reply in turns:
            asked, said = [BOS, *tokenizer.encode(question)], [*tokenizer.encode(reply), EOS]
            if ids and len(ids) + len(asked) + len(said) > limit:
                break
            ids += asked + said
            mask += [False] * len(asked) + [True] * len(said)
        rows.append(ids[:limit])
        learned.append(mask[:limit])
    return padded(rows, learned, limit)


def padded(rows: Sequence[Sequence[int]], learned: Sequence[Sequence[bool]], limit: int) -> Tokens:
    """Rows of one length, at most ``limit``; only what is marked as ``learned`` is to be predicted."""
    longest = min(-(-max(len(r) for r in rows) // LENGTH_STEP) * LENGTH_STEP, limit)
    ids_of = torch.full((len(rows), longest), EOS)
    targets = torch.full((len(rows), longest), IGNORED)
    for i, (ids, mask) in enumerate(zip(rows, learned, strict=True)):
        row = torch.tensor(ids)
        ids_of[i, : len(ids)] = row
        targets[i, : len(ids) - 1] = torch.where(torch.tensor(mask[1:]), row[1:], IGNORED)
    return Tokens(ids_of, targets)


def with_slips(tokens: Tokens, share: float, vocabulary: int, rng: np.random.Generator) -> Tokens:
    """Wrong pieces in the place of a ``share`` of those replied; what is to be predicted stays right.

    A reply that could be continued from its beginning alone must then be read off the media.
    """
    replied = torch.zeros_like(tokens.ids, dtype=torch.bool)
    replied[:, 1:] = tokens.targets[:, :-1] != IGNORED
    replied &= tokens.ids != EOS
    slipped = replied & torch.from_numpy(rng.random(tokens.ids.shape) < share)
    wrong = torch.from_numpy(rng.integers(EOS + 1, vocabulary, tokens.ids.shape))
    return Tokens(torch.where(slipped, wrong, tokens.ids), tokens.targets)


def reply_loss(model: Perception, media: Tensor | None, tokens: Tokens) -> tuple[Tensor, float]:
    """Mean cross-entropy of the pieces of the replies, and the part of replies' pieces predicted right."""
    ids = tokens.ids.to(model.proj_v.weight.device)
    x = model.thinker.tok_emb(ids)
    if media is not None:
        x = torch.cat((media.to(x.dtype), x), dim=1)
    return prediction_loss(model, model.thinker.hidden(x)[:, x.shape[1] - ids.shape[1] :], tokens.targets)


def prediction_loss(model: Perception, hidden: Tensor, targets: Tensor) -> tuple[Tensor, float]:
    """Of what the Thinker's last layer (B, T, D) says of the targets (B, T)."""
    targets = targets.to(hidden.device)
    wanted = targets != IGNORED
    logits = model.thinker.lm_head(hidden[wanted]).float()
    right = float((logits.detach().argmax(-1) == targets[wanted]).float().mean())
    return F.cross_entropy(logits, targets[wanted]), right
