"""The decoder shared by the Thinker and the Talker: pre-norm blocks with rotary, grouped-query attention.

How attention reaches past positions is a strategy (:class:`Attend`), so that one set of blocks serves
training, the cached torch decode and the export to ONNX.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

RMS_NORM_EPSILON = 1e-5  # the reference's


@dataclass(frozen=True)
class DecoderSizes:
    """What a stack of decoder blocks looks like.

    ``experts`` is 0 for a plain MLP; otherwise each block routes a token to ``experts_per_token`` of them.
    ``fused_qkv`` only says how the checkpoint stores the projections (``qkv`` or ``q, k, v``).
    """

    width: int
    layers: int
    heads: int
    kv_heads: int
    hidden: int
    activation: Literal["swiglu", "gelu"] = "swiglu"
    fused_qkv: bool = False
    experts: int = 0
    experts_per_token: int = 2
    rope_theta: float = 10000.0

    @property
    def head_size(self) -> int:
        return self.width // self.heads


class Attend(Protocol):
    """Attention over the positions seen so far."""

    def __call__(self, layer: int, query: Tensor, key: Tensor, value: Tensor, sizes: DecoderSizes) -> Tensor:
        """Take query (B, T, H·head), key and value (B, T, KV·head), not rotated; give (B, T, H·head)."""
        ...


def rope_angles(length: int, sizes: DecoderSizes) -> tuple[Tensor, Tensor]:
    """Cosines and sines (length, head/2) of rotary embeddings (Su et al. 2021, rotate-half layout)."""
    half = sizes.head_size // 2
    frequencies = sizes.rope_theta ** (-torch.arange(half, dtype=torch.float64) / half)
    angles = torch.arange(length, dtype=torch.float64)[:, None] * frequencies
    return angles.cos().float(), angles.sin().float()


def rotate(x: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    """Rotate x (B, H, T, head) by the angles of its T positions, (T, head/2) each."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat((first * cosines - second * sines, second * cosines + first * sines), dim=-1)


def split_heads(x: Tensor, heads: int) -> Tensor:
    """(B, T, heads·head) -> (B, heads, T, head)."""
    return x.reshape(*x.shape[:2], heads, -1).transpose(1, 2)


def attend_uncached(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    sizes: DecoderSizes,
    mask: Tensor | None = None,
    is_causal: bool = False,
) -> Tensor:
    """Rotated attention of whole sequences, with the tensors of :class:`Attend`; ``mask`` is torch's ``attn_mask``."""
    cosines, sines = (a.to(query) for a in rope_angles(query.shape[1], sizes))
    q = rotate(split_heads(query, sizes.heads), cosines, sines)
    k = rotate(split_heads(key, sizes.kv_heads), cosines, sines)
    v = split_heads(value, sizes.kv_heads)
    out = F.scaled_dot_product_attention(
        q, k, v, attn_mask=mask, is_causal=is_causal, enable_gqa=sizes.kv_heads != sizes.heads
    )
    return out.transpose(1, 2).flatten(2)


class CausalAttend:
    """Attention without a cache: every position sees itself and those before it."""

    def __call__(self, layer: int, query: Tensor, key: Tensor, value: Tensor, sizes: DecoderSizes) -> Tensor:
        return attend_uncached(query, key, value, sizes, is_causal=True)


class CachedAttend:
    """Attention that keeps keys and values: the correct form of the reference's cached decode.

    Use one object per conversation; call the decoder with the new positions only. All rows of a batch have
    the same length.
    """

    def __init__(self) -> None:
        self.past: dict[int, tuple[Tensor, Tensor]] = {}

    def __call__(self, layer: int, query: Tensor, key: Tensor, value: Tensor, sizes: DecoderSizes) -> Tensor:
        k, v = split_heads(key, sizes.kv_heads), split_heads(value, sizes.kv_heads)
        seen = self.past[layer][0].shape[2] if layer in self.past else 0
        step = query.shape[1]
        cosines, sines = (a[seen:].to(query) for a in rope_angles(seen + step, sizes))
        q, k = rotate(split_heads(query, sizes.heads), cosines, sines), rotate(k, cosines, sines)
        if seen:
            k, v = torch.cat((self.past[layer][0], k), dim=2), torch.cat((self.past[layer][1], v), dim=2)
        self.past[layer] = (k, v)
        mask = None
        if step > 1:
            mask = torch.ones(step, seen + step, dtype=torch.bool, device=q.device).tril(seen)
        out = F.scaled_dot_product_attention(
            q, k, v, attn_mask=mask, enable_gqa=sizes.kv_heads != sizes.heads
        )
        return out.transpose(1, 2).flatten(2)


