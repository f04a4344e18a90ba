"""PyTorch's decode step on the same device: muomni_export's modules over a cache of fixed size, eager and compiled."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from muomni_export.checkpoint.checkpoint_set import read_checkpoint
from muomni_export.checkpoint.load import load_modules
from muomni_export.modules.decoder import DecoderSizes, rope_angles, rotate, split_heads


class StaticAttend:
    """Attention over buffers (B, KV, positions, head) that are written in place, at a position that is a tensor."""

    def __init__(self, rows: int, capacity: int, sizes: DecoderSizes, like: Tensor) -> None:
        shape = (2 * sizes.layers, rows, sizes.kv_heads, capacity, sizes.head_size)
        self.buffers = torch.zeros(shape, dtype=like.dtype, device=like.device)
        self.at = torch.zeros(1, dtype=torch.int64, device=like.device)
        self.cosines, self.sines = (table.to(like) for table in rope_angles(capacity, sizes))
        self.positions = torch.arange(capacity, device=like.device)

    def __call__(self, layer: int, query: Tensor, key: Tensor, value: Tensor, sizes: DecoderSizes) -> Tensor:
        cosines, sines = self.cosines[self.at], self.sines[self.at]
        keys, values = self.buffers[2 * layer], self.buffers[2 * layer + 1]
        keys.index_copy_(2, self.at, rotate(split_heads(key, sizes.kv_heads), cosines, sines))
        values.index_copy_(2, self.at, split_heads(value, sizes.kv_heads))
        out = F.scaled_dot_product_attention(
            rotate(split_heads(query, sizes.heads), cosines, sines),
            keys,
            values,
            attn_mask=(self.positions <= self.at)[None],
            enable_gqa=sizes.kv_heads != sizes.heads,
        )
        return out.transpose(1, 2).flatten(2)


class TorchSteps:
    """Steps at one length, as :class:`scaling.Steps` takes them: ids in, the likeliest ids of every row out.

    Args:
        compiled: by torch.compile; on CUDA with CUDA graphs.
    """

    def __init__(
        self, checkpoint: Path, device: str, compiled: bool, batch: int, context: int, steps: int
    ) -> None:
        dtype = torch.float16 if device == "cuda" else torch.float32
        thinker: Any = load_modules(read_checkpoint(checkpoint)).thinker
        thinker = thinker.to(device=device, dtype=dtype).eval()
        self.steps, self.device = steps, device
        self.ids = torch.full((batch, 1), 5, dtype=torch.int64, device=device)
        attend = StaticAttend(batch, context, thinker.sizes.decoder, thinker.lm_head.weight)
        attend.at.fill_(context - 1)

        def step(ids: Tensor) -> Tensor:
            hidden = thinker.hidden(thinker.tok_emb(ids), attend)
            chosen: Tensor = thinker.lm_head(hidden[:, -1]).argmax(dim=-1)
            return chosen

        mode = "reduce-overhead" if device == "cuda" else "default"
        self._step = torch.compile(step, mode=mode, fullgraph=True) if compiled else step
        for _ in range(4):  # compiles, and captures
            self._once()

    def _once(self) -> None:
        with torch.no_grad():
            self._step(self.ids).tolist()

    def seconds(self) -> float:
        """Seconds of one step, the mean of some, after one that does not count."""
        self._once()
        start = time.perf_counter()
        for _ in range(self.steps):
            self._once()
        return (time.perf_counter() - start) / self.steps


def cannot(device: str, compiled: bool) -> str | None:
    """Why PyTorch cannot be measured there; None where it can."""
    if compiled and device != "cuda":
        return "without a GPU there are no CUDA graphs to be compared with"
    if device == "cuda" and not torch.cuda.is_available():
        return f"PyTorch {torch.__version__} sees no GPU; install a build with CUDA"
    return None
