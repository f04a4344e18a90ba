"""``GroupQueryAttention`` as an :class:`Attend` strategy, for graphs.

The op (domain ``com.microsoft``) rotates, appends to the cache and attends in one kernel; when past and
present share a buffer it copies nothing. Source: ONNX Runtime's contrib operator documentation.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from muomni_export.modules.decoder import Attention, Block, DecoderSizes, SwiGLU, rope_angles

CONTRIB_DOMAIN = "com.microsoft"


class PackedBlock(nn.Module):
    """A block whose query, key and value are one product, and gate and up another.

    A decode step on the CPU is bound by the number of nodes as much as by their work, so fewer and larger
    products are faster; the numbers are the same.
    """

    def __init__(self, block: nn.Module, layer: int) -> None:
        super().__init__()
        assert isinstance(block, Block)
        self.layer = layer
        self.norm1, self.norm2 = block.norm1, block.norm2
        attention: Attention = block.attn
        self.sizes = attention.sizes
        weight = attention.packed_weight()
        self.qkv = linear(weight)
        self.o = attention.o
        self.feed_forward = packed(block.feed_forward)

    def forward(self, x: Tensor, cache: Cache) -> Tensor:
        attended = cache.attend(self.layer, self.qkv(self.norm1(x)), self.sizes)
        x = x + self.o(attended)
        out: Tensor = x + self.feed_forward(self.norm2(x))
        return out


class PackedSwiGLU(nn.Module):
    """SwiGLU whose gate and up projections are one product."""

    def __init__(self, mlp: SwiGLU) -> None:
        super().__init__()
        self.gate_up = linear(torch.cat((mlp.gate_proj.weight, mlp.up_proj.weight)))
        self.down_proj = mlp.down_proj

    def forward(self, x: Tensor) -> Tensor:
        gate, up = self.gate_up(x).chunk(2, dim=-1)
        out: Tensor = self.down_proj(F.silu(gate) * up)
        return out


def packed(feed_forward: nn.Module) -> nn.Module:
    """The feed-forward part of a block with as few products as it can have."""
    return PackedSwiGLU(feed_forward) if isinstance(feed_forward, SwiGLU) else feed_forward


def linear(weight: Tensor, bias: Tensor | None = None) -> nn.Linear:
    """A layer of its own with that weight (out, in), so that its product has a whole initializer."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    layer.weight = nn.Parameter(weight.detach().contiguous(), requires_grad=False)
    if bias is not None:
        layer.bias = nn.Parameter(bias.detach().contiguous(), requires_grad=False)
    return layer


class Cache:
    """The graph's past tensors and lengths, and the present tensors its attention nodes give."""

    def __init__(
        self,
        past: Sequence[Tensor],
        seqlens_k: Tensor,
        total_sequence_length: Tensor,
        cosines: Tensor,
        sines: Tensor,
    ) -> None:
        self.past = past
        self.seqlens_k, self.total_sequence_length = seqlens_k, total_sequence_length
        self.cosines, self.sines = cosines, sines
        self.present: list[Tensor] = []

    def attend(self, layer: int, qkv: Tensor, sizes: DecoderSizes) -> Tensor:
        """Packed query, key and value (B, T, (H + 2 KV) · head) -> (B, T, H · head)."""
        key, value = self.past[2 * layer], self.past[2 * layer + 1]
        out, present_key, present_value = torch.onnx.ops.symbolic_multi_out(
            f"{CONTRIB_DOMAIN}::GroupQueryAttention",
            [
                qkv,
                None,
                None,
                key,
                value,
                self.seqlens_k,
                self.total_sequence_length,
                self.cosines,
                self.sines,
            ],
            attrs={
                "num_heads": sizes.heads,
                "kv_num_heads": sizes.kv_heads,
                "do_rotary": 1,
                "rotary_interleaved": 0,
            },
            dtypes=(qkv.dtype, key.dtype, value.dtype),
            shapes=((qkv.shape[0], qkv.shape[1], sizes.width), key.shape, value.shape),
            version=1,
        )
        self.present += [present_key, present_value]
        return out


class RotaryTables(nn.Module):
    """Cosines and sines (positions, head/2) as buffers."""

    cosines: Tensor
    sines: Tensor

    def __init__(self, positions: int, sizes: DecoderSizes) -> None:
        super().__init__()
        cosines, sines = rope_angles(positions, sizes)
        self.register_buffer("cosines", cosines)
        self.register_buffer("sines", sines)
