"""llama.cpp through llama-cpp-python's plain bindings: its ``Llama`` class copies logits about after every step."""

from __future__ import annotations

from pathlib import Path

from models import NEW_TOKENS, PROMPT_TOKENS, Work, in_new_folder

from .base import Contender


class LlamaCpp(Contender):
    @classmethod
    def prepare(cls, work: Work, precision: str) -> None:
        import llama_cpp  # noqa: F401 - missing is said before the file is made

        def make(target: Path) -> None:
            from gguf_file import write_gguf

            write_gguf(work.thinker(), target / "model.gguf", precision)

        in_new_folder(work.root / f"gguf-{precision}", make)

    def __init__(self, work: Work, precision: str, threads: int) -> None:
        import llama_cpp as lib
        import numpy as np

        lib.llama_backend_init()
        file = work.root / f"gguf-{precision}" / "model.gguf"
        self.lib, self.np = lib, np
        self.model = lib.llama_model_load_from_file(str(file).encode(), lib.llama_model_default_params())
        if not self.model:
            raise RuntimeError(f"llama.cpp cannot load {file.name}")
        params = lib.llama_context_default_params()
        params.n_ctx = PROMPT_TOKENS + NEW_TOKENS
        params.n_threads = params.n_threads_batch = threads
        if precision == "fp32":
            params.type_k = params.type_v = lib.GGML_TYPE_F32  # the default cache is float16
        self.context = lib.llama_init_from_model(self.model, params)
        self.vocabulary = lib.llama_vocab_n_tokens(lib.llama_model_get_vocab(self.model))

    def prefill(self, prompt: list[int]) -> int:
        self.lib.llama_memory_clear(self.lib.llama_get_memory(self.context), True)
        return self._next(prompt)

    def step(self, token: int) -> int:
        return self._next([token])

    def _next(self, ids: list[int]) -> int:
        tokens = (self.lib.llama_token * len(ids))(*ids)
        if self.lib.llama_decode(self.context, self.lib.llama_batch_get_one(tokens, len(ids))) != 0:
            raise RuntimeError("llama_decode failed")
        logits = self.lib.llama_get_logits_ith(self.context, -1)
        return int(self.np.ctypeslib.as_array(logits, shape=(self.vocabulary,)).argmax())
