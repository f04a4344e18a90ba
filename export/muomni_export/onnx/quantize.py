"""Weights in fewer bits: 8 or 4 in blocks for the products, 16 for storage alone.

The products become ``com.microsoft.MatMulNBits`` with ``accuracy_level=4``, which multiplies 8-bit integers:
without the attribute the CPU kernel unpacks to float first and is fifty times slower. Activations and every
graph boundary stay float32, so that bundles of different precision are interchangeable.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper
from onnx.helper import make_node, make_opsetid

from .attention import CONTRIB_DOMAIN
from .trace import save_model

# Larger blocks are faster and coarser: 128 was 1.3 times block 32 in decode speed, 256 no more than 1.1
# times 128 (benchmarks/README.md).
BLOCK = 128
SMALLEST_BLOCK = 16  # ONNX Runtime's
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


def block_size(columns: int) -> int:
    """The block for rows of that many columns: 128, or less where it would be mostly padding."""
    block = BLOCK
    while block > SMALLEST_BLOCK and block >= 2 * columns:
        block //= 2
    return block


def pack(blocks: Blocks) -> NDArray[np.uint8]:
    """Codes as MatMulNBits stores them: 4-bit codes two to a byte, the lower half first."""
    if blocks.bits == 8:
        return blocks.codes
    packed: NDArray[np.uint8] = blocks.codes[..., 0::2] | (blocks.codes[..., 1::2] << np.uint8(4))
    return packed


def quantise_file(path: Path, bits: int) -> None:
    """Rewrite a graph with its products and embedding tables in ``bits`` (8 or 4).

    Convolutions, norms and small weights stay float32.
    """
    model = onnx.load(path)
    _Rewriter(model, bits).rewrite()
    save_model(model, path)


class _Rewriter:
    def __init__(self, model: onnx.ModelProto, bits: int) -> None:
        self.model, self.bits = model, bits
        self.weights = {tensor.name: tensor for tensor in model.graph.initializer}
        self.added: dict[str, onnx.TensorProto] = {}

    def rewrite(self) -> None:
        graph = self.model.graph
        nodes = [self._node(node) for node in graph.node]
        used = {name for node in nodes for name in node.input}
        kept = [tensor for tensor in graph.initializer if tensor.name in used]
        del graph.node[:], graph.initializer[:]
        graph.node.extend(nodes)
        graph.initializer.extend([*kept, *self.added.values()])
        if all(opset.domain != CONTRIB_DOMAIN for opset in self.model.opset_import):
            self.model.opset_import.append(make_opsetid(CONTRIB_DOMAIN, 1))

    def _node(self, node: onnx.NodeProto) -> onnx.NodeProto:
        if node.op_type in ("MatMul", "Gemm") and (weight := self._weight(node.input[1])) is not None:
            transposed = any(a.name == "transB" and a.i for a in node.attribute)
            rows = weight if transposed else weight.T  # (N, K)
            return self._product(node, rows) if len(rows) >= FEWEST_OUTPUTS else node
        if node.op_type == "Gather" and (table := self._weight(node.input[0])) is not None:
            return self._lookup(node, table)
        return node

    def _weight(self, name: str) -> NDArray[np.float32] | None:
        tensor = self.weights.get(name)
        if tensor is None or tensor.data_type != onnx.TensorProto.FLOAT or len(tensor.dims) != 2:
            return None
        array = numpy_helper.to_array(tensor)
        return array if array.size >= SMALLEST_WEIGHT else None

    def _product(self, node: onnx.NodeProto, rows: NDArray[np.float32]) -> onnx.NodeProto:
        count, columns = rows.shape
        block = block_size(columns)
        blocks = quantise(np.ascontiguousarray(rows), self.bits, block)
        name = node.input[1]
        codes = self._add(f"{name}.codes", pack(blocks))
        scales = self._add(f"{name}.scales", blocks.scales)
        bias = list(node.input[2:3]) if node.op_type == "Gemm" else []
        return make_node(
            "MatMulNBits",
            [node.input[0], codes, scales, *(["", "", *bias] if bias else [])],
            list(node.output),
            name=node.name,
            domain=CONTRIB_DOMAIN,
            K=columns,
            N=count,
            bits=self.bits,
            block_size=block,
            accuracy_level=INT8_ACCURACY_LEVEL,
        )

    def _lookup(self, node: onnx.NodeProto, table: NDArray[np.float32]) -> onnx.NodeProto:
        columns = table.shape[1]
        block = block_size(columns)
        blocks = quantise(table, EMBEDDING_BITS, block)
        name = node.input[0]
        codes = self._add(f"{name}.codes", blocks.codes.reshape(len(table), -1)[:, :columns])
        scales = self._add(f"{name}.scales", blocks.scales)
        return make_node(
            "GatherBlockQuantized",
            [codes, node.input[1], scales],
            list(node.output),
            name=node.name,
            domain=CONTRIB_DOMAIN,
            bits=EMBEDDING_BITS,
            block_size=block,
            gather_axis=0,
            quantize_axis=1,
        )

    def _add(self, name: str, array: NDArray[np.generic]) -> str:
        self.added[name] = numpy_helper.from_array(np.ascontiguousarray(array), name)
        return name


def halve_file(path: Path) -> None:
    """Store a graph's float32 weights as float16 and widen them when the graph is loaded.

    Half the size on disk; the arithmetic stays float32 (the CPU has no float16 products, and the widening
    is folded away when the session is made).
    """
    model = onnx.load(path)
    casts: list[onnx.NodeProto] = []
    for tensor in model.graph.initializer:
        if tensor.name.startswith(ROTARY_TABLES):
            continue  # half precision is too coarse for the angles of far positions
        if tensor.data_type == onnx.TensorProto.FLOAT and _elements(tensor.dims) >= SMALLEST_WEIGHT:
            name = tensor.name
            half = numpy_helper.to_array(tensor).astype(np.float16)
            tensor.CopyFrom(numpy_helper.from_array(half, f"{name}.half"))
            casts.append(make_node("Cast", [f"{name}.half"], [name], to=onnx.TensorProto.FLOAT))
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*casts, *nodes])
    save_model(model, path)


def _elements(dims: Iterable[int]) -> int:
    return int(np.prod(list(dims)))
