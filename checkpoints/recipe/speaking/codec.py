"""Training the codec: a projection and two codebooks by k-means, in μOmni's format.

A residual quantiser of log-mel frames needs no gradient: principal axes give ``proj_in`` and ``proj_out``, k-means
gives each codebook from what the one before leaves over. It takes a minute, and the same seed gives the same codes.
"""

from __future__ import annotations

import torch
from torch import Tensor

from muomni_export.modules.codec import Codec, CodecSizes

WIDTH = 64  # principal axes kept of the mel bins; the rest is below the quantisation error
CODEBOOKS, CODEBOOK_SIZE = 2, 1024
ROUNDS = 25
CHUNK = 8192  # frames compared with the codebook at once: 16 MiB of distances


def fit(
    mel: Tensor, seed: int, width: int = WIDTH, codebooks: int = CODEBOOKS, size: int = CODEBOOK_SIZE
) -> Codec:
    """Mel frames (N, M) -> a codec."""
    sizes = CodecSizes(codebooks, size, width, mel.shape[1])
    codec = Codec(sizes)
    generator = torch.Generator().manual_seed(seed)
    mean = mel.mean(dim=0)
    _, _, axes = torch.linalg.svd(torch.cov((mel - mean).T))
    axes = axes[:width]  # (width, M)
    with torch.no_grad():
        codec.proj_in.weight.copy_(axes)
        codec.proj_in.bias.copy_(-axes @ mean)
        codec.proj_out.weight.copy_(axes.T)
        codec.proj_out.bias.copy_(mean)
        residual = (mel - mean) @ axes.T
        for book in codec.codebooks:
            centres = k_means(residual, size, generator)
            book.weight.copy_(centres)
            residual = residual - centres[nearest(residual, centres)]
    return codec.requires_grad_(False)


def k_means(points: Tensor, k: int, generator: torch.Generator, rounds: int = ROUNDS) -> Tensor:
    """Centres (k, D) of points (N, D), ordered by their first axis; empty ones restart at a random point.

    Near codes get near numbers: nothing needs it, but it makes codes readable in a plot.
    """
    centres = points[torch.randperm(len(points), generator=generator)[:k]].clone()
    for _ in range(rounds):
        labels = nearest(points, centres)
        counts = torch.bincount(labels, minlength=k)
        sums = torch.zeros_like(centres).index_add_(0, labels, points)
        centres = sums / counts.clamp(min=1)[:, None]
        empty = counts == 0
        spare = torch.randint(len(points), (int(empty.sum()),), generator=generator)
        centres[empty] = points[spare]
    return centres[centres[:, 0].argsort()]


def nearest(points: Tensor, centres: Tensor) -> Tensor:
    """Index (N,) of the nearest centre of each point."""
    norms = centres.square().sum(dim=1)
    return torch.cat([(norms - 2 * chunk @ centres.T).argmin(dim=1) for chunk in points.split(CHUNK)])
