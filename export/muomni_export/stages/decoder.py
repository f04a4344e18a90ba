"""What the stages with decoder blocks share: their sizes, their cache in a graph, their JSON."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from muomni.errors import CheckpointError
from muomni_export.modules.decoder import DecoderSizes

from .evidence import Evidence
from .stage import BATCH, CAPACITY

ROTARY_HEAD_MULTIPLE = 16  # what com.microsoft.GroupQueryAttention with do_rotary accepts


def decoder_sizes(
    found: Evidence, default_heads: int, default_width: int, attention: str = "attn"
) -> DecoderSizes:
    """Sizes of a stack of decoder blocks, whose self-attention has that name.

    Raises:
        CheckpointError: tensors that are missing or do not fit together, heads that cannot be known or used.
    """
    (width,) = found.shape("norm.weight", 1)
    layers = found.count("blocks.")
    found.compare("n_layers", layers)
    found.compare("d_model", width)
    heads = found.heads(width, default_heads, default_width)
    head_size = width // heads
    if head_size % ROTARY_HEAD_MULTIPLE:
        raise CheckpointError(
            f"{found.weights.source}: {found.stage}: ONNX Runtime's attention with rotary positions "
            f"needs a head size that is a multiple of {ROTARY_HEAD_MULTIPLE}, got {head_size} (width {width} "
            f"/ {heads} heads, {found.name_in_config('n_heads')} from {found.config_name})"
        )
    kv_heads, fused = _kv_heads(found, width, heads, attention)
    activation, hidden, experts = _feed_forward(found)
    return DecoderSizes(
        width=width,
        layers=layers,
        heads=heads,
        kv_heads=kv_heads,
        hidden=hidden,
        activation=activation,
        fused_qkv=fused,
        experts=experts,
        experts_per_token=_experts_per_token(found, experts),
        rope_theta=found.number("rope_theta") or 10_000.0,
    )


def _kv_heads(found: Evidence, width: int, heads: int, attention: str) -> tuple[int, bool]:
    """Key/value heads from the rows of the projections, and whether these are one matrix."""
    fused = found.has(f"blocks.0.{attention}.qkv.weight")
    head_size = width // heads
    name = f"blocks.0.{attention}.{'qkv' if fused else 'k'}.weight"
    rows, _ = found.shape(name, 2)
    kv_rows, odd = divmod(rows - width, 2) if fused else (rows, 0)
    if odd or kv_rows < 1 or kv_rows % head_size or heads % (kv_rows // head_size):
        of = f"{width} query rows and twice " if fused else ""
        raise found.refuse(
            name,
            f"{of}a number of key rows that makes whole heads of {head_size} (width {width} / {heads} heads, "
            f"{found.name_in_config('n_heads')} from {found.config_name}), as many as divide {heads}",
            f"{rows} rows",
        )
    kv_heads = kv_rows // head_size
    found.compare("use_gqa", not fused)
    if not fused:
        found.compare("kv_groups", kv_heads)
    return kv_heads, fused


def _feed_forward(found: Evidence) -> tuple[Literal["swiglu", "gelu"], int, int]:
    """Activation, hidden width and number of experts (0 without)."""
    experts = 0
    prefix = "blocks.0.mlp."
    if found.has("blocks.0.moe.router.weight"):
        experts, _ = found.shape("blocks.0.moe.router.weight", 2)
        prefix = "blocks.0.moe.experts.0."
        found.compare("num_experts", experts)
    found.compare("use_moe", experts > 0)
    gelu = found.has(f"{prefix}fc1.weight")
    hidden, _ = found.shape(f"{prefix}fc1.weight" if gelu else f"{prefix}gate_proj.weight", 2)
    found.compare("use_swiglu", not gelu)
    found.compare("d_ff", hidden)
    return "gelu" if gelu else "swiglu", hidden, experts


def _experts_per_token(found: Evidence, experts: int) -> int:
    default = 2  # the reference's
    if not experts:
        return default
    chosen = found.positive("num_experts_per_tok")
    if chosen is None:
        found.note_default("num_experts_per_tok", default)
        chosen = default
    if chosen > experts:
        raise found.wrong_value("num_experts_per_tok", f"at most the {experts} experts there are", chosen)
    return chosen


def cache_example(sizes: DecoderSizes) -> tuple[list[Tensor], list[dict[int, Any]]]:
    """Past keys and values for tracing, and their dynamic axes."""
    shape = (BATCH, sizes.kv_heads, CAPACITY, sizes.head_size)
    batch, capacity = torch.export.Dim("B"), torch.export.Dim("P")
    count = 2 * sizes.layers
    return [torch.zeros(shape) for _ in range(count)], [{0: batch, 2: capacity} for _ in range(count)]


def lengths_example(step: int) -> tuple[tuple[Tensor, Tensor], tuple[Any, Any]]:
    """``seqlens_k`` and ``total_sequence_length`` for tracing, and their dynamic axes."""
    lengths = (torch.full((BATCH,), step - 1, dtype=torch.int32), torch.tensor(step, dtype=torch.int32))
    return lengths, ({0: torch.export.Dim("B")}, {})


def decoder_fields(sizes: DecoderSizes) -> dict[str, Any]:
    """The fields of a decoder's manifest entry."""
    return {
        "width": sizes.width,
        "layers": sizes.layers,
        "heads": sizes.heads,
        "kv_heads": sizes.kv_heads,
        "head_size": sizes.head_size,
    }


def decoder_config(sizes: DecoderSizes) -> dict[str, Any]:
    """The JSON of a training run for a stack of decoder blocks."""
    config: dict[str, Any] = encoder_config(sizes)
    config |= {"rope_theta": sizes.rope_theta, "dropout": 0.1, "use_swiglu": sizes.activation == "swiglu"}
    config |= {"use_gqa": not sizes.fused_qkv, "kv_groups": sizes.kv_heads, "use_moe": sizes.experts > 0}
    if sizes.experts:
        config |= {"num_experts": sizes.experts, "num_experts_per_tok": sizes.experts_per_token}
    return config


def encoder_config(sizes: Any) -> dict[str, Any]:
    """The JSON of a training run for a stack of transformer blocks."""
    return {"d_model": sizes.width, "n_layers": sizes.layers, "n_heads": sizes.heads, "d_ff": sizes.hidden}
