"""The Thinker: the language model that reads media embeddings and text."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from .decoder import Attend, Block, CausalAttend, DecoderSizes, RMSNorm


@dataclass(frozen=True)
class ThinkerSizes:
    """Sizes of a Thinker; ``context_length`` comes from the config, the rest from the tensors."""

    decoder: DecoderSizes
    vocabulary: int
    context_length: int


class Thinker(nn.Module):
    """Token embeddings, decoder blocks, norm and an untied head."""

    def __init__(self, sizes: ThinkerSizes) -> None:
        super().__init__()
        self.sizes = sizes
        width = sizes.decoder.width
        self.tok_emb = nn.Embedding(sizes.vocabulary, width)
        self.blocks = nn.ModuleList(Block(sizes.decoder) for _ in range(sizes.decoder.layers))
        self.norm = RMSNorm(width)
        self.lm_head = nn.Linear(width, sizes.vocabulary, bias=False)

    def hidden(self, embeddings: Tensor, attend: Attend | None = None) -> Tensor:
        """Embeddings (B, T, D) -> normed hidden states (B, T, D)."""
        attend = attend or CausalAttend()
        x = embeddings
        for layer, block in enumerate(self.blocks):
            x = block(x, layer, attend)
        out: Tensor = self.norm(x)
        return out

    def forward(self, embeddings: Tensor, attend: Attend | None = None) -> Tensor:
        """Embeddings (B, T, D) -> logits (B, T, V)."""
        out: Tensor = self.lm_head(self.hidden(embeddings, attend))
        return out
