"""Random state dicts of every stage, and the forms that checkpoints have them in."""

from __future__ import annotations

from math import prod, sqrt
from typing import Literal

import torch
from torch import Tensor

from muomni_export.stages.registry import STAGES

from .sizes import SetSizes

WeightNorm = Literal["folded", "weight_g", "parametrizations"]
State = dict[str, Tensor]


def random_states(sizes: SetSizes, seed: int) -> dict[str, State]:
    """Every state dict by its name, deterministic for a seed whatever else is asked for."""
    width = sizes.thinker.decoder.width
    shapes: dict[str, dict[str, torch.Size]] = {}
    with torch.device("meta"):
        for stage in STAGES:
            made = stage.synthetic.modules(getattr(sizes, stage.name), width) if stage.synthetic else {}
            for name, module in made.items():
                shapes[name] = {key: tensor.shape for key, tensor in module.state_dict().items()}
    mains = [stage.name for stage in STAGES if stage.name in shapes]
    states = {}
    for i, name in enumerate((*mains, *sorted(shapes.keys() - set(mains)))):
        generator = torch.Generator().manual_seed(1_000_003 * seed + i)
        states[name] = {key: _random(key, shape, generator) for key, shape in shapes[name].items()}
    return states


def _random(name: str, shape: torch.Size, generator: torch.Generator) -> Tensor:
    """Weights that keep the scale of what goes through them: logits come out of order 1."""
    noise: Tensor = torch.randn(shape, generator=generator)
    if name.endswith("bias"):
        return 0.02 * noise
    if "norm" in name:
        return 1 + 0.02 * noise
    if name.rpartition(".")[2] in ("start", "cls", "pos"):
        return 0.1 * noise
    if "emb." in name or "embed." in name or name.startswith("codebooks."):
        return noise
    # (outputs, inputs, *kernel); a transposed convolution has its inputs first, and strides over its kernel.
    inputs = 2 * shape[0] if name.startswith("ups.") else prod(shape[1:])
    gain = 0.3 if name.startswith("resblocks.") else 1.0  # branches are added to their input
    return gain / sqrt(inputs) * noise


def with_old_attention(state: State) -> State:
    """The audio encoder's attention under the names of ``nn.MultiheadAttention``."""

    def renamed(name: str) -> str:
        name = name.replace(".qkv_proj.", ".attn.in_proj_")
        return name.replace(".out_proj.", ".attn.out_proj.")

    return {renamed(name): tensor for name, tensor in state.items()}


def with_weight_norm(state: State, kind: WeightNorm) -> State:
    """The vocoder's weights as gain and direction, in torch's older or newer names."""
    gain, direction = (
        ("weight_g", "weight_v")
        if kind == "weight_g"
        else ("parametrizations.weight.original0", "parametrizations.weight.original1")
    )
    out: State = {}
    for name, tensor in state.items():
        if not name.endswith(".weight"):
            out[name] = tensor
            continue
        module = name.removesuffix("weight")
        norm = tensor.flatten(1).norm(dim=1).reshape(-1, 1, 1)
        out[module + gain], out[module + direction] = norm, 3 * tensor / norm
    return out
