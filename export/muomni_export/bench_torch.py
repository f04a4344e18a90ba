"""The torch modules as an opponent of ``muomni-bench --against torch``, with a correct cache."""

from __future__ import annotations

from pathlib import Path

import torch

from muomni.errors import InputError

from .checkpoint.checkpoint_set import read_checkpoint
from .checkpoint.load import load_modules
from .modules.decoder import CachedAttend


class TorchThinker:
    """A checkpoint's Thinker, greedy, one sequence at a time; only the last position reaches the head."""

    def __init__(self, checkpoint: Path, threads: int) -> None:
        thinker = load_modules(read_checkpoint(checkpoint)).thinker
        if thinker is None:
            raise InputError(f"{checkpoint}: has no Thinker to compare with")
        torch.set_num_threads(threads)
        self._thinker = thinker
        self._attend = CachedAttend()

    def prefill(self, prompt: list[int]) -> int:
        """Begin anew with a prompt; give the first token."""
        self._attend = CachedAttend()
        return self._next(prompt)

    def step(self, token: int) -> int:
        """Take a token, give the next."""
        return self._next([token])

    def _next(self, ids: list[int]) -> int:
        with torch.inference_mode():
            hidden = self._thinker.hidden(self._thinker.tok_emb(torch.tensor([ids])), self._attend)
            return int(self._thinker.lm_head(hidden[:, -1]).argmax())
