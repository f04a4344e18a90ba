"""Cosines and sines of float32: up to 1.28, ONNX Runtime has none of float64 on the CPU.

The decoders read their rotary angles from tables, which are made in float64. The graph that reads words of any length
computes its own. Its positions are those of letters: the cosine of an angle in float32 is off by 2e-6 at the 30th.
"""

from __future__ import annotations

import onnx_ir as ir


def narrow_angles(model: ir.Model) -> None:
    """Round what ``Cos`` and ``Sin`` read to float32; what they give stays float64 for those that read it."""
    for node in list(model.graph):
        angle = node.inputs[0] if node.op_type in ("Cos", "Sin") else None
        if angle is None or angle.dtype != ir.DataType.DOUBLE:
            continue
        narrow = ir.node("Cast", [angle], {"to": ir.DataType.FLOAT})
        taken = ir.node(node.op_type, narrow.outputs, name=node.name)
        widened = ir.node("Cast", taken.outputs, {"to": ir.DataType.DOUBLE})
        ir.convenience.replace_nodes_and_values(
            model.graph, node, [node], [narrow, taken, widened], node.outputs, widened.outputs
        )
