"""PyTorch: muomni_export's own modules, and the same weights in Hugging Face transformers."""

from __future__ import annotations

from typing import Any

from models import NEW_TOKENS, PROMPT_TOKENS, Work

from .base import Contender


class Modules(Contender):
    """muomni_export's modules with a correct cache: what a bundle is tested against."""

    @classmethod
    def prepare(cls, work: Work, precision: str) -> None:
        work.checkpoint()

    def __init__(self, work: Work, precision: str, threads: int) -> None:
        from muomni_export.bench_torch import TorchThinker

        self.thinker = TorchThinker(work.checkpoint(), threads)

    def prefill(self, prompt: list[int]) -> int:
        return self.thinker.prefill(prompt)

    def step(self, token: int) -> int:
        return self.thinker.step(token)


class Transformers(Contender):
    """Eager, with the growing cache that ``generate`` uses by default."""

    @classmethod
    def prepare(cls, work: Work, precision: str) -> None:
        work.llama_folder()

    def __init__(self, work: Work, precision: str, threads: int) -> None:
        import torch
        from transformers import LlamaForCausalLM

        torch.set_num_threads(threads)
        self.torch = torch
        model: Any = LlamaForCausalLM.from_pretrained(work.llama_folder(), dtype=torch.float32)
        self.model = model.eval()

    def prefill(self, prompt: list[int]) -> int:
        from transformers import DynamicCache

        self.cache: Any = DynamicCache(config=self.model.config)
        self.seen = 0
        return self._next(self.model, prompt)

    def step(self, token: int) -> int:
        return self._next(self.model, [token])

    def _next(self, model: Any, ids: list[int]) -> int:
        with self.torch.inference_mode():
            out = model(
                input_ids=self.torch.tensor([ids]),
                position_ids=self.torch.arange(self.seen, self.seen + len(ids))[None],
                past_key_values=self.cache,
                use_cache=True,
                logits_to_keep=1,
            )
            self.seen += len(ids)
            return int(out.logits[0, -1].argmax())


class Compiled(Transformers):
    """``torch.compile`` of the step, with a static cache of the length that is needed; the prompt runs eagerly."""

    def __init__(self, work: Work, precision: str, threads: int) -> None:
        super().__init__(work, precision, threads)
        from transformers import StaticCache

        self.cache = StaticCache(config=self.model.config, max_cache_len=PROMPT_TOKENS + NEW_TOKENS)
        self.compiled = self.torch.compile(self.model, dynamic=False, fullgraph=True)

    def prefill(self, prompt: list[int]) -> int:
        with self.torch.inference_mode():
            self.cache.reset()
        self.seen = 0
        return self._next(self.model, prompt)

    def step(self, token: int) -> int:
        return self._next(self.compiled, [token])
