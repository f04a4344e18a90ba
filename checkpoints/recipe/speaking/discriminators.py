"""Judges that a vocoder in training is to convince; they are no part of the model.

Small ones of HiFi-GAN's multi-period kind (Kong et al. 2020) and of UnivNet's multi-resolution kind (Jang et al. 2021):
the first see pitch and phase, the second the texture of the spectrum.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

PERIODS = (2, 3, 5, 7)
RESOLUTIONS = ((512, 128), (1024, 256), (256, 64))
CHANNELS = 16
SLOPE = 0.1

Verdict = tuple[Tensor, list[Tensor]]
"""Scores (1 is real, 0 is made), and what each layer saw."""


class PeriodDiscriminator(nn.Module):
    """Looks at every p-th sample."""

    def __init__(self, period: int, channels: int = CHANNELS) -> None:
        super().__init__()
        self.period = period
        widths = (1, channels, 2 * channels, 4 * channels, 4 * channels)
        self.layers = nn.ModuleList(
            weight_norm(nn.Conv2d(a, b, (5, 1), (3, 1), (2, 0))) for a, b in pairwise(widths)
        )
        self.last = weight_norm(nn.Conv2d(widths[-1], 1, (3, 1), padding=(1, 0)))

    def forward(self, samples: Tensor) -> Verdict:
        """Samples (B, n)."""
        samples = F.pad(samples, (0, -samples.shape[1] % self.period), mode="reflect")
        return _judged(samples.unflatten(1, (-1, self.period))[:, None], self.layers, self.last)


class ResolutionDiscriminator(nn.Module):
    """Looks at magnitudes over time."""

    def __init__(self, n_fft: int, hop: int, channels: int = CHANNELS) -> None:
        super().__init__()
        self.n_fft, self.hop = n_fft, hop
        widths = (1, channels, channels, channels, channels)
        self.layers = nn.ModuleList(
            weight_norm(nn.Conv2d(a, b, (3, 9), (1, 2 if i else 1), (1, 4)))
            for i, (a, b) in enumerate(pairwise(widths))
        )
        self.last = weight_norm(nn.Conv2d(channels, 1, 3, padding=1))

    def forward(self, samples: Tensor) -> Verdict:
        """Samples (B, n)."""
        window = torch.hann_window(self.n_fft)
        spectrum = torch.stft(samples, self.n_fft, self.hop, window=window, return_complex=True)
        magnitudes = (spectrum.real.square() + spectrum.imag.square() + 1e-7).sqrt()
        return _judged(magnitudes.transpose(1, 2)[:, None].sqrt(), self.layers, self.last)


def _judged(x: Tensor, layers: nn.ModuleList, last: nn.Module) -> Verdict:
    seen = []
    for layer in layers:
        x = F.leaky_relu(layer(x), SLOPE)
        seen.append(x)
    return last(x).flatten(1), seen


class Discriminators(nn.Module):
    """All of them."""

    def __init__(self) -> None:
        super().__init__()
        self.judges = nn.ModuleList(
            [
                *(PeriodDiscriminator(p) for p in PERIODS),
                *(ResolutionDiscriminator(*r) for r in RESOLUTIONS),
            ]
        )

    def forward(self, samples: Tensor) -> list[Verdict]:
        """Samples (B, n). Half precision halves the time of the convolutions over magnitudes (two thirds of a step)."""
        with torch.autocast("cpu", torch.bfloat16):
            verdicts = [judge(samples) for judge in self.judges]
        return [(scores.float(), [layer.float() for layer in seen]) for scores, seen in verdicts]


def discriminator_loss(real: list[Verdict], made: list[Verdict]) -> Tensor:
    """Least squares (Mao et al. 2017): real is to be 1, made 0."""
    return torch.stack(
        [(1 - r).square().mean() + m.square().mean() for (r, _), (m, _) in zip(real, made, strict=True)]
    ).mean()


def generator_losses(real: list[Verdict], made: list[Verdict]) -> tuple[Tensor, Tensor]:
    """To be taken for real, and to look real in every layer."""
    taken = torch.stack([(1 - m).square().mean() for m, _ in made]).mean()
    alike = torch.stack(
        [
            (a.detach() - b).abs().mean() / a.detach().abs().mean().clamp(min=1e-4)
            for (_, r), (_, m) in zip(real, made, strict=True)
            for a, b in zip(r, m, strict=True)
        ]
    ).mean()
    return taken, alike
