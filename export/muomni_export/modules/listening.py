"""The audio encoder: mel frames -> convolutional downsampling -> transformer blocks."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F

from .decoder import RMSNorm, split_heads


@dataclass(frozen=True)
class AudioSizes:
    """``downsampling`` is 4 or 8, in time and in frequency alike."""

    mel_bins: int
    downsampling: int
    channels: int
    width: int
    layers: int
    heads: int
    hidden: int


class DownsampleBy4(nn.Module):
    """Two stride-2 convolutions, (B, 1, T, M) -> (B, channels, T/4, M/4)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(1, channels, 3, stride=2, padding=1),
            nn.GELU(),
            nn.Conv2d(channels, channels, 3, stride=2, padding=1),
            nn.GELU(),
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.net(x)
        return out


class AudioBlock(nn.Module):
    """Pre-norm self-attention and GELU MLP, with biases."""

    def __init__(self, sizes: AudioSizes) -> None:
        super().__init__()
        self.heads = sizes.heads
        self.norm1 = RMSNorm(sizes.width)
        self.qkv_proj = nn.Linear(sizes.width, 3 * sizes.width)
        self.out_proj = nn.Linear(sizes.width, sizes.width)
        self.norm2 = RMSNorm(sizes.width)
        self.mlp = nn.Sequential(
            nn.Linear(sizes.width, sizes.hidden), nn.GELU(), nn.Linear(sizes.hidden, sizes.width)
        )

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (split_heads(t, self.heads) for t in self.qkv_proj(self.norm1(x)).chunk(3, dim=-1))
        x = x + self.out_proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        out: Tensor = x + self.mlp(self.norm2(x))
        return out


class AudioEncoder(nn.Module):
    """Mel power frames -> audio features."""

    def __init__(self, sizes: AudioSizes) -> None:
        super().__init__()
        self.sizes = sizes
        by_4 = DownsampleBy4(sizes.channels)
        if sizes.downsampling == 8:
            extra = nn.Conv2d(sizes.channels, sizes.channels, 3, stride=2, padding=1)
            self.down: nn.Module = nn.Sequential(by_4, extra, nn.GELU())
        else:
            self.down = by_4
        self.proj = nn.Linear(sizes.channels * (sizes.mel_bins // sizes.downsampling), sizes.width)
        self.blocks = nn.ModuleList(AudioBlock(sizes) for _ in range(sizes.layers))
        self.norm = RMSNorm(sizes.width)

    def forward(self, mel: Tensor) -> Tensor:
        """Mel power (B, T, M), no log -> features (B, ceil(T / downsampling), d)."""
        x = self.down(mel[:, None])
        x = self.proj(x.transpose(1, 2).flatten(2))
        for block in self.blocks:
            x = block(x)
        out: Tensor = self.norm(x)
        return out
