"""Torch modules in the contract's signatures: what is exported, one class a graph.

Names, types and axes are those of :mod:`muomni.bundle.contract`; see its legend.
"""

from __future__ import annotations

from math import isqrt

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from muomni_export.modules.audio_encoder import AudioEncoder
from muomni_export.modules.codec import Codec
from muomni_export.modules.talker import Talker
from muomni_export.modules.thinker import Thinker
from muomni_export.modules.vision import VisionEncoder
from muomni_export.modules.vocoder import SpectralVocoder
from muomni_export.onnx.attention import Cache, PackedBlock, RotaryTables


class ThinkerGraph(nn.Module):
    """Media embeddings, then token ids, with a cache -> logits of the last position."""

    def __init__(self, thinker: Thinker) -> None:
        super().__init__()
        sizes = thinker.sizes
        self.tok_emb, self.norm, self.lm_head = thinker.tok_emb, thinker.norm, thinker.lm_head
        self.blocks = nn.ModuleList(PackedBlock(block, i) for i, block in enumerate(thinker.blocks))
        self.rotary = RotaryTables(sizes.context_length, sizes.decoder)

    def forward(
        self,
        input_ids: Tensor,
        media_embeds: Tensor,
        seqlens_k: Tensor,
        total_sequence_length: Tensor,
        past: list[Tensor],
    ) -> tuple[Tensor, ...]:
        cache = Cache(past, seqlens_k, total_sequence_length, self.rotary.cosines, self.rotary.sines)
        x = torch.cat((media_embeds, self.tok_emb(input_ids)), dim=1)
        for block in self.blocks:
            x = block(x, cache)
        return (self.lm_head(self.norm(x[:, -1])), *cache.present)


class TalkerGraph(nn.Module):
    """Code frames with a cache -> logits of both codes of the next frame.

    The learned start is a row of the embedding table behind the codes: the pseudo frame
    ``(K, K + 1)`` sums to it, row K + 1 being zeros.
    """

    def __init__(self, talker: Talker, positions: int) -> None:
        super().__init__()
        table = torch.cat((talker.emb.weight, talker.start[0], torch.zeros_like(talker.start[0])))
        self.emb = _embedding(table)
        self.norm, self.base_head, self.res_head = talker.norm, talker.base_head, talker.res_head
        self.blocks = nn.ModuleList(PackedBlock(block, i) for i, block in enumerate(talker.blocks))
        self.rotary = RotaryTables(positions, talker.sizes.decoder)

    def forward(
        self, codes: Tensor, seqlens_k: Tensor, total_sequence_length: Tensor, past: list[Tensor]
    ) -> tuple[Tensor, ...]:
        cache = Cache(past, seqlens_k, total_sequence_length, self.rotary.cosines, self.rotary.sines)
        x = self.emb(codes[..., 0]) + self.emb(codes[..., 1])
        for block in self.blocks:
            x = block(x, cache)
        x = self.norm(x[:, -1])
        return (self.base_head(x), self.res_head(x), *cache.present)


class SpokenTalkerGraph(nn.Module):
    """Code frames, sound vectors and how long each sound has lasted, with a cache -> both codes, and moving on.

    The learned start is row K of the embedding of the base codes; row K of the other is zeros.
    """

    def __init__(self, talker: Talker, positions: int) -> None:
        super().__init__()
        start = talker.start[0]
        self.emb = _embedding(torch.cat((talker.emb.weight, start)))
        self.res_emb = _embedding(torch.cat((talker.res_emb.weight, torch.zeros_like(start))))
        self.elapsed_emb, self.norm, self.advance_head = talker.elapsed_emb, talker.norm, talker.advance_head
        self.base_head, self.res_head = talker.base_head, talker.res_head
        self.blocks = nn.ModuleList(PackedBlock(block, i) for i, block in enumerate(talker.blocks))
        self.rotary = RotaryTables(positions, talker.sizes.decoder)

    def forward(
        self,
        codes: Tensor,
        vectors: Tensor,
        elapsed: Tensor,
        seqlens_k: Tensor,
        total_sequence_length: Tensor,
        past: list[Tensor],
    ) -> tuple[Tensor, ...]:
        cache = Cache(past, seqlens_k, total_sequence_length, self.rotary.cosines, self.rotary.sines)
        x = self.emb(codes[..., 0]) + self.res_emb(codes[..., 1]) + vectors + self.elapsed_emb(elapsed)
        for block in self.blocks:
            x = block(x, cache)
        x = self.norm(x[:, -1])
        advance = self.advance_head(x).squeeze(-1)
        return (self.base_head(x), self.res_head(x), advance, *cache.present)


def _embedding(table: Tensor) -> nn.Embedding:
    return nn.Embedding(table.shape[0], table.shape[1], _weight=table.detach())


class SpectralVocoderGraph(nn.Module):
    """Mel -> real and imaginary parts; the runtime inverts them, which needs no table of cosines in the file."""

    def __init__(self, vocoder: SpectralVocoder) -> None:
        super().__init__()
        self.vocoder = vocoder

    def forward(self, mel: Tensor) -> tuple[Tensor, Tensor]:
        return self.vocoder.spectrum(mel)


def image_features(cls: Tensor, grid: Tensor, pool: int) -> Tensor:
    """What is projected of an image: cls (B, 1, d), or grid (B, side², d) averaged over ``pool`` patches a side.

    Gives (B, 1, d), or (B, (side / pool)², d) row by row.
    """
    if pool == 0:
        return cls  # the reference's choice
    side = isqrt(grid.shape[1])
    square = grid.transpose(1, 2).reshape(grid.shape[0], grid.shape[2], side, side)
    return F.avg_pool2d(square, pool).flatten(2).transpose(1, 2)


class VisionGraph(nn.Module):
    """Pixels -> class feature, grid features and, with a projector, what the Thinker reads."""

    def __init__(self, encoder: VisionEncoder, projector: nn.Module | None, pool: int) -> None:
        super().__init__()
        self.encoder, self.projector, self.pool = encoder, projector, pool

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        cls, grid = self.encoder(pixels)
        if self.projector is None:
            return cls, grid
        return cls, grid, self.projector(image_features(cls, grid, self.pool))


class AudioGraph(nn.Module):
    """Mel power -> features and, with a projector, what the Thinker reads."""

    def __init__(self, encoder: AudioEncoder, projector: nn.Module | None) -> None:
        super().__init__()
        self.encoder, self.projector = encoder, projector

    def forward(self, mel: Tensor) -> tuple[Tensor, ...]:
        features = self.encoder(mel)
        return (features,) if self.projector is None else (features, self.projector(features))


class CodecDecoderGraph(nn.Module):
    """Codes -> mel."""

    def __init__(self, codec: Codec) -> None:
        super().__init__()
        self.codec = codec

    def forward(self, codes: Tensor) -> Tensor:
        return self.codec.decode(codes)


class CodecEncoderGraph(nn.Module):
    """Mel -> codes."""

    def __init__(self, codec: Codec) -> None:
        super().__init__()
        self.codec = codec

    def forward(self, mel: Tensor) -> Tensor:
        return self.codec.encode(mel)