class RMSNorm(nn.Module):
    """Root-mean-square norm (Zhang & Sennrich 2019), x (…, d) -> (…, d)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, self.weight.shape, self.weight, RMS_NORM_EPSILON)


class Attention(nn.Module):
    """The projections around attention, without biases."""

    def __init__(self, sizes: DecoderSizes) -> None:
        super().__init__()
        self.sizes = sizes
        kv_width = sizes.kv_heads * sizes.head_size
        if sizes.fused_qkv:
            self.qkv = nn.Linear(sizes.width, sizes.width + 2 * kv_width, bias=False)
        else:
            self.q = nn.Linear(sizes.width, sizes.width, bias=False)
            self.k = nn.Linear(sizes.width, kv_width, bias=False)
            self.v = nn.Linear(sizes.width, kv_width, bias=False)
        self.o = nn.Linear(sizes.width, sizes.width, bias=False)

    def packed_weight(self) -> Tensor:
        """Rows of query, key and value in one matrix (width + 2·KV·head, width)."""
        if self.sizes.fused_qkv:
            return self.qkv.weight
        return torch.cat((self.q.weight, self.k.weight, self.v.weight))

    def forward(self, x: Tensor, layer: int, attend: Attend) -> Tensor:
        sizes = self.sizes
        if sizes.fused_qkv:
            kv_width = sizes.kv_heads * sizes.head_size
            query, key, value = self.qkv(x).split((sizes.width, kv_width, kv_width), dim=-1)
        else:
            query, key, value = self.q(x), self.k(x), self.v(x)
        out: Tensor = self.o(attend(layer, query, key, value, sizes))
        return out


class SwiGLU(nn.Module):
    """down(silu(gate(x)) · up(x)), without biases (Shazeer 2020)."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(width, hidden, bias=False)
        self.up_proj = nn.Linear(width, hidden, bias=False)
        self.down_proj = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))
        return out


class GeluMLP(nn.Module):
    """fc2(gelu(fc1(x))) with biases and the exact GELU."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc2(F.gelu(self.fc1(x)))
        return out


def make_mlp(sizes: DecoderSizes) -> nn.Module:
    kind = SwiGLU if sizes.activation == "swiglu" else GeluMLP
    return kind(sizes.width, sizes.hidden)


class MixtureOfExperts(nn.Module):
    """Softmax over all experts, the best ``experts_per_token`` renormalised to sum to one.

    Every expert is computed for every token and weighted (by zero when not chosen): at these sizes that is
    cheaper than a gather, and it exports without control flow.
    """

    def __init__(self, sizes: DecoderSizes) -> None:
        super().__init__()
        self.experts_per_token = sizes.experts_per_token
        self.router = nn.Linear(sizes.width, sizes.experts, bias=False)
        self.experts = nn.ModuleList(make_mlp(sizes) for _ in range(sizes.experts))

    def forward(self, x: Tensor) -> Tensor:
        probabilities = self.router(x).softmax(dim=-1)
        best, chosen = probabilities.topk(self.experts_per_token, dim=-1)
        best = best / (best.sum(dim=-1, keepdim=True) + 1e-8)  # 1e-8: the reference's guard
        weights = torch.zeros_like(probabilities).scatter(-1, chosen, best)
        out = torch.zeros_like(x)
        for i, expert in enumerate(self.experts):
            out = out + weights[..., i : i + 1] * expert(x)
        return out


class Block(nn.Module):
    """x + attention(norm1(x)), then x + mlp(norm2(x))."""

    def __init__(self, sizes: DecoderSizes) -> None:
        super().__init__()
        self.norm1 = RMSNorm(sizes.width)
        self.attn = Attention(sizes)
        self.norm2 = RMSNorm(sizes.width)
        if sizes.experts:
            self.moe = MixtureOfExperts(sizes)
        else:
            self.mlp = make_mlp(sizes)

    @property
    def feed_forward(self) -> nn.Module:
        return self.moe if hasattr(self, "moe") else self.mlp

    def forward(self, x: Tensor, layer: int, attend: Attend) -> Tensor:
        x = x + self.attn(self.norm1(x), layer, attend)
        out: Tensor = x + self.feed_forward(self.norm2(x))
        return out
