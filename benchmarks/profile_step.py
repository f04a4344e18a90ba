"""Where the time of one decode step goes, by ONNX Runtime's profiler: ``python benchmarks/profile_step.py``."""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import helper

from models import Work
from muomni.bench.machine import describe_machine, read_bandwidth
from muomni.bench.statistics import summarise
from tables import node_table, profile_table

DTYPES = {"tensor(float)": np.float32, "tensor(int32)": np.int32, "tensor(int64)": np.int64}
KERNEL = "_kernel_time"
PRODUCTS = ("MatMul", "Gemm", "MatMulNBits")
WARM_UP_STEPS = 20


class BoundStep:
    """One decode step of a Thinker graph at ``position``, with the memory bound as muomni's decoder binds it."""

    def __init__(self, graph: Path, threads: int, position: int, profile: Path | None) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        if profile is not None:
            options.enable_profiling, options.profile_file_prefix = True, str(profile)
        self.session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        self.binding = self.session.io_binding()
        sizes = {"B": 1, "S": 1, "M": 0, "P": position + 1}
        caches = {}
        for spec in self.session.get_inputs():
            shape = [sizes[axis] if isinstance(axis, str) else axis for axis in spec.shape]
            value = onnxruntime.OrtValue.ortvalue_from_numpy(np.zeros(shape, DTYPES[spec.type]))
            caches[spec.name.replace("past", "present")] = value
            self.binding.bind_ortvalue_input(spec.name, value)
        caches["seqlens_k"].update_inplace(np.array([position], np.int32))
        caches["total_sequence_length"].update_inplace(np.array(position + 1, np.int32))
        for spec in self.session.get_outputs():
            if spec.name in caches:  # the past is the present: nothing is copied
                self.binding.bind_ortvalue_output(spec.name, caches[spec.name])
            else:
                shape = [sizes[axis] if isinstance(axis, str) else axis for axis in spec.shape]
                self.result = np.zeros(shape, np.float32)
                value = onnxruntime.OrtValue.ortvalue_from_numpy(self.result)
                self.binding.bind_ortvalue_output(spec.name, value)

    def run(self, steps: int) -> list[float]:
        """Microseconds of each step, after some that do not count."""
        seconds = []
        for index in range(-WARM_UP_STEPS, steps):
            start = time.perf_counter()
            self.session.run_with_iobinding(self.binding)
            if index >= 0:
                seconds.append(time.perf_counter() - start)
        return [1e6 * value for value in seconds]


def product_bytes(graph: Path) -> dict[str, int]:
    """Bytes of the weights that each product reads, by node. Look-ups read a row: they are not here.

    The profiler's own figure leaves out what ONNX Runtime has packed for its kernels, which is all of it.
    """
    model = onnx.load(graph, load_external_data=False).graph
    elements = {
        w.name: math.prod(w.dims) * helper.tensor_dtype_to_np_dtype(w.data_type).itemsize
        for w in model.initializer
    }
    return {
        node.name: sum(elements.get(name, 0) for name in node.input)
        for node in model.node
        if node.op_type in PRODUCTS
    }


def nodes_of(events: Sequence[Mapping[str, Any]], weights: Mapping[str, int]) -> list[dict[str, Any]]:
    """Typical microseconds of every node in a profiler's trace, the slowest first, with its share of them all."""
    samples: dict[str, list[float]] = defaultdict(list)
    about: dict[str, Mapping[str, Any]] = {}
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith(KERNEL):
            name = event["name"].removesuffix(KERNEL)
            samples[name].append(event["dur"])
            about[name] = event["args"]
    typical = {name: mean_of_middle(values[WARM_UP_STEPS:] or values) for name, values in samples.items()}
    whole = sum(typical.values())
    return [
        {
            "name": name,
            "operator": about[name]["op_name"],
            "us": round(us, 2),
            "share": round(us / whole, 4),
            "weight_bytes": weights.get(name, 0),
        }
        for name, us in sorted(typical.items(), key=lambda item: -item[1])
    ]


def mean_of_middle(values: Sequence[float]) -> float:
    """The mean of the middle half: the profiler counts whole microseconds, of which a median is one."""
    ordered = sorted(values)
    quarter = len(ordered) // 4
    middle = ordered[quarter : len(ordered) - quarter]
    return sum(middle) / len(middle)


def by_operator(nodes: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Nodes added up by operator, the slowest first."""
    kinds: dict[str, dict[str, Any]] = {}
    for node in nodes:
        kind = kinds.setdefault(node["operator"], {"nodes": 0, "us": 0.0, "share": 0.0, "weight_bytes": 0})
        kind["nodes"] += 1
        for key in ("us", "share", "weight_bytes"):
            kind[key] = round(kind[key] + node[key], 4)
    return dict(sorted(kinds.items(), key=lambda item: -item[1]["us"]))


def profile(work: Work, precision: str, threads: int, position: int, steps: int) -> dict[str, Any]:
    """One precision: the whole step with and without the profiler, its operators and its nodes."""
    graph = work.bundle(precision) / "thinker.onnx"
    whole = summarise(BoundStep(graph, threads, position, None).run(steps)).median
    with tempfile.TemporaryDirectory() as folder:
        step = BoundStep(graph, threads, position, Path(folder) / "trace")
        watched = summarise(step.run(steps)).median
        events = json.loads(Path(step.session.end_profiling()).read_text())
    nodes = nodes_of(events, product_bytes(graph))
    weights = sum(node["weight_bytes"] for node in nodes)
    return {
        "precision": precision,
        "step_us": round(whole, 1),
        "step_us_under_the_profiler": round(watched, 1),
        "nodes_us": round(sum(node["us"] for node in nodes), 1),
        "weight_bytes_read": weights,
        "resident_gb_per_s": round(read_bandwidth(max(weights, 1)) / 1e9, 1),
        "operators": by_operator(nodes),
        "nodes": nodes,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder for the models; kept and reused")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--position", type=int, default=192, help="positions in the cache before the step")
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--precisions", nargs="*", default=["fp32", "int8", "int4"])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "profile.json")
    options = parser.parse_args()
    work = Work(options.work)
    profiles = [
        profile(work, precision, options.threads, options.position, options.steps)
        for precision in options.precisions
    ]
    result = {
        "machine": describe_machine(),
        "threads": options.threads,
        "position": options.position,
        "steps": options.steps,
        "profiles": profiles,
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=1) + "\n")
    text = "\n\n".join(f"{profile_table(of)}\n\n{node_table(of)}" for of in profiles)
    options.out.with_suffix(".md").write_text(text + "\n")
    for of in profiles:
        print(f"{of['precision']}: a step {of['step_us']} us, {of['step_us_under_the_profiler']} profiled")
    print(text)


if __name__ == "__main__":
    main()
