"""ONNX Runtime as it is commonly used: a graph that any exporter makes, dicts of arrays, a past that grows."""

from __future__ import annotations

from pathlib import Path

from models import Work, in_new_folder

from .base import Contender


class GrowingPast(Contender):
    """Every step hands all keys and values in and gets new, longer ones; 8 bits by dynamic quantisation."""

    @classmethod
    def prepare(cls, work: Work, precision: str) -> None:
        def make(target: Path) -> None:
            import torch

            from plain_thinker import PlainThinker

            plain = PlainThinker(work.thinker()).eval()
            count = 2 * plain.sizes.layers
            past = [f"past{index}" for index in range(count)]
            present = [f"present{index}" for index in range(count)]
            auto = torch.export.Dim.AUTO
            torch.onnx.export(
                plain,
                plain.example(),
                target / "model.onnx",
                dynamo=True,
                opset_version=20,  # standard operators alone: attention and norms in parts
                dynamic_shapes=({1: auto}, tuple({2: auto} for _ in range(count))),
                input_names=["ids", *past],
                output_names=["logits", *present],
                external_data=False,
            )
            if precision == "int8":
                from onnxruntime.quantization import quantize_dynamic

                quantize_dynamic(target / "model.onnx", target / "int8.onnx", per_channel=True)
                (target / "int8.onnx").rename(target / "model.onnx")

        in_new_folder(work.root / f"growing-{precision}", make)

    def __init__(self, work: Work, precision: str, threads: int) -> None:
        import numpy as np
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        file = work.root / f"growing-{precision}" / "model.onnx"
        self.np = np
        self.session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        caches = self.session.get_inputs()[1:]
        self.names = [cache.name for cache in caches]
        self.empty = [np.zeros((1, cache.shape[1], 0, cache.shape[3]), np.float32) for cache in caches]

    def prefill(self, prompt: list[int]) -> int:
        self.past = self.empty
        return self._next(prompt)

    def step(self, token: int) -> int:
        return self._next([token])

    def _next(self, ids: list[int]) -> int:
        feeds = {"ids": self.np.array([ids], dtype=self.np.int64)}
        feeds |= dict(zip(self.names, self.past, strict=True))
        logits, *self.past = self.session.run(None, feeds)
        return int(logits[0].argmax())
