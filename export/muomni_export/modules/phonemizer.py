"""The phonemizer: letters to phonemes, a small bidirectional transformer over a word and a little of its neighbours.

Each letter of the word has some slots for phonemes (or nothing); what the letters mean and how the slots are read is
in :mod:`muomni.speech.letters`.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from .decoder import Block, DecoderSizes, RMSNorm, attend_uncached


@dataclass(frozen=True)
class PhonemizerSizes:
    decoder: DecoderSizes
    letters: int
    """Numbers of letters, padding included."""
    slots: int
    """Phonemes that a letter can have at most."""
    symbols: int
    """Phonemes, with the blank."""


class FullAttend:
    """Attention to both sides; ``real`` (B, T) says which positions are no padding (None: all)."""

    def __init__(self, real: Tensor | None = None) -> None:
        self.mask = None if real is None else real[:, None, None, :]

    def __call__(self, layer: int, query: Tensor, key: Tensor, value: Tensor, sizes: DecoderSizes) -> Tensor:
        return attend_uncached(query, key, value, sizes, self.mask)


class Phonemizer(nn.Module):
    """Decoder blocks that look both ways."""

    def __init__(self, sizes: PhonemizerSizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.emb = nn.Embedding(sizes.letters, sizes.decoder.width)
        self.blocks = nn.ModuleList(Block(sizes.decoder) for _ in range(sizes.decoder.layers))
        self.norm = RMSNorm(sizes.decoder.width)
        self.symbol_head = nn.Linear(sizes.decoder.width, sizes.slots * sizes.symbols)

    def forward(self, letters: Tensor, real: Tensor | None = None) -> Tensor:
        """Letters (B, L) of one word's window each -> logits of each letter's slots (B, L, slots, symbols)."""
        attend = FullAttend(real)
        x = self.emb(letters)
        for layer, block in enumerate(self.blocks):
            x = block(x, layer, attend)
        out: Tensor = self.symbol_head(self.norm(x))
        return out.reshape(*letters.shape, self.sizes.slots, self.sizes.symbols)
