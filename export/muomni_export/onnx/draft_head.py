"""A language-model head that drafts in 4 bits and computes the likeliest tokens exactly.

The head is most of a decode step where the vocabulary is large: every logit costs a row of weights. Here all logits
are first computed from 4-bit weights, the best :data:`CANDIDATES` are computed again from the full weights, and take
the place of their drafts. The best token of a reply is then the exact one unless its draft is not among the
candidates; other logits keep the error of 4 bits. Of 8-bit weights the whole head is as fast as this (measured).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.helper import make_node

from muomni.errors import MuomniError

from .attention import CONTRIB_DOMAIN
from .quantize import INT8_ACCURACY_LEVEL, block_size, pack, quantise
from .trace import save_model

# Measured with random weights, where logits are closest together: 32 were always enough, and 64 cost 15 us more of
# the 1500 that a float32 head of 32,000 tokens takes (benchmarks/README.md).
CANDIDATES = 64
DRAFT_BITS = 4


def add_draft_head(path: Path, candidates: int) -> None:
    """Rewrite a float32 Thinker graph in place.

    Args:
        candidates: logits that are computed exactly, at most the vocabulary.

    Raises:
        MuomniError: the graph does not end in a product with a weight.
    """
    model = onnx.load(path)
    graph = model.graph
    weights = {tensor.name: tensor for tensor in graph.initializer}
    head = next((node for node in graph.node if "logits" in node.output), None)
    transposed = head is not None and any(a.name == "transB" and a.i == 1 for a in head.attribute)
    if head is None or head.op_type != "Gemm" or not transposed or head.input[1] not in weights:
        found = "nothing" if head is None else f"{head.op_type}({', '.join(head.input)})"
        raise MuomniError(
            f"{path.stem}: expected logits = hidden · weightᵀ at the end of the graph, got {found}"
        )
    if len(head.input) > 2:
        raise MuomniError(f"{path.stem}: a head with a bias cannot be drafted")
    hidden, table = head.input
    rows = numpy_helper.to_array(weights[table]).astype(np.float32)  # (V, D)
    block = block_size(rows.shape[1])
    blocks = quantise(rows, DRAFT_BITS, block)

    def constant(name: str, value: np.ndarray) -> str:
        graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(value), f"draft.{name}"))
        return f"draft.{name}"

    draft = make_node(
        "MatMulNBits",
        [hidden, constant("codes", pack(blocks)), constant("scales", blocks.scales)],
        ["draft.logits"],
        domain=CONTRIB_DOMAIN,
        K=rows.shape[1],
        N=len(rows),
        bits=DRAFT_BITS,
        block_size=block,
        accuracy_level=INT8_ACCURACY_LEVEL,
    )
    count = constant("candidates", np.array([candidates], dtype=np.int64))
    last = constant("last_axis", np.array([2], dtype=np.int64))
    ranked = [
        make_node("TopK", ["draft.logits", count], ["draft.best", "draft.ids"], axis=-1, sorted=0),
        make_node("Gather", [table, "draft.ids"], ["draft.rows"], axis=0),  # (B, candidates, D)
        make_node("Unsqueeze", [hidden, last], ["draft.column"]),  # (B, D, 1)
        make_node("MatMul", ["draft.rows", "draft.column"], ["draft.exact_column"]),
        make_node("Squeeze", ["draft.exact_column", last], ["draft.exact"]),
        make_node("ScatterElements", ["draft.logits", "draft.ids", "draft.exact"], ["logits"], axis=-1),
    ]
    at = list(graph.node).index(head)
    nodes = [*graph.node[:at], draft, *ranked, *graph.node[at + 1 :]]
    del graph.node[:]
    graph.node.extend(nodes)
    save_model(model, path)
