"""Weights in fewer bits: 8 or 4 in blocks for the products, 16 for storage alone.

The products become ``com.microsoft.MatMulNBits`` with ``accuracy_level=4``, which multiplies 8-bit integers:
without the attribute the CPU kernel unpacks to float first and is fifty times slower. Activations and every
graph boundary stay float32, so that bundles of different precision are interchangeable.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from muomni.errors import MuomniError

from .attention import CONTRIB_DOMAIN

# Larger blocks are faster and coarser: 128 was 1.3 times block 32 in decode speed, 256 no more than 1.1
# times 128 (benchmarks/README.md).
BLOCK = 128
SMALLEST_BLOCK, LARGEST_BLOCK = 16, 256  # ONNX Runtime's
EMBEDDING_BITS = 8  # a lookup is not worth the error of 4 bits
INT8_ACCURACY_LEVEL = 4
# Below this many elements a weight is not worth its scales.
SMALLEST_WEIGHT = 1024
# Products with fewer outputs cost nothing, and among them are the routers of experts, whose rounding would
# send tokens elsewhere.
FEWEST_OUTPUTS = 65
ROTARY_TABLES = "rotary."  # how the graphs of the decoders name them
# Shrinking the range of a block clips its largest weight and refines all others; the best factor is searched.
RANGE_FACTORS = (1.0, 0.95, 0.9, 0.85, 0.8, 0.75)


@dataclass(frozen=True)
class Blocks:
    """A matrix (rows, columns) quantised along its columns.

    ``codes`` is uint8 (rows, blocks, block), the value being ``(code - 2**(bits-1)) * scale``; ``scales`` is
    float32 (rows, blocks).
    """

    codes: NDArray[np.uint8]
    scales: NDArray[np.float32]
    bits: int

    def values(self, columns: int) -> NDArray[np.float32]:
        """What the codes stand for, (rows, columns)."""
        signed = self.codes.astype(np.float32) - (1 << (self.bits - 1))
        rows: NDArray[np.float32] = (signed * self.scales[..., None]).reshape(len(self.codes), -1)
        return rows[:, :columns]


def quantise(matrix: NDArray[np.float32], bits: int, block: int) -> Blocks:
    """Quantise each block of a row symmetrically, with the range that loses the least squared error.

    The scale is signed so that the block's largest magnitude lands on the longer, negative side of the
    codes (-2**(bits-1)), as in llama.cpp's Q4_0 and Q8_0 formats.
    """
    rows, columns = matrix.shape
    count = -(-columns // block)
    padded = np.zeros((rows, count * block), dtype=np.float32)
    padded[:, :columns] = matrix
    blocks = padded.reshape(rows, count, block)
    half = 1 << (bits - 1)
    peak = np.take_along_axis(blocks, np.abs(blocks).argmax(axis=-1)[..., None], axis=-1)
    best_error = np.full((rows, count, 1), np.inf, dtype=np.float32)
    codes: NDArray[np.uint8] = np.zeros(blocks.shape, dtype=np.uint8)
    scales = np.zeros((rows, count, 1), dtype=np.float32)
    for factor in RANGE_FACTORS if bits < 8 else RANGE_FACTORS[:1]:
        scale = (peak * factor / -half).astype(np.float32)
        inverse = np.divide(1, scale, out=np.zeros_like(scale), where=scale != 0)
        tried = np.clip(np.rint(blocks * inverse), -half, half - 1)
        error = np.square(tried * scale - blocks).sum(axis=-1, keepdims=True)
        better = error < best_error
        best_error = np.where(better, error, best_error)
        scales = np.where(better, scale, scales)
        codes = np.where(better, (tried + half).astype(np.uint8), codes).astype(np.uint8)
    return Blocks(codes, scales[..., 0], bits)


def quantise_rows(matrix: NDArray[np.float32], bits: int) -> Blocks:
    """The same with one scale for each row, repeated for its blocks."""
    rows, columns = matrix.shape
    whole = quantise(matrix, bits, columns)
    block = block_size(columns, LARGEST_BLOCK)
    count = -(-columns // block)
    codes = np.full((rows, count * block), 1 << (bits - 1), dtype=np.uint8)
    codes[:, :columns] = whole.codes[:, 0]
    return Blocks(codes.reshape(rows, count, block), np.repeat(whole.scales, count, axis=1), bits)


def block_size(columns: int, block: int = BLOCK) -> int:
    """The block for rows of that many columns: 128 (or another), or less where it would be mostly padding."""
    while block > SMALLEST_BLOCK and block >= 2 * columns:
        block //= 2
    return block


def pack(blocks: Blocks) -> NDArray[np.uint8]:
    """Codes as MatMulNBits stores them: 4-bit codes two to a byte, the lower half first."""
    if blocks.bits == 8:
        return blocks.codes
    packed: NDArray[np.uint8] = blocks.codes[..., 0::2] | (blocks.codes[..., 1::2] << np.uint8(4))
    return packed


def quantise_weights(model: ir.Model, bits: int, for_cuda: bool = False) -> None:
    """Put a graph's products in ``bits`` (8 or 4), and its embedding tables in 8.

    Convolutions, norms and small weights stay float32. For CUDA, tables do too: its ``GatherBlockQuantized`` counts
    blocks through the whole table, which is another scale than the CPU's where rows do not end with a block (its
    ``gather_block_quantized.cu``). And biases are added by a node of their own, for versions whose product takes none.
    """
    graph = model.graph
    model.opset_imports.setdefault(CONTRIB_DOMAIN, 1)
    for node in list(graph):
        if node.op_type in ("MatMul", "Gemm") and (matrix := _matrix(node.inputs[1])) is not None:
            x, weight, *bias = node.inputs
            rows = matrix if node.attributes.get_int("transB", 0) else matrix.T  # (N, K)
            if len(rows) < FEWEST_OUTPUTS:
                continue
            rounded = product(graph, _name(weight), x, rows, bits, () if for_cuda else bias)
        elif not for_cuda and node.op_type == "Gather" and (matrix := _matrix(node.inputs[0])) is not None:
            rounded, bias = _lookup(graph, _name(node.inputs[0]), node.inputs[1], matrix), []
        else:
            continue
        rounded.name = node.name
        made = [rounded]
        if for_cuda and bias:
            rounded.outputs[0].dtype = ir.DataType.FLOAT
            made.append(ir.node("Add", [rounded.outputs[0], *bias]))
        ir.convenience.replace_nodes_and_values(graph, node, [node], made, node.outputs, made[-1].outputs)
    for name, weight in list(graph.initializers.items()):
        if not weight.uses():
            del graph.initializers[name]


def halve(model: ir.Model) -> None:
    """Store a graph's float32 weights as float16 and widen them when the graph is loaded.

    Half the size on disk; the arithmetic stays float32 (the CPU has no float16 products, and the widening
    is folded away when the session is made).
    """
    graph = model.graph
    first = graph[0]
    for name, weight in list(graph.initializers.items()):
        if name.startswith(ROTARY_TABLES):
            continue  # half precision is too coarse for the angles of far positions
        values = float_values(weight)
        if values is not None and values.size >= SMALLEST_WEIGHT:
            del graph.initializers[name]
            half = constant(graph, f"{name}.half", values.astype(np.float16))
            widened = ir.val(name, ir.DataType.FLOAT, values.shape)
            graph.insert_before(first, ir.node("Cast", [half], {"to": widened.dtype}, outputs=[widened]))
            weight.replace_all_uses_with(widened)


def float_values(value: ir.Value | None) -> NDArray[np.float32] | None:
    """The numbers of a float32 initializer; None of anything else."""
    tensor = value.const_value if value is not None and value.is_initializer() else None
    if tensor is None or tensor.dtype != ir.DataType.FLOAT:
        return None
    values: NDArray[np.float32] = tensor.numpy()
    return values


def head_of(graph: ir.Graph) -> tuple[ir.Node, ir.Value, ir.Value, NDArray[np.float32]]:
    """A float32 Thinker's head: its node, what it multiplies, its weight, and the weight's rows (V, D).

    Raises:
        MuomniError: the graph does not end in a product with a weight.
    """
    head = next((value.producer() for value in graph.outputs if value.name == "logits"), None)
    if head is not None and head.op_type == "Gemm" and head.attributes.get_int("transB", 0) == 1:
        hidden, weight, *bias = head.inputs
        rows = None if bias else float_values(weight)
        if hidden is not None and weight is not None and rows is not None:
            return head, hidden, weight, rows
    found = head and f"{head.op_type}({', '.join(str(v and v.name) for v in head.inputs)})"
    raise MuomniError(
        f"the Thinker's head: expected logits = hidden · weightᵀ without a bias at the graph's end, got {found}"
    )


def product(
    graph: ir.Graph,
    name: str,
    x: ir.Value | None,
    rows: NDArray[np.float32],
    bits: int,
    bias: Sequence[ir.Value | None] = (),
) -> ir.Node:
    """``x · rowsᵀ`` with quantised rows (N, K), whose codes and scales become initializers under ``name``."""
    columns = rows.shape[1]
    blocks = quantise(np.ascontiguousarray(rows), bits, block_size(columns))
    return product_of_blocks(graph, name, x, blocks, columns, bias)


def product_of_blocks(
    graph: ir.Graph,
    name: str,
    x: ir.Value | None,
    blocks: Blocks,
    columns: int,
    bias: Sequence[ir.Value | None] = (),
) -> ir.Node:
    """The same for a matrix that is quantised already."""
    codes = constant(graph, f"{name}.codes", pack(blocks))
    scales = constant(graph, f"{name}.scales", blocks.scales)
    attributes = {
        "K": columns,
        "N": len(blocks.codes),
        "bits": blocks.bits,
        "block_size": blocks.codes.shape[2],
        "accuracy_level": INT8_ACCURACY_LEVEL,
    }
    inputs = [x, codes, scales, *([None, None, *bias] if bias else [])]
    return ir.node("MatMulNBits", inputs, attributes, domain=CONTRIB_DOMAIN)


def constant(graph: ir.Graph, name: str, array: NDArray[Any]) -> ir.Value:
    """The initializer of that name: a new one, or, where a weight is used twice, the one it has."""
    value = graph.initializers.get(name)
    if value is None or value.shape != array.shape:
        value = ir.val(name, const_value=ir.tensor(np.ascontiguousarray(array), name=name))
        graph.register_initializer(value)  # refuses a name that is taken
    return value


def _lookup(graph: ir.Graph, name: str, ids: ir.Value | None, table: NDArray[np.float32]) -> ir.Node:
    columns = table.shape[1]
    block = block_size(columns)
    blocks = quantise(table, EMBEDDING_BITS, block)
    codes = constant(graph, f"{name}.codes", blocks.codes.reshape(len(table), -1)[:, :columns])
    scales = constant(graph, f"{name}.scales", blocks.scales)
    attributes = {"bits": EMBEDDING_BITS, "block_size": block, "gather_axis": 0, "quantize_axis": 1}
    return ir.node("GatherBlockQuantized", [codes, ids, scales], attributes, domain=CONTRIB_DOMAIN)


def _matrix(value: ir.Value | None) -> NDArray[np.float32] | None:
    """The numbers of a matrix that is worth quantising."""
    values = float_values(value)
    return values if values is not None and values.ndim == 2 and values.size >= SMALLEST_WEIGHT else None


def _name(value: ir.Value | None) -> str:
    assert value is not None and value.name is not None
    return value.name
