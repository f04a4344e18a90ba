"""A language-model head in 8 bits that has another product for several rows.

``MatMulNBits``, made for one row, takes 2.4 ms for 32 rows of a vocabulary of 32,000, half of a decode step.
``MatMulIntegerToFloat``, whose weights have one scale a token, takes 1.2; of two to eight rows both take the same, and
of one row it takes twice as long (benchmarks/README.md). So the graph has both, and an ``If`` chooses.

Both have the same codes and scales. Each row of a batch is rounded with a scale of its own, and sums of integers are
exact: a row's logits have the same bits whatever is computed beside it. Those of a lone row differ in the last bits.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir

from .attention import CONTRIB_DOMAIN
from .quantize import constant, head_of, product_of_blocks, quantise_rows

LARGE_HEAD = 4_000_000
"""Weights of a head that is worth being stored twice: it takes 0.3 ms of a step of 32 rows, and 4 MB more."""
BITS = 8
MOST_CODE, ZERO_CODE = 127, 128
SMALLEST_ROW = 1e-30
"""A row of zeros is divided by this."""


def add_rows_head(model: ir.Model) -> None:
    """Give a float32 Thinker graph a head in 8 bits: one product for a lone row, another for several.

    Raises:
        MuomniError: the graph does not end in a product with a weight.
    """
    graph = model.graph
    head, hidden, weight, rows = head_of(graph)
    model.opset_imports.setdefault(CONTRIB_DOMAIN, 1)

    def number(name: str, value: np.generic | np.ndarray) -> ir.Value:
        return constant(graph, f"rows_head.{name}", np.asarray(value))

    nodes: list[ir.Node] = []

    def then(op: str, *inputs: ir.Value, domain: str = "", **attributes: int) -> ir.Value:
        nodes.append(ir.node(op, inputs, attributes, domain=domain))
        output = nodes[-1].outputs[0]
        output.name = (
            f"rows_head.{op}.{len(nodes)}"  # names that are given later may be those of the graph around it
        )
        return output

    def branch(name: str, made: list[ir.Node]) -> ir.Graph:
        output = made[-1].outputs[0]
        output.name = f"rows_head.{name}"
        output.dtype, output.shape = ir.DataType.FLOAT, head.outputs[0].shape
        return ir.Graph([], [output], nodes=made, name=name)

    count, columns = rows.shape
    blocks = quantise_rows(rows, BITS)
    lone = branch("lone_row", [product_of_blocks(graph, str(weight.name), hidden, blocks, columns)])
    codes = (blocks.codes.reshape(count, -1)[:, :columns] ^ np.uint8(ZERO_CODE)).view(np.int8)
    largest = then("ReduceMax", then("Abs", hidden), number("last_axis", np.array([-1])), keepdims=1)
    divided = then("Div", largest, number("most_code", np.float32(MOST_CODE)))
    scale = then("Max", divided, number("smallest", np.float32(SMALLEST_ROW)))
    shifted = then("Add", then("Round", then("Div", hidden, scale)), number("zero", np.float32(ZERO_CODE)))
    unscaled = then(
        "MatMulIntegerToFloat",
        then("Cast", shifted, to=ir.DataType.UINT8),
        number("codes", codes.T),
        number("one", np.float32(1)),
        number("scales", blocks.scales[:, 0]),
        number("zero_code", np.uint8(ZERO_CODE)),
        domain=CONTRIB_DOMAIN,
    )
    then("Mul", unscaled, scale)
    several = branch("several_rows", nodes)

    nodes = []
    batch = then("Squeeze", then("Shape", hidden, start=0, end=1))
    many = then("Greater", batch, number("lone", np.int64(1)))
    branches: Mapping[str, ir.Graph] = {"then_branch": several, "else_branch": lone}
    nodes.append(ir.node("If", [many], branches))
    ir.convenience.replace_nodes_and_values(graph, head, [head], nodes, head.outputs, nodes[-1].outputs)
