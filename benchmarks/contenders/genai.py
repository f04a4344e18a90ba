"""onnxruntime-genai with models that its own builder made from the Hugging Face folder."""

from __future__ import annotations

import json
from pathlib import Path

from models import NEW_TOKENS, Work, in_new_folder

from .base import Contender


class Genai(Contender):
    """The builder's defaults: blocks of 32 at 8 and 4 bits."""

    block = 32

    @classmethod
    def folder(cls, work: Work, precision: str) -> Path:
        name = precision if precision == "fp32" else f"{precision}-{cls.block}"
        return work.root / f"genai-{name}"

    @classmethod
    def prepare(cls, work: Work, precision: str) -> None:
        def make(target: Path) -> None:
            from onnxruntime_genai.models import builder

            arguments = (
                None,
                str(work.llama_folder()),
                str(target),
                precision,
                "cpu",
                str(work.root / "cache"),
            )
            block = [] if precision == "fp32" else [f"block_size={cls.block}"]
            # Since 0.18 create_model takes only what parse_extra_options has read and checked.
            options = builder.parse_extra_options(*arguments, block)
            builder.create_model(*arguments, **options)

        in_new_folder(cls.folder(work, precision), make)

    def __init__(self, work: Work, precision: str, threads: int) -> None:
        import numpy as np
        import onnxruntime_genai as og

        config = og.Config(str(self.folder(work, precision)))
        options = {"intra_op_num_threads": threads, "inter_op_num_threads": 1}
        config.overlay(json.dumps({"model": {"decoder": {"session_options": options}}}))
        self.og, self.np, self.model = og, np, og.Model(config)

    def prefill(self, prompt: list[int]) -> int:
        self._begin(prompt)
        return self.step(0)

    def _begin(self, prompt: list[int]) -> None:
        params = self.og.GeneratorParams(self.model)
        # An end of text below this length is excluded: it must not end the reply, as it ends nobody else's.
        length = len(prompt) + NEW_TOKENS + 1
        params.set_search_options(max_length=length, min_length=length, do_sample=False, batch_size=1)
        self.generator = self.og.Generator(self.model, params)
        self.generator.append_tokens(self.np.array(prompt, dtype=self.np.int32))

    def step(self, token: int) -> int:
        self.generator.generate_next_token()
        return int(self.generator.get_next_tokens()[0])

    def forced(self, prompt: list[int], ids: list[int]) -> list[int]:
        self._begin(prompt)
        best = [int(self.generator.get_logits()[0, -1].argmax())]
        for token in ids[:-1]:
            self.generator.append_tokens(self.np.array([token], dtype=self.np.int32))
            best.append(int(self.generator.get_logits()[0, -1].argmax()))
        return best


class Genai128(Genai):
    """With blocks as large as muomni's."""

    block = 128
