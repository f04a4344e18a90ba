"""Graphs that compute in float16, for CUDA: ONNX Runtime's attention there takes no float32.

Everything between inputs and outputs becomes float16: weights, scales of blocks, rotary tables (their kernel wants the
type of the queries), what flows between nodes. The kernels sum products and norms in float32 of their own. The CPU has
kernels for some of it and widens the rest, so the same graph is compared with torch where there is no GPU.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from muomni.bundle.contract import GraphContract
from muomni.errors import CheckpointError

from .quantize import float_values

_TYPES = {"float32": ir.DataType.FLOAT, "float16": ir.DataType.FLOAT16}
LARGEST = float(np.finfo(np.float16).max)


def compute_in_half(model: ir.Model) -> None:
    """Make every float32 number of a graph float16, its inputs and outputs too.

    Raises:
        CheckpointError: a weight is too large for float16.
    """
    graph = model.graph
    for name, value in graph.initializers.items():
        numbers = float_values(value)
        if numbers is not None:
            value.const_value = ir.tensor(_halved(name, numbers), name=name)
    for node in graph.all_nodes():
        for name, attribute in list(node.attributes.items()):
            if attribute.type == ir.AttributeType.TENSOR and attribute.value.dtype == ir.DataType.FLOAT:
                numbers = attribute.value.numpy()
                halved = ir.tensor(_halved(f"{node.op_type} of the graph", numbers))
                node.attributes[name] = ir.AttrTensor(name, halved)
            elif (node.op_type, name, attribute.value) == ("Cast", "to", ir.DataType.FLOAT):
                node.attributes[name] = ir.AttrInt64(name, ir.DataType.FLOAT16)
    made = (output for node in graph.all_nodes() for output in node.outputs)
    for value in (*graph.inputs, *graph.initializers.values(), *made):
        if value.dtype == ir.DataType.FLOAT:
            value.dtype = ir.DataType.FLOAT16


def match_contract(model: ir.Model, contract: GraphContract) -> None:
    """Cast inputs and outputs where the graph has another float type than its contract."""
    graph = model.graph
    wanted = {spec.name: _TYPES.get(spec.dtype) for spec in (*contract.inputs, *contract.outputs)}
    for given in graph.inputs:
        asked, inside = wanted[given.name or ""], given.dtype
        if asked is None or inside is None or asked == inside:
            continue
        cast = ir.node("Cast", [given], {"to": inside})
        given.replace_all_uses_with(cast.outputs[0])
        cast.replace_input_with(0, given)
        cast.outputs[0].dtype, cast.outputs[0].shape = inside, given.shape
        given.dtype = asked
        graph.insert_before(graph[0], cast)
    for index, inner in enumerate(graph.outputs):
        asked, inside = wanted[inner.name or ""], inner.dtype
        if asked is None or inside is None or asked == inside:
            continue
        cast = ir.node("Cast", [inner], {"to": asked})
        made = cast.outputs[0]
        made.dtype, made.shape, made.name = asked, inner.shape, inner.name
        inner.name = f"{inner.name}.{inside.name.lower()}"
        graph.append(cast)
        graph.outputs[index] = made


def _halved(name: str, numbers: NDArray[Any]) -> NDArray[np.float16]:
    largest = float(np.abs(numbers).max(initial=0.0))
    if not largest <= LARGEST:
        raise CheckpointError(
            f"{name}: expected numbers up to {LARGEST:g}, which is what float16 holds, got {largest:.3g}; this "
            "checkpoint can run on the CPU only (--device cpu)"
        )
    return numbers.astype(np.float16)
