"""The Talker: a decoder that predicts the two codes of the next speech frame.

A reference Talker knows no text. A text-conditioned one (:class:`TextTalker`) has a pointer that moves through the
phonemes of a text: every frame sees the vector of the phoneme at the pointer (which knows its neighbours) and how many
frames that phoneme has lasted, and an ``advance`` head says when to move on. The pointer running past the last phoneme
is the end of speech.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .decoder import Attend, Block, CausalAttend, DecoderSizes, RMSNorm

PADDING = 0  # the phoneme before the first and after the last


@dataclass(frozen=True)
class TextSizes:
    """What a text-conditioned Talker has beyond the reference's."""

    phonemes: int
    """Numbers of phonemes, padding included."""
    kernel: int = 5
    dilations: tuple[int, ...] = (1, 2, 2)
    elapsed: int = 32
    """Frames of a phoneme that are told apart; longer counts as the longest."""

    @property
    def reach(self) -> int:
        """Phonemes to either side that a phoneme's vector depends on."""
        return sum((self.kernel - 1) // 2 * dilation for dilation in self.dilations)


@dataclass(frozen=True)
class TalkerSizes:
    decoder: DecoderSizes
    codebook_size: int
    frame_rate_hz: float
    """Frames a second the codes were trained on (1000 / ``frame_ms``)."""
    text: TextSizes | None = None
    """None for the reference's Talker."""


class Talker(nn.Module):
    """The reference's: one embedding table for both codebooks (summed), a learned start, blocks and two heads."""

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
        x = self.hidden(embeddings, attend)
        return self.base_head(x), self.res_head(x)

    def hidden(self, embeddings: Tensor, attend: Attend | None = None) -> Tensor:
        """Embeddings (B, T, d) -> what the heads read (B, T, d)."""
        attend = attend or CausalAttend()
        x = embeddings
        for layer, block in enumerate(self.blocks):
            x = block(x, layer, attend)
        out: Tensor = self.norm(x)
        return out


class PhonemeContext(nn.Module):
    """Phonemes -> one vector each, by convolutions without padding: what lies outside the text is given explicitly.

    So a window of a text gives the same vectors as the whole, and speaking can begin while text still arrives.
    """

    def __init__(self, sizes: TextSizes, width: int) -> None:
        super().__init__()
        self.emb = nn.Embedding(sizes.phonemes, width)
        self.norms = nn.ModuleList(RMSNorm(width) for _ in sizes.dilations)
        self.convs = nn.ModuleList(nn.Conv1d(width, width, sizes.kernel, dilation=d) for d in sizes.dilations)

    def forward(self, phonemes: Tensor) -> Tensor:
        """Phonemes (B, reach + L + reach), padded with :data:`PADDING` -> vectors (B, L, d)."""
        x = self.emb(phonemes)
        for norm, conv in zip(self.norms, self.convs, strict=True):
            mixed = F.silu(conv(norm(x).transpose(1, 2)).transpose(1, 2))
            edge = (x.shape[1] - mixed.shape[1]) // 2
            x = x[:, edge : x.shape[1] - edge] + mixed
        out: Tensor = x
        return out


class TextTalker(Talker):
    """A Talker that says a given text."""

    def __init__(self, sizes: TalkerSizes) -> None:
        super().__init__(sizes)
        assert sizes.text is not None
        self.text = sizes.text
        width = sizes.decoder.width
        # The reference sums both codes from one table, which cannot tell (3, 7) from (7, 3).
        self.res_emb = nn.Embedding(sizes.codebook_size, width)
        self.context = PhonemeContext(sizes.text, width)
        self.elapsed_emb = nn.Embedding(sizes.text.elapsed, width)
        self.advance_head = nn.Linear(width, 1)
        # Both codes come from one hidden state; this adds what the base code, once chosen, says of the other.
        self.base_to_res = nn.Embedding(sizes.codebook_size, sizes.codebook_size)
        nn.init.zeros_(self.base_to_res.weight)

    def embed_at_pointer(self, codes: Tensor, vectors: Tensor, elapsed: Tensor, first: bool = True) -> Tensor:
        """What is read at each frame, (B, T, d).

        Args:
            codes: the frames **before** these; (B, T - 1, 2) if ``first`` (the first frame follows ``start``),
                else (B, T, 2).
            vectors: of the phoneme at the pointer, frame by frame, (B, T, d).
            elapsed: frames that the phoneme has lasted before this one, (B, T), from 0.
        """
        before = self.emb(codes[..., 0]) + self.res_emb(codes[..., 1])
        if first:
            before = torch.cat((self.start.expand(codes.shape[0], -1, -1), before), dim=1)
        out: Tensor = before + vectors + self.elapsed_emb(elapsed.clamp(max=self.text.elapsed - 1))
        return out

    def predict(self, embeddings: Tensor, attend: Attend | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Embeddings (B, T, d) -> logits of base (B, T, K), residual (B, T, K) and advance (B, T).

        To the residual logits, ``base_to_res`` of the chosen base code is still to be added.
        """
        x = self.hidden(embeddings, attend)
        return self.base_head(x), self.res_head(x), self.advance_head(x).squeeze(-1)
