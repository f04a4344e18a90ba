"""The codec: residual vector quantisation of mel frames."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class CodecSizes:
    codebooks: int
    codebook_size: int
    width: int
    mel_bins: int


class Codec(nn.Module):
    """Codes of C codebooks <-> mel frames."""

    def __init__(self, sizes: CodecSizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.codebooks = nn.ModuleList(
            nn.Embedding(sizes.codebook_size, sizes.width) for _ in range(sizes.codebooks)
        )
        self.proj_in = nn.Linear(sizes.mel_bins, sizes.width)
        self.proj_out = nn.Linear(sizes.width, sizes.mel_bins)

    def decode(self, codes: Tensor) -> Tensor:
        """Codes (B, T, C) -> mel (B, T, M)."""
        vectors = [book(codes[..., i]) for i, book in enumerate(self.codebooks)]
        out: Tensor = self.proj_out(reduce(torch.add, vectors))
        return out

    def encode(self, mel: Tensor) -> Tensor:
        """Mel (B, T, M) -> codes (B, T, C): greedily, the code nearest to what is left over.

        |r - c|² is ranked through |c|² - 2 r·c: the term |r|² is the same for every code.
        """
        residual = self.proj_in(mel)
        codes = []
        for book in self.codebooks:
            weight = book.get_parameter("weight")
            distance = weight.square().sum(dim=-1) - 2 * (residual @ weight.T)
            nearest = distance.argmin(dim=-1)
            residual = residual - book(nearest)
            codes.append(nearest)
        return torch.stack(codes, dim=-1)

    forward = decode
