"""The vocoder: the HiFi-GAN generator (Kong et al. 2020, arXiv:2010.05646)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from math import prod

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LEAKY_SLOPE = 0.1
LAST_LEAKY_SLOPE = 0.01  # the original code leaves torch's default before the last convolution


@dataclass(frozen=True)
class VocoderSizes:
    """``dilations[k]`` belongs to the residual block of kernel ``kernels[k]``."""

    mel_bins: int
    channels: int
    upsampling: tuple[int, ...]
    upsampling_kernels: tuple[int, ...]
    kernels: tuple[int, ...]
    dilations: tuple[tuple[int, ...], ...]
    pre_kernel: int = 7
    post_kernel: int = 7

    @property
    def hop_samples(self) -> int:
        return prod(self.upsampling)

    def receptive_field_frames(self) -> int:
        """Mel frames to either side of a frame that can change its samples (an upper bound)."""
        samples = (self.post_kernel - 1) / 2
        scale = self.hop_samples  # samples a frame at the current depth, from the output back to the mel
        reach = samples / scale
        rate = self.hop_samples
        for factor, kernel in zip(reversed(self.upsampling), reversed(self.upsampling_kernels), strict=True):
            block = max(
                sum((k - 1) / 2 * (d + 1) for d in dilations)
                for k, dilations in zip(self.kernels, self.dilations, strict=True)
            )
            reach += block / rate
            rate //= factor
            reach += kernel / factor / 2 / rate
        reach += (self.pre_kernel - 1) / 2
        return int(reach) + 1


class ResidualBlock(nn.Module):
    """Pairs of a dilated and a plain convolution, each added to its input."""

    def __init__(self, channels: int, kernel: int, dilations: tuple[int, ...]) -> None:
        super().__init__()
        self.convs1 = nn.ModuleList(
            nn.Conv1d(channels, channels, kernel, dilation=d, padding=(kernel - 1) * d // 2)
            for d in dilations
        )
        self.convs2 = nn.ModuleList(
            nn.Conv1d(channels, channels, kernel, padding=(kernel - 1) // 2) for _ in dilations
        )

    def forward(self, x: Tensor) -> Tensor:
        for dilated, plain in zip(self.convs1, self.convs2, strict=True):
            step = dilated(F.leaky_relu(x, LEAKY_SLOPE))
            x = x + plain(F.leaky_relu(step, LEAKY_SLOPE))
        return x


class Vocoder(nn.Module):
    """Normalised mel -> samples."""

    def __init__(self, sizes: VocoderSizes) -> None:
        super().__init__()
        self.sizes = sizes
        channels = sizes.channels
        self.conv_pre = nn.Conv1d(sizes.mel_bins, channels, sizes.pre_kernel, padding=sizes.pre_kernel // 2)
        self.ups = nn.ModuleList()
        self.resblocks = nn.ModuleList()
        for factor, kernel in zip(sizes.upsampling, sizes.upsampling_kernels, strict=True):
            self.ups.append(
                nn.ConvTranspose1d(channels, channels // 2, kernel, factor, padding=(kernel - factor) // 2)
            )
            channels //= 2
            for k, dilations in zip(sizes.kernels, sizes.dilations, strict=True):
                self.resblocks.append(ResidualBlock(channels, k, dilations))
        self.conv_post = nn.Conv1d(channels, 1, sizes.post_kernel, padding=sizes.post_kernel // 2)

    def forward(self, mel: Tensor) -> Tensor:
        """Mel normalised to 0…1 (B, T, M) -> samples in -1…1 (B, T · hop)."""
        x = self.conv_pre(mel.transpose(1, 2))
        branches = len(self.sizes.kernels)
        for i, up in enumerate(self.ups):
            x = up(F.leaky_relu(x, LEAKY_SLOPE))
            blocks = self.resblocks[i * branches : (i + 1) * branches]
            outputs = [block(x) for block in blocks]
            x = reduce(torch.add, outputs) / branches
        x = self.conv_post(F.leaky_relu(x, LAST_LEAKY_SLOPE))
        out: Tensor = x.tanh().squeeze(1)
        return out
