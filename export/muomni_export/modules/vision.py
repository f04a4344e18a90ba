"""The vision encoder: a ViT with a class token, and the projector into the Thinker."""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .decoder import RMSNorm, split_heads

STEM_STRIDE = 4  # of the convolutions before the patches, where there are any


@dataclass(frozen=True)
class VisionSizes:
    """``stem_channels`` is an addition to the reference, off (0) by default: three convolutions before the
    patches, two of them with stride 2; a patch then covers ``patch / 4`` of their cells. See Xiao et al. 2021,
    "Early convolutions help transformers see better".
    """

    image_size: int
    patch: int
    width: int
    layers: int
    heads: int
    hidden: int
    stem_channels: int = 0

    @property
    def patches(self) -> int:
        return (self.image_size // self.patch) ** 2


class SelfAttention(nn.Module):
    """``nn.MultiheadAttention``'s parameters and self-attention, without its export-hostile fast path."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)
        nn.init.xavier_uniform_(self.in_proj_weight)

    def forward(self, x: Tensor) -> Tensor:
        qkv = F.linear(x, self.in_proj_weight, self.in_proj_bias).chunk(3, dim=-1)
        q, k, v = (split_heads(t, self.heads) for t in qkv)
        out: Tensor = self.out_proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return out


class EncoderLayer(nn.Module):
    """``nn.TransformerEncoderLayer`` with ``norm_first`` and exact GELU, its parameter names kept."""

    def __init__(self, sizes: VisionSizes) -> None:
        super().__init__()
        self.self_attn = SelfAttention(sizes.width, sizes.heads)
        self.linear1 = nn.Linear(sizes.width, sizes.hidden)
        self.linear2 = nn.Linear(sizes.hidden, sizes.width)
        self.norm1 = nn.LayerNorm(sizes.width)
        self.norm2 = nn.LayerNorm(sizes.width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.self_attn(self.norm1(x))
        out: Tensor = x + self.linear2(F.gelu(self.linear1(self.norm2(x))))
        return out


class VisionEncoder(nn.Module):
    """Pixels -> class and grid features."""

    def __init__(self, sizes: VisionSizes) -> None:
        super().__init__()
        self.sizes = sizes
        channels, patch = 3, sizes.patch
        if sizes.stem_channels:
            channels, patch = 2 * sizes.stem_channels, sizes.patch // STEM_STRIDE
            self.stem = nn.Sequential(
                nn.Conv2d(3, sizes.stem_channels, 3, stride=2, padding=1),
                nn.GELU(),
                nn.Conv2d(sizes.stem_channels, channels, 3, stride=2, padding=1),
                nn.GELU(),
                nn.Conv2d(channels, channels, 3, padding=1),
                nn.GELU(),
            )
        self.proj = nn.Conv2d(channels, sizes.width, patch, stride=patch)
        self.cls = nn.Parameter(torch.zeros(1, 1, sizes.width))
        self.pos = nn.Parameter(torch.zeros(1, 1 + sizes.patches, sizes.width))
        self.blocks = nn.ModuleList(EncoderLayer(sizes) for _ in range(sizes.layers))
        self.norm = RMSNorm(sizes.width)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Pixels (B, 3, S, S) in 0…1 -> class feature (B, 1, d), grid features (B, N, d)."""
        if self.sizes.stem_channels:
            pixels = self.stem(pixels)
        patches = self.proj(pixels).flatten(2).transpose(1, 2)
        x = torch.cat((self.cls.expand(pixels.shape[0], -1, -1), patches), dim=1) + self.pos
        for block in self.blocks:
            x = block(x)
        x = self.norm(x)
        return x[:, :1], x[:, 1:]


def image_features(cls: Tensor, grid: Tensor, pool: int) -> Tensor:
    """What is projected of an image: cls (B, 1, d), or grid (B, side², d) averaged over ``pool`` patches a side.

    Gives (B, 1, d), or (B, (side / pool)², d) row by row.
    """
    if pool == 0:
        return cls  # the reference's choice
    side = isqrt(grid.shape[1])
    square = grid.transpose(1, 2).reshape(grid.shape[0], grid.shape[2], side, side)
    return F.avg_pool2d(square, pool).flatten(2).transpose(1, 2)
