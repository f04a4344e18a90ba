"""The contenders, one class each: ``prefill`` a prompt, then ``step`` token by token, greedily."""

from __future__ import annotations

from typing import Any

from models import Work


class Muomni:
    package = "muomni"

    def __init__(self, work: Work, precision: str, threads: int) -> None:
        from muomni import Omni

        self.thinker = Omni.load(work.bundle(precision), device="cpu", threads=threads).thinker

    def prefill(self, prompt: list[int]) -> int:
        self.state = self.thinker.start(512)
        return int(self.thinker.feed(self.state, prompt).argmax())

    def step(self, token: int) -> int:
        return int(self.thinker.feed(self.state, [token]).argmax())


class Torch:
    package = "torch"

    def __init__(self, work: Work, precision: str, threads: int) -> None:
        from muomni_export.bench_torch import TorchThinker

        thinker = TorchThinker(work.checkpoint, threads)
        self.prefill, self.step = thinker.prefill, thinker.step


class Transformers:
    package = "transformers"

    def __init__(self, work: Work, precision: str, threads: int) -> None:
        import torch

        torch.set_num_threads(threads)
        self.torch, self.model = torch, work.llama()

    def prefill(self, prompt: list[int]) -> int:
        self.cache: Any = None
        return self._next(prompt)

    def step(self, token: int) -> int:
        return self._next([token])

    def _next(self, ids: list[int]) -> int:
        with self.torch.inference_mode():
            out = self.model(
                self.torch.tensor([ids]), past_key_values=self.cache, use_cache=True, logits_to_keep=1
            )
        self.cache = out.past_key_values
        return int(out.logits[0, -1].argmax())


class OpenVino:
    """The torch module with its cache inside the model (stateful), converted by OpenVINO."""

    package = "openvino"

    def __init__(self, work: Work, precision: str, threads: int) -> None:
        import numpy as np
        import openvino as ov
        import torch
        from openvino._offline_transformations import apply_make_stateful_transformation

        llama_like = _PlainThinker.make(work.thinker())
        sizes = llama_like.sizes
        past = torch.zeros(1, sizes.kv_heads, 3, sizes.head_size)
        example = (torch.ones(1, 2, dtype=torch.int64), *[past] * (2 * sizes.layers))
        empty = ov.PartialShape([1, sizes.kv_heads, -1, sizes.head_size])
        model = ov.convert_model(
            llama_like, example_input=example, input=[ov.PartialShape([1, -1])] + [empty] * (2 * sizes.layers)
        )
        names = {}
        for index in range(2 * sizes.layers):
            model.inputs[1 + index].tensor.set_names({f"past{index}"})
            model.outputs[1 + index].tensor.set_names({f"present{index}"})
            names[f"past{index}"] = f"present{index}"
        apply_make_stateful_transformation(model, names)
        if precision != "fp32":
            import nncf

            mode = (
                nncf.CompressWeightsMode.INT8_SYM
                if precision == "int8"
                else nncf.CompressWeightsMode.INT4_SYM
            )
            model = nncf.compress_weights(model, mode=mode)
        hints = {
            "INFERENCE_NUM_THREADS": threads,
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32",
        }
        self.np = np
        self.request = ov.Core().compile_model(model, "CPU", hints).create_infer_request()

    def prefill(self, prompt: list[int]) -> int:
        self.request.reset_state()
        return self._next(prompt)

    def step(self, token: int) -> int:
        return self._next([token])

    def _next(self, ids: list[int]) -> int:
        self.request.infer([self.np.array([ids], dtype=self.np.int64)], share_inputs=True)
        return int(self.request.get_output_tensor(0).data[0].argmax())


class _PlainThinker:
    """The Thinker with past in and present out, in ops that any converter knows."""

    @staticmethod
    def make(thinker: Any) -> Any:
        import torch
        from torch import nn
        from torch.nn import functional as F

        from muomni_export.modules.decoder import rope_angles, rotate, split_heads

        class Plain(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.thinker, self.sizes = thinker, thinker.sizes.decoder
                cosines, sines = rope_angles(thinker.sizes.context_length, self.sizes)
                self.register_buffer("cosines", cosines)
                self.register_buffer("sines", sines)

            def forward(self, ids: torch.Tensor, *past: torch.Tensor) -> tuple[torch.Tensor, ...]:
                present = []
                seen, step = past[0].shape[2], ids.shape[1]
                positions = torch.arange(seen + step)
                mask = positions[None, :] <= positions[seen:, None]
                cosines, sines = self.cosines[positions[seen:]], self.sines[positions[seen:]]

                def attend(layer: int, q: Any, k: Any, v: Any, sizes: Any) -> torch.Tensor:
                    q = rotate(split_heads(q, sizes.heads), cosines, sines)
                    k = rotate(split_heads(k, sizes.kv_heads), cosines, sines)
                    k = torch.cat((past[2 * layer], k), dim=2)
                    v = torch.cat((past[2 * layer + 1], split_heads(v, sizes.kv_heads)), dim=2)
                    present.extend((k, v))
                    repeat = sizes.heads // sizes.kv_heads
                    k, v = k.repeat_interleave(repeat, dim=1), v.repeat_interleave(repeat, dim=1)
                    out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
                    return out.transpose(1, 2).flatten(2)

                hidden = self.thinker.hidden(self.thinker.tok_emb(ids), attend)
                return (self.thinker.lm_head(hidden[:, -1]), *present)

        return Plain().eval()


class Genai:
    package = "onnxruntime_genai"

    def __init__(self, work: Work, precision: str, threads: int) -> None:
        import numpy as np
        import onnxruntime_genai as og

        folder = str(work.genai_folder(precision))
        config = og.Config(folder)
        config.overlay(
            f'{{"model": {{"decoder": {{"session_options": {{"intra_op_num_threads": {threads}}}}}}}}}'
        )
        self.og, self.np, self.model = og, np, og.Model(config)

    def prefill(self, prompt: list[int]) -> int:
        params = self.og.GeneratorParams(self.model)
        params.set_search_options(max_length=len(prompt) + 257, min_length=len(prompt) + 257, do_sample=False)
        self.generator = self.og.Generator(self.model, params)
        self.generator.append_tokens(self.np.array(prompt, dtype=self.np.int32))
        return self.step(0)

    def step(self, token: int) -> int:
        self.generator.generate_next_token()
        return int(self.generator.get_next_tokens()[0])


CONTENDERS: dict[str, tuple[type[Any], tuple[str, ...]]] = {
    "muomni": (Muomni, ("fp32", "int8", "int4")),
    "torch": (Torch, ("fp32",)),
    "transformers": (Transformers, ("fp32",)),
    "openvino": (OpenVino, ("fp32", "int8", "int4")),
    "onnxruntime-genai": (Genai, ("fp32", "int8", "int4")),
}
