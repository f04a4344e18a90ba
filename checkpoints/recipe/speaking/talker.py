"""Training the Talker on codes, sounds and durations."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from muomni_export.modules.decoder import DecoderSizes
from muomni_export.modules.talker import PADDING, TalkerSizes, TextSizes, TextTalker

from .corpus import Corpus, collate
from .mel import SPEC
from .state import Run

LEARNING_RATE = 1.5e-3
FRAMES_PER_BATCH = 2048
DROPOUT = 0.1
"""Of what each block adds, and of what the base code says of the other, while it trains."""
MOST_NOISE = 0.5
"""Up to this share of the previous codes a sentence is replaced by random ones, so that the Talker learns to come
back from its own mistakes and to trust the text more than its past."""
LOG_EVERY = 100


def sizes(sounds: int, codebook_size: int) -> TalkerSizes:
    """4.1 million parameters with codebooks of 1024, of which a frame computes 2.5."""
    decoder = DecoderSizes(width=192, layers=4, heads=6, kv_heads=3, hidden=512)
    return TalkerSizes(decoder, codebook_size, SPEC.frame_rate_hz, TextSizes(sounds))


def from_config(config: dict[str, Any]) -> TextTalker:
    """The Talker that a saved config describes."""
    text = dict(config["text"])
    text["dilations"] = tuple(text["dilations"])
    decoder = DecoderSizes(**config["decoder"])
    return TextTalker(
        TalkerSizes(decoder, config["codebook_size"], config["frame_rate_hz"], TextSizes(**text))
    )


def pointers(frames: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Frames of each sound (B, S) -> for each frame (B, T): its sound, how long that has lasted, is it the last.

    Frames after the end of a sentence point at its last column; they are not learned from.
    """
    ends = frames.cumsum(dim=1)
    time_ = torch.arange(int(ends[:, -1].max()))[None].expand(len(frames), -1).contiguous()
    pointer = torch.searchsorted(ends, time_, right=True).clamp(max=frames.shape[1] - 1)
    end = ends.gather(1, pointer)
    elapsed = (time_ - (end - frames.gather(1, pointer))).clamp(min=0)
    return pointer, elapsed, time_ + 1 == end


def drop_out(talker: TextTalker) -> None:
    """From now on, lose a share of what each block adds, whenever the Talker is in training mode."""

    def drop(module: nn.Module, _: object, added: Tensor) -> Tensor:
        return F.dropout(added, DROPOUT, module.training)

    for block in talker.blocks:
        block.attn.register_forward_hook(drop)
        block.feed_forward.register_forward_hook(drop)
    talker.base_to_res.register_forward_hook(drop)


def pad_sounds(sounds: Tensor, reach: int) -> Tensor:
    return F.pad(sounds, (reach, reach), value=PADDING)


def losses(
    talker: TextTalker,
    codes: Tensor,
    sounds: Tensor,
    frames: Tensor,
    most_noise: float = 0.0,
) -> dict[str, Tensor]:
    """Cross entropies a frame, in nats; up to ``most_noise`` of the codes before are others, by torch's generator."""
    text = talker.sizes.text
    assert text is not None
    pointer, elapsed, last = pointers(frames)
    vectors = talker.context(pad_sounds(sounds, text.reach))
    at_pointer = vectors.gather(1, pointer[..., None].expand(-1, -1, vectors.shape[-1]))
    before = codes[:, :-1].clamp(min=0)
    if most_noise:
        noisy = torch.rand(before.shape) < torch.rand(len(codes), 1, 1) * most_noise
        random = torch.randint(talker.sizes.codebook_size, before.shape)
        before = torch.where(noisy, random, before)
    base, residual, advance = talker.predict(talker.embed_at_pointer(before, at_pointer, elapsed))
    real = codes[..., 0] >= 0
    target = codes[real]
    residual_logits = residual[real].float() + talker.base_to_res(target[:, 0]).float()
    return {
        "base": F.cross_entropy(base[real].float(), target[:, 0]),
        "residual": F.cross_entropy(residual_logits, target[:, 1]),
        "advance": F.binary_cross_entropy_with_logits(advance[real].float(), last[real].float()),
    }


@torch.no_grad()
def evaluate(talker: TextTalker, corpus: Corpus, frames: int = 20_000) -> dict[str, float]:
    """Losses on the first sentences of a corpus, without noise."""
    items: list[int] = []
    total = 0
    while total < frames and len(items) < len(corpus):
        total += int(corpus.lengths[len(items)])
        items.append(len(items))
    batches = [
        losses(talker, *collate([corpus[i] for i in items[j : j + 16]])) for j in range(0, len(items), 16)
    ]
    return {f"dev_{k}": round(float(torch.stack([b[k] for b in batches]).mean()), 4) for k in batches[0]}


def train(folder: Path, sounds: int, codebook_size: int, steps: int, seed: int = 0) -> None:
    """Train, or go on, up to so many steps."""
    torch.manual_seed(seed)
    talker = TextTalker(sizes(sounds, codebook_size))
    run = Run(folder / "talker.pt", talker, LEARNING_RATE, steps, asdict(talker.sizes))
    run.stop_when_asked()
    drop_out(talker)
    corpus, dev = Corpus(folder / "corpus", "train"), Corpus(folder / "corpus", "dev")
    batches = corpus.batches(seed=seed + run.step, frames=FRAMES_PER_BATCH)
    began, heard = time.monotonic(), 0
    while run.step < steps:
        examples = [corpus[i] for i in next(batches)]
        codes, sound_ids, frames = collate(examples)
        torch.manual_seed(seed * 1_000_003 + run.step)  # noise and dropout: a resumed run has the same
        with torch.autocast("cpu", torch.bfloat16):
            parts = losses(talker, codes, sound_ids, frames, MOST_NOISE)
        run.update(parts["base"] + parts["residual"] + 2 * parts["advance"])
        heard += int((codes[..., 0] >= 0).sum())
        if run.step % LOG_EVERY == 0:
            values = {k: round(v.item(), 4) for k, v in parts.items()}
            rate = round(heard / (time.monotonic() - began))
            if run.step % (5 * LOG_EVERY) == 0:
                averaged = TextTalker(talker.sizes)
                averaged.load_state_dict(run.average.weights)
                values |= evaluate(averaged, dev)
            run.log(**values, frames_per_s=rate)
    run.save()
