"""OpenVINO with the cache inside the model, converted from torch and compressed by NNCF."""

from __future__ import annotations

from pathlib import Path

from models import Work, in_new_folder

from .base import Contender


class OpenVino(Contender):
    @classmethod
    def prepare(cls, work: Work, precision: str) -> None:
        def make(target: Path) -> None:
            import numpy as np
            import openvino as ov
            from openvino._offline_transformations import apply_make_stateful_transformation

            from plain_thinker import BeamThinker

            plain = BeamThinker(work.thinker()).eval()
            sizes = plain.sizes
            count = 2 * sizes.layers
            past = ov.PartialShape([1, sizes.kv_heads, -1, sizes.head_size])
            shapes = [ov.PartialShape([1, -1]), ov.PartialShape([1]), *[past] * count]
            model = ov.convert_model(plain, example_input=plain.example(), input=shapes)
            for index in range(count):
                model.inputs[2 + index].tensor.set_names({f"past{index}"})
                model.outputs[1 + index].tensor.set_names({f"present{index}"})
            apply_make_stateful_transformation(model, {f"past{i}": f"present{i}" for i in range(count)})
            for read in model.get_ops():
                if read.get_type_name() == "ReadValue":  # fused attention needs to know what a reset means
                    empty = np.zeros((1, sizes.kv_heads, 0, sizes.head_size), np.float32)
                    read.set_arguments([ov.opset13.constant(empty)])
            model.validate_nodes_and_infer_types()
            if precision != "fp32":
                import nncf

                # The tables of cosines and sines are no weights.
                tables = nncf.IgnoredScope(patterns=[".*aten::index/Gather.*"])
                if precision == "int8":
                    mode = nncf.CompressWeightsMode.INT8_SYM
                    model = nncf.compress_weights(model, mode=mode, ignored_scope=tables)
                else:
                    # By default NNCF leaves the head, over half of the work here, in 8 bits.
                    mode = nncf.CompressWeightsMode.INT4_SYM
                    model = nncf.compress_weights(
                        model, mode=mode, group_size=128, all_layers=True, ignored_scope=tables
                    )
            ov.save_model(model, target / "model.xml", compress_to_fp16=False)

        in_new_folder(work.root / f"openvino-{precision}", make)

    def __init__(self, work: Work, precision: str, threads: int) -> None:
        import numpy as np
        import openvino as ov

        hints: dict[str, object] = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
        if precision == "fp32":
            # On processors with bfloat16, and for the cache, the default is less than float32.
            hints |= {"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f32"}
        else:
            # The default, 32, was a tenth slower with 4 bits and the same with 8.
            hints |= {"DYNAMIC_QUANTIZATION_GROUP_SIZE": 128}
        file = work.root / f"openvino-{precision}" / "model.xml"
        self.np, self.rows = np, np.zeros(1, dtype=np.int32)
        self.request = ov.Core().compile_model(file, "CPU", hints).create_infer_request()

    def prefill(self, prompt: list[int]) -> int:
        self.request.reset_state()
        return self.step_many(prompt)

    def step(self, token: int) -> int:
        return self.step_many([token])

    def step_many(self, ids: list[int]) -> int:
        """Take any number of ids, give the next."""
        feeds = [self.np.array([ids], dtype=self.np.int64), self.rows]
        self.request.infer(feeds, share_inputs=True)
        return int(self.request.get_output_tensor(0).data[0].argmax())
