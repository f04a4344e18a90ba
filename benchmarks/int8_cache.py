"""Attention over a cache in 8 bits beside one in float32: ONNX Runtime's kernel alone, one step of decoding.

``python benchmarks/int8_cache.py`` prints microseconds a step, the best of interleaved rounds. One scale per tensor or
per channel, given beforehand; the scales' values do not matter to the time.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper

KINDS = ("float32", "PER_TENSOR", "PER_CHANNEL")
SHAPES = ((8, 4, 32), (16, 8, 64))
"""Heads, heads of keys and values, size of a head: μOmni's tiny, and a larger one."""
CONTEXTS = (128, 500, 2000, 8000)
ROUNDS, STEPS = 7, 100


def attention(kind: str, heads: int, kv_heads: int, size: int, room: int) -> bytes:
    """A model of one GroupQueryAttention with a cache of ``room`` positions."""
    cache = TensorProto.FLOAT if kind == "float32" else TensorProto.INT8
    attributes: dict[str, int | str] = {"num_heads": heads, "kv_num_heads": kv_heads, "do_rotary": 1}
    shapes: dict[str, tuple[int, list[int]]] = {
        "query": (TensorProto.FLOAT, [1, 1, heads * size]),
        "key": (TensorProto.FLOAT, [1, 1, kv_heads * size]),
        "value": (TensorProto.FLOAT, [1, 1, kv_heads * size]),
        "past_key": (cache, [1, kv_heads, room, size]),
        "past_value": (cache, [1, kv_heads, room, size]),
        "last": (TensorProto.INT32, [1]),
        "total": (TensorProto.INT32, [1]),
        "cosines": (TensorProto.FLOAT, [room, size // 2]),
        "sines": (TensorProto.FLOAT, [room, size // 2]),
    }
    names = list(shapes)
    if kind != "float32":
        attributes |= {"kv_cache_bit_width": 8, "k_quant_type": kind, "v_quant_type": kind}
        scales = [1 if kind == "PER_TENSOR" else kv_heads * size]
        shapes |= {"key_scale": (TensorProto.FLOAT, scales), "value_scale": (TensorProto.FLOAT, scales)}
        names += ["", "", "", "key_scale", "value_scale"]
    outputs = {"out": shapes["query"], "key_now": shapes["past_key"], "value_now": shapes["past_value"]}
    node = helper.make_node("GroupQueryAttention", names, list(outputs), domain="com.microsoft", **attributes)
    graph = helper.make_graph(
        [node],
        kind,
        [helper.make_tensor_value_info(n, t, s) for n, (t, s) in shapes.items()],
        [helper.make_tensor_value_info(n, t, s) for n, (t, s) in outputs.items()],
    )
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    model: onnx.ModelProto = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    return model.SerializeToString()


def step(kind: str, heads: int, kv_heads: int, size: int, context: int) -> Callable[[], None]:
    """One step after ``context`` positions, with fixed bindings and the cache updated in place."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    model = attention(kind, heads, kv_heads, size, context + 64)
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(0)
    binding, held = session.io_binding(), {}
    for tensor in session.get_inputs():
        if tensor.type == "tensor(int32)":
            array = np.array([context + (tensor.name == "total")], np.int32)
        elif tensor.type == "tensor(int8)":
            array = rng.integers(-127, 128, tensor.shape, np.int8)
        else:
            array = rng.standard_normal(tensor.shape, np.float32)
        held[tensor.name] = ort.OrtValue.ortvalue_from_numpy(array)
        binding.bind_ortvalue_input(tensor.name, held[tensor.name])
    binding.bind_output("out", "cpu")
    binding.bind_ortvalue_output("key_now", held["past_key"])
    binding.bind_ortvalue_output("value_now", held["past_value"])
    return lambda: session.run_with_iobinding(binding)


def main() -> None:
    for heads, kv_heads, size in SHAPES:
        for context in CONTEXTS:
            steps = {kind: step(kind, heads, kv_heads, size, context) for kind in KINDS}
            best = dict.fromkeys(KINDS, float("inf"))
            for _ in range(ROUNDS):
                for kind, run in steps.items():
                    run()
                    started = time.perf_counter()
                    for _ in range(STEPS):
                        run()
                    best[kind] = min(best[kind], (time.perf_counter() - started) / STEPS)
            figures = "  ".join(f"{kind} {1e6 * seconds:.1f}" for kind, seconds in best.items())
            print(f"{heads} heads of {size}, {context} positions: {figures}", flush=True)


if __name__ == "__main__":
    main()
