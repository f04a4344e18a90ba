"""The Talker: a decoder that predicts the two codes of the next speech frame."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .decoder import Attend, Block, CausalAttend, DecoderSizes, RMSNorm


@dataclass(frozen=True)
class TalkerSizes:
    decoder: DecoderSizes
    codebook_size: int
    frame_rate_hz: float
    """Frames a second the codes were trained on (1000 / ``frame_ms``)."""


class Talker(nn.Module):
    """One embedding table for both codebooks (summed), a learned start, decoder blocks and two heads."""

    def __init__(self, sizes: TalkerSizes) -> None:
        super().__init__()
        self.sizes = sizes
        width = sizes.decoder.width
        self.emb = nn.Embedding(sizes.codebook_size, width)
        self.start = nn.Parameter(torch.zeros(1, 1, width))
        self.blocks = nn.ModuleList(Block(sizes.decoder) for _ in range(sizes.decoder.layers))
        self.norm = RMSNorm(width)
        self.base_head = nn.Linear(width, sizes.codebook_size)
        self.res_head = nn.Linear(width, sizes.codebook_size)

    def embed(self, codes: Tensor) -> Tensor:
        """Codes (B, T, 2) -> ``start`` and the frames, (B, 1 + T, d)."""
        frames = self.emb(codes[..., 0]) + self.emb(codes[..., 1])
        return torch.cat((self.start.expand(codes.shape[0], -1, -1), frames), dim=1)

    def forward(self, embeddings: Tensor, attend: Attend | None = None) -> tuple[Tensor, Tensor]:
        """Embeddings (B, T, d) -> logits of the base and the residual code, (B, T, K) each."""
        attend = attend or CausalAttend()
        x = embeddings
        for layer, block in enumerate(self.blocks):
            x = block(x, layer, attend)
        x = self.norm(x)
        return self.base_head(x), self.res_head(x)
