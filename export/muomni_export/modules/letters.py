"""Letters to sounds: a small bidirectional transformer over one word and a little of its neighbours.

Each letter of the word has some slots for sounds (or nothing); what the letters mean and how the slots are read is
in :mod:`muomni.spelling`.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F

from .decoder import Block, DecoderSizes, RMSNorm, rope_angles, rotate, split_heads


@dataclass(frozen=True)
class LettersSizes:
    decoder: DecoderSizes
    letters: int
    """Numbers of letters, padding included."""
    slots: int
    """Sounds that a letter can have at most."""
    symbols: int
    """Sounds, with the blank."""


class FullAttend:
    """Attention to both sides; ``real`` (B, T) says which positions are no padding (None: all)."""

    def __init__(self, real: Tensor | None = None) -> None:
        self.mask = None if real is None else real[:, None, None, :]

    def __call__(self, layer: int, query: Tensor, key: Tensor, value: Tensor, sizes: DecoderSizes) -> Tensor:
        cosines, sines = (a.to(query) for a in rope_angles(query.shape[1], sizes))
        q = rotate(split_heads(query, sizes.heads), cosines, sines)
        k = rotate(split_heads(key, sizes.kv_heads), cosines, sines)
        v = split_heads(value, sizes.kv_heads)
        out = F.scaled_dot_product_attention(
            q, k, v, attn_mask=self.mask, enable_gqa=sizes.kv_heads != sizes.heads
        )
        return out.transpose(1, 2).flatten(2)


class LettersToSounds(nn.Module):
    """Decoder blocks that look both ways."""

    def __init__(self, sizes: LettersSizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.emb = nn.Embedding(sizes.letters, sizes.decoder.width)
        self.blocks = nn.ModuleList(Block(sizes.decoder) for _ in range(sizes.decoder.layers))
        self.norm = RMSNorm(sizes.decoder.width)
        self.symbol_head = nn.Linear(sizes.decoder.width, sizes.slots * sizes.symbols)

    def forward(self, letters: Tensor, real: Tensor | None = None) -> Tensor:
        """Letters (B, L) of one word's window each -> logits of each letter's slots (B, L, slots, symbols)."""
        attend = FullAttend(real)
        x = self.emb(letters)
        for layer, block in enumerate(self.blocks):
            x = block(x, layer, attend)
        out: Tensor = self.symbol_head(self.norm(x))
        return out.reshape(*letters.shape, self.sizes.slots, self.sizes.symbols)
