"""The audio encoder: mel frames -> convolutional downsampling -> transformer blocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from .decoder import RMSNorm, split_heads

MelCompression = Literal["none", "log_peak", "log"]

QUIETEST = 1e-7  # of mel power: what 16 bits make of silence
PEAK_FLOOR = 1e-8  # of mel power: below it a recording counts as silence
RELATIVE_FLOOR = 1e-6  # of the peak: -60 dB


def compress_mel(mel: Tensor, kind: MelCompression) -> Tensor:
    """Mel power (B, T, M) -> what the convolutions read, of the same shape.

    ``none`` is the reference. ``log_peak`` is the logarithm relative to the recording's loudest bin, about -2…2:
    it does not depend on how loud a recording is, and it trains, which raw power (nine decades) hardly does. ``log``
    is the logarithm alone, about -3…3: each frame by itself, as a stream has them.
    """
    if kind == "none":
        return mel
    if kind == "log":
        return ((mel + QUIETEST).log() + 4.0) / 4.0
    peak = mel.amax(dim=(1, 2), keepdim=True).clamp(min=PEAK_FLOOR)
    return ((mel / peak + RELATIVE_FLOOR).log() + 7.0) / 3.0


@dataclass(frozen=True)
class AudioSizes:
    """``downsampling`` is 4 or 8, in time and in frequency alike.

    The last two are additions to the reference, off by default: ``mel_compression`` (see :func:`compress_mel`) and
    ``convolution_kernel``, the length of a depthwise convolution over time in each block. Without it the blocks do
    not know the order of the frames.
    """

    mel_bins: int
    downsampling: int
    channels: int
    width: int
    layers: int
    heads: int
    hidden: int
    mel_compression: MelCompression = "none"
    convolution_kernel: int = 0


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
        self.convolves = sizes.convolution_kernel > 0
        if self.convolves:
            kernel = sizes.convolution_kernel
            self.conv_norm = RMSNorm(sizes.width)
            self.conv = nn.Conv1d(sizes.width, sizes.width, kernel, padding=kernel // 2, groups=sizes.width)
        self.norm1 = RMSNorm(sizes.width)
        self.qkv_proj = nn.Linear(sizes.width, 3 * sizes.width)
        self.out_proj = nn.Linear(sizes.width, sizes.width)
        self.norm2 = RMSNorm(sizes.width)
        self.mlp = nn.Sequential(
            nn.Linear(sizes.width, sizes.hidden), nn.GELU(), nn.Linear(sizes.hidden, sizes.width)
        )

    def forward(self, x: Tensor) -> Tensor:
        if self.convolves:
            x = x + self.conv(self.conv_norm(x).transpose(1, 2)).transpose(1, 2)
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
        x = self.down(compress_mel(mel, self.sizes.mel_compression)[:, None])
        x = self.proj(x.transpose(1, 2).flatten(2))
        for block in self.blocks:
            x = block(x)
        out: Tensor = self.norm(x)
        return out
