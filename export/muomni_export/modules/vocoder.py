"""Vocoders: the HiFi-GAN generator (Kong et al. 2020, arXiv:2010.05646), and one that predicts a spectrum."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, reduce
from math import prod

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .decoder import RMSNorm

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


@dataclass(frozen=True)
class SpectralSizes:
    """A :class:`SpectralVocoder`; ``n_fft`` and ``hop_samples`` are those of the mel it reads."""

    mel_bins: int
    width: int
    hidden: int
    layers: int
    kernel: int = 5
    pre_kernel: int = 7
    n_fft: int = 1024
    hop_samples: int = 256

    def receptive_field_frames(self) -> int:
        """Mel frames to either side of a frame that can change its samples."""
        overlap = self.n_fft // self.hop_samples // 2
        return self.pre_kernel // 2 + self.layers * (self.kernel // 2) + overlap


class SpectralBlock(nn.Module):
    """x + MLP(norm(depthwise convolution)): a ConvNeXt block (Liu et al. 2022) over time."""

    def __init__(self, sizes: SpectralSizes) -> None:
        super().__init__()
        self.conv = nn.Conv1d(
            sizes.width, sizes.width, sizes.kernel, padding=sizes.kernel // 2, groups=sizes.width
        )
        self.norm = RMSNorm(sizes.width)
        self.fc1 = nn.Linear(sizes.width, sizes.hidden)
        self.fc2 = nn.Linear(sizes.hidden, sizes.width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, d) -> (B, T, d)."""
        mixed = self.conv(x.transpose(1, 2)).transpose(1, 2)
        out: Tensor = x + self.fc2(F.gelu(self.fc1(self.norm(mixed))))
        return out


class SpectralVocoder(nn.Module):
    """Mel -> magnitudes and phases -> samples by an inverse STFT, as in Vocos (Siuzdak 2023, arXiv:2306.00814).

    All the work is at the frame rate, some hundred times less than HiFi-GAN's. The inverse transform is a
    transposed convolution with fixed weights, which is exact and has a gradient.
    """

    def __init__(self, sizes: SpectralSizes) -> None:
        super().__init__()
        self.sizes = sizes
        bins = sizes.n_fft // 2 + 1
        self.conv_pre = nn.Conv1d(
            sizes.mel_bins, sizes.width, sizes.pre_kernel, padding=sizes.pre_kernel // 2
        )
        self.blocks = nn.ModuleList(SpectralBlock(sizes) for _ in range(sizes.layers))
        self.norm = RMSNorm(sizes.width)
        self.spectrum_head = nn.Linear(sizes.width, 2 * bins)

    def forward(self, mel: Tensor) -> Tensor:
        """Mel in 0…1 of the codec's fixed range (B, T, M) -> samples in -1…1 (B, T · hop)."""
        sizes = self.sizes
        spectrum = torch.cat(self.spectrum(mel), dim=-1).transpose(1, 2)
        basis = inverse_basis(sizes.n_fft, sizes.hop_samples).to(spectrum)
        samples = F.conv_transpose1d(spectrum, basis, stride=sizes.hop_samples).squeeze(1)
        start = sizes.n_fft // 2
        return samples[:, start : start + mel.shape[1] * sizes.hop_samples].clamp(-1, 1)

    def spectrum(self, mel: Tensor) -> tuple[Tensor, Tensor]:
        """Mel (B, T, M) -> real and imaginary parts (B, T, n_fft / 2 + 1) each."""
        x = self.conv_pre(mel.transpose(1, 2)).transpose(1, 2)
        for block in self.blocks:
            x = block(x)
        logs, angles = self.spectrum_head(self.norm(x)).chunk(2, dim=-1)
        magnitudes = logs.clamp(max=LARGEST_LOG_MAGNITUDE).exp()
        return magnitudes * angles.cos(), magnitudes * angles.sin()


LARGEST_LOG_MAGNITUDE = 7.0  # full scale is log(n_fft / 4) = 5.5


@cache
def inverse_basis(n_fft: int, hop: int) -> Tensor:
    """Windowed inverse DFT (2 · bins, 1, n_fft) of the real and the imaginary parts, for overlap-add at ``hop``.

    Division by the sum of the squared windows is included: that is constant where all windows are there, that is
    everywhere but in the first and last n_fft / 2 samples, which are quieter than they should be.
    """
    bins = n_fft // 2 + 1
    window = torch.hann_window(n_fft, dtype=torch.float64)
    turns = (
        torch.arange(bins, dtype=torch.float64)[:, None] * torch.arange(n_fft, dtype=torch.float64) / n_fft
    )
    weight = torch.full((bins, 1), 2.0, dtype=torch.float64)
    weight[0] = weight[-1] = 1.0
    scaled = weight * window * hop / window.square().sum() / n_fft
    angles = 2 * torch.pi * turns
    return torch.cat((angles.cos() * scaled, -angles.sin() * scaled))[:, None].float()
