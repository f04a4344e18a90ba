"""OCR: a vision encoder of its own, and a decoder of characters that looks at its patches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .decoder import Attend, Attention, CausalAttend, DecoderSizes, RMSNorm, make_mlp, split_heads
from .vision import VisionEncoder, VisionSizes


@dataclass(frozen=True)
class OcrSizes:
    vision: VisionSizes
    decoder: DecoderSizes
    vocabulary: int
    """Characters, those that mark beginning and end included."""


class CrossAttention(nn.Module):
    """``nn.MultiheadAttention``'s parameters; keys and values are computed apart, once for a picture."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)
        nn.init.xavier_uniform_(self.in_proj_weight)

    def query_projection(self) -> tuple[Tensor, Tensor]:
        """Weight (d, d) and bias (d) of the queries."""
        width = self.out_proj.in_features
        return self.in_proj_weight[:width], self.in_proj_bias[:width]

    def key_value_projection(self) -> tuple[Tensor, Tensor]:
        """Weight (2 · d, d) and bias (2 · d) of keys and values."""
        width = self.out_proj.in_features
        return self.in_proj_weight[width:], self.in_proj_bias[width:]

    def keys_values(self, seen: Tensor) -> tuple[Tensor, Tensor]:
        """What is looked at (B, N, d) -> keys and values, (B, H, N, head) each."""
        key, value = F.linear(seen, *self.key_value_projection()).chunk(2, dim=-1)
        return split_heads(key, self.heads), split_heads(value, self.heads)

    def forward(self, x: Tensor, key: Tensor, value: Tensor) -> Tensor:
        query = split_heads(F.linear(x, *self.query_projection()), self.heads)
        attended = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        out: Tensor = self.out_proj(attended)
        return out


class OcrBlock(nn.Module):
    """x + self_attn(norm1(x)), then x + cross_attn(norm2(x)), then x + mlp(norm3(x))."""

    def __init__(self, sizes: DecoderSizes) -> None:
        super().__init__()
        self.norm1, self.norm2, self.norm3 = (RMSNorm(sizes.width) for _ in range(3))
        self.self_attn = Attention(sizes)
        self.cross_attn = CrossAttention(sizes.width, sizes.heads)
        self.mlp = make_mlp(sizes)

    def forward(self, x: Tensor, key: Tensor, value: Tensor, layer: int, attend: Attend) -> Tensor:
        x = x + self.self_attn(self.norm1(x), layer, attend)
        x = x + self.cross_attn(self.norm2(x), key, value)
        out: Tensor = x + self.mlp(self.norm3(x))
        return out


class CharacterDecoder(nn.Module):
    """Ids of characters -> logits of the next one, looking at the keys and values of a picture."""

    def __init__(self, sizes: OcrSizes) -> None:
        super().__init__()
        width = sizes.decoder.width
        self.char_embed = nn.Embedding(sizes.vocabulary, width)
        self.blocks = nn.ModuleList(OcrBlock(sizes.decoder) for _ in range(sizes.decoder.layers))
        self.norm = RMSNorm(width)
        self.head = nn.Linear(width, sizes.vocabulary, bias=False)
        self.img_proj = nn.Linear(sizes.vision.width, width)

    @property
    def cross_attentions(self) -> list[CrossAttention]:
        """Those of the blocks, in their order."""
        return [module for module in self.modules() if isinstance(module, CrossAttention)]

    def look(self, grid: Tensor) -> list[Tensor]:
        """Patches (B, N, vision width) -> each layer's keys and values, (B, H, N, head) each, key before value."""
        seen = self.img_proj(grid)
        return [tensor for attention in self.cross_attentions for tensor in attention.keys_values(seen)]

    def forward(self, ids: Tensor, cross: Sequence[Tensor], attend: Attend | None = None) -> Tensor:
        """Ids (B, T), the start id first, and what :meth:`look` gave -> logits (B, T, V)."""
        attend = attend or CausalAttend()
        x = self.char_embed(ids)
        for layer, block in enumerate(self.blocks):
            x = block(x, cross[2 * layer], cross[2 * layer + 1], layer, attend)
        out: Tensor = self.head(self.norm(x))
        return out


class Ocr(nn.Module):
    """An encoder, of which the patches are looked at and not the class feature, and a decoder."""

    def __init__(self, sizes: OcrSizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.vision_encoder = VisionEncoder(sizes.vision)
        self.decoder = CharacterDecoder(sizes)

    def look(self, pixels: Tensor) -> list[Tensor]:
        """Pixels (B, 3, S, S) in 0…1 -> keys and values of the pictures, see :meth:`CharacterDecoder.look`."""
        _, grid = self.vision_encoder(pixels)
        return self.decoder.look(grid)

    def forward(self, pixels: Tensor, ids: Tensor) -> Tensor:
        """Pixels and ids (B, T) -> logits (B, T, V)."""
        out: Tensor = self.decoder(ids, self.look(pixels))
        return out
