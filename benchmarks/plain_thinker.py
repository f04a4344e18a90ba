"""The Thinker with past in and present out, in operators that any converter knows."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from muomni_export.modules.decoder import rope_angles, rotate, split_heads


class PlainThinker(nn.Module):
    """Ids (B, T) and keys and values of every layer (B, KV, P, head) -> logits (B, V) and the longer keys and values.

    Attention is torch's; keys and values are repeated for their group of heads and grow by concatenation: what a
    converter makes of a Hugging Face model.
    """

    cosines: Tensor
    sines: Tensor

    def __init__(self, thinker: Any) -> None:
        super().__init__()
        self.thinker, self.sizes = thinker, thinker.sizes.decoder
        cosines, sines = rope_angles(thinker.sizes.context_length, self.sizes)
        self.register_buffer("cosines", cosines)
        self.register_buffer("sines", sines)

    def example(self, past: int = 3, step: int = 2) -> tuple[Tensor, ...]:
        """Inputs to trace with."""
        shape = (1, self.sizes.kv_heads, past, self.sizes.head_size)
        caches = [torch.zeros(shape) for _ in range(2 * self.sizes.layers)]
        return (torch.ones(1, step, dtype=torch.int64), *caches)

    def forward(self, ids: Tensor, *past: Tensor) -> tuple[Tensor, ...]:
        present: list[Tensor] = []
        seen, step = past[0].shape[2], ids.shape[1]
        positions = torch.arange(seen + step)
        mask = positions[None, :] <= positions[seen:, None]
        cosines, sines = self.cosines[positions[seen:]], self.sines[positions[seen:]]

        def attend(layer: int, query: Tensor, key: Tensor, value: Tensor, sizes: Any) -> Tensor:
            q = rotate(split_heads(query, sizes.heads), cosines, sines)
            k = rotate(split_heads(key, sizes.kv_heads), cosines, sines)
            k = torch.cat((past[2 * layer], k), dim=2)
            v = torch.cat((past[2 * layer + 1], split_heads(value, sizes.kv_heads)), dim=2)
            present.extend((k, v))
            group = sizes.heads // sizes.kv_heads
            k, v = repeat(k, group), repeat(v, group)
            return F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2).flatten(2)

        hidden = self.thinker.hidden(self.thinker.tok_emb(ids), attend)
        return (self.thinker.lm_head(hidden[:, -1]), *present)


def repeat(heads: Tensor, group: int) -> Tensor:
    """(B, KV, P, head) -> (B, KV·group, P, head), written as Hugging Face does: converters look for that."""
    batch, count, length, size = heads.shape
    return (
        heads[:, :, None]
        .expand(batch, count, group, length, size)
        .reshape(batch, count * group, length, size)
    )


class BeamThinker(PlainThinker):
    """With the rows of the past to go on from, int32 (B), as the second input.

    OpenVINO fuses attention with its cache only where it finds this look-up, which beam search needs.
    """

    def example(self, past: int = 3, step: int = 2) -> tuple[Tensor, ...]:
        ids, *caches = super().example(past, step)
        return (ids, torch.zeros(1, dtype=torch.int32), *caches)

    def forward(self, ids: Tensor, *rows_and_past: Tensor) -> tuple[Tensor, ...]:
        rows, *past = rows_and_past
        return super().forward(ids, *(cache.index_select(0, rows) for cache in past))
