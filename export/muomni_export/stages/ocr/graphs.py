"""The two graphs of OCR and their checks.

The encoder ends in the keys and values that the cross-attention of each layer looks at: they are computed once for a
picture. The decoder is fed one character after the other, with a cache for its self-attention.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from muomni.bundle.contract import cross_names
from muomni_export.modules.decoder import split_heads
from muomni_export.modules.ocr import CrossAttention, Ocr, OcrBlock
from muomni_export.onnx.attention import Cache, RotaryTables, linear, packed
from muomni_export.parity.compare import GraphCheck, generator, normal, parameters_of, split_chunks, to_numpy
from muomni_export.parity.replay import Arrays
from muomni_export.stages.decoder import cache_example, lengths_example
from muomni_export.stages.stage import BATCH, STEP, GraphBuild

MOST_CHARACTERS = 128  # the reference's
START_ID, END_IDS = 1, (2, 0)  # the reference's: it ends at padding, too
ENCODER, DECODER = "ocr_encoder", "ocr"


class KeyValues(nn.Module):
    """What a layer's cross-attention looks at (B, N, d) -> keys and values, (B, H, N, head) each."""

    def __init__(self, attention: CrossAttention) -> None:
        super().__init__()
        self.heads = attention.heads
        self.key_value = linear(*attention.key_value_projection())

    def forward(self, seen: Tensor) -> tuple[Tensor, Tensor]:
        key, value = self.key_value(seen).chunk(2, dim=-1)
        return split_heads(key, self.heads), split_heads(value, self.heads)


class OcrEncoderGraph(nn.Module):
    """Pixels -> keys and values of the picture, layer by layer."""

    def __init__(self, ocr: Ocr) -> None:
        super().__init__()
        self.encoder, self.img_proj = ocr.vision_encoder, ocr.decoder.img_proj
        self.layers = nn.ModuleList(map(KeyValues, ocr.decoder.cross_attentions))

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        _, grid = self.encoder(pixels)
        seen = self.img_proj(grid)
        return tuple(tensor for layer in self.layers for tensor in layer(seen))


class CachedOcrBlock(nn.Module):
    """A block whose self-attention has a cache, and whose cross-attention is given its keys and values."""

    def __init__(self, block: nn.Module, layer: int) -> None:
        super().__init__()
        assert isinstance(block, OcrBlock)
        self.layer = layer
        self.norm1, self.norm2, self.norm3 = block.norm1, block.norm2, block.norm3
        self.sizes = block.self_attn.sizes
        self.qkv, self.o = linear(block.self_attn.packed_weight()), block.self_attn.o
        self.query, self.out_proj = linear(*block.cross_attn.query_projection()), block.cross_attn.out_proj
        self.feed_forward = packed(block.mlp)

    def forward(self, x: Tensor, key: Tensor, value: Tensor, cache: Cache) -> Tensor:
        x = x + self.o(cache.attend(self.layer, self.qkv(self.norm1(x)), self.sizes))
        query = split_heads(self.query(self.norm2(x)), self.sizes.heads)
        looked = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        x = x + self.out_proj(looked)
        out: Tensor = x + self.feed_forward(self.norm3(x))
        return out


class OcrDecoderGraph(nn.Module):
    """Ids, keys and values of the picture, and a cache -> logits of the next character."""

    def __init__(self, ocr: Ocr) -> None:
        super().__init__()
        decoder = ocr.decoder
        self.char_embed, self.norm, self.head = decoder.char_embed, decoder.norm, decoder.head
        self.blocks = nn.ModuleList(CachedOcrBlock(block, i) for i, block in enumerate(decoder.blocks))
        self.rotary = RotaryTables(MOST_CHARACTERS, ocr.sizes.decoder)

    def forward(
        self,
        input_ids: Tensor,
        cross: list[Tensor],
        seqlens_k: Tensor,
        total_sequence_length: Tensor,
        past: list[Tensor],
    ) -> tuple[Tensor, ...]:
        cache = Cache(past, seqlens_k, total_sequence_length, self.rotary.cosines, self.rotary.sines)
        x = self.char_embed(input_ids)
        for layer, block in enumerate(self.blocks):
            x = block(x, cross[2 * layer], cross[2 * layer + 1], cache)
        return (self.head(self.norm(x[:, -1])), *cache.present)


def encoder_check(ocr: Ocr) -> GraphCheck:
    random, size, names = generator(), ocr.sizes.vision.image_size, cross_names(ocr.sizes.decoder.layers)

    def case(batch: int) -> Arrays:
        levels = random.integers(0, 256, (batch, 3, size, size)).astype(np.float32)
        return {"pixels": levels / np.float32(255)}

    def reference(case: Arrays) -> Arrays:
        with torch.inference_mode():
            made = ocr.look(torch.from_numpy(case["pixels"]))
        return to_numpy(**dict(zip(names, made, strict=True)))

    parameters = parameters_of(ocr) - _decoding_parameters(ocr)
    return GraphCheck(ENCODER, parameters, [case(n) for n in (1, 2, 3)], reference)


def decoder_check(ocr: Ocr) -> GraphCheck:
    random, sizes, names = generator(), ocr.sizes.decoder, cross_names(ocr.sizes.decoder.layers)

    def case(batch: int, length: int, *chunks: int) -> Arrays:
        ids = random.integers(0, ocr.sizes.vocabulary, (batch, length))
        cross = {
            name: normal(random, batch, sizes.heads, ocr.sizes.vision.patches, sizes.head_size)
            for name in names
        }
        return {"input_ids": ids, **cross, "chunks": split_chunks(length, *chunks)}

    def reference(case: Arrays) -> Arrays:
        last = torch.from_numpy(case["chunks"].cumsum() - 1)
        with torch.inference_mode():
            cross = [torch.from_numpy(case[name]) for name in names]
            return to_numpy(logits=ocr.decoder(torch.from_numpy(case["input_ids"]), cross)[:, last])

    cases = [case(1, 6, 2), case(1, 1), case(3, 8, 3), case(1, MOST_CHARACTERS, 9)]
    return GraphCheck(DECODER, _decoding_parameters(ocr), cases, reference)


def _decoding_parameters(ocr: Ocr) -> int:
    """Of the decoder without what a picture is projected with, which is in the encoder's graph."""
    once = [t for attention in ocr.decoder.cross_attentions for t in attention.key_value_projection()]
    return parameters_of(ocr.decoder) - parameters_of(ocr.decoder.img_proj) - sum(t.numel() for t in once)


def ocr_builds(ocr: Ocr) -> list[GraphBuild]:
    sizes, size = ocr.sizes.decoder, ocr.sizes.vision.image_size
    batch = torch.export.Dim("B")
    past, past_axes = cache_example(sizes)
    lengths, length_axes = lengths_example(STEP)
    seen = [
        torch.zeros(BATCH, sizes.heads, ocr.sizes.vision.patches, sizes.head_size)
        for _ in range(2 * sizes.layers)
    ]
    pixels, ids = torch.zeros(BATCH, 3, size, size), torch.zeros(BATCH, STEP, dtype=torch.int64)
    return [
        GraphBuild(ENCODER, OcrEncoderGraph(ocr), (pixels,), ({0: batch},), encoder_check(ocr)),
        GraphBuild(
            DECODER,
            OcrDecoderGraph(ocr),
            (ids, seen, *lengths, past),
            ({0: batch, 1: torch.export.Dim("S")}, [{0: batch} for _ in seen], *length_axes, past_axes),
            decoder_check(ocr),
        ),
    ]
