"""A language-model head that drafts in 4 bits and computes the likeliest tokens exactly.

The head is most of a decode step where the vocabulary is large: every logit costs a row of weights. Here all logits
are first computed from 4-bit weights, the best :data:`CANDIDATES` are computed again from the full weights, and take
the place of their drafts. The best token of a reply is then the exact one unless its draft is not among the
candidates; other logits keep the error of 4 bits. Of 8-bit weights the whole head is as fast as this (measured).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from .attention import CONTRIB_DOMAIN
from .quantize import constant, head_of, product

# Measured with random weights, where logits are closest together: 32 were always enough, and 64 cost 15 us more of
# the 1500 that a float32 head of 32,000 tokens takes (benchmarks/README.md).
CANDIDATES = 64
DRAFT_BITS = 4


def add_draft_head(model: ir.Model, candidates: int) -> None:
    """Give a float32 Thinker graph a head that drafts.

    Args:
        candidates: logits that are computed exactly, at most the vocabulary.

    Raises:
        MuomniError: the graph does not end in a product with a weight.
    """
    graph = model.graph
    head, hidden, table, rows = head_of(graph)
    nodes = [product(graph, "draft", hidden, rows, DRAFT_BITS)]
    draft = nodes[0].outputs[0]

    def then(op: str, *inputs: ir.Value, outputs: int = 1, **attributes: int) -> Sequence[ir.Value]:
        nodes.append(ir.node(op, inputs, attributes, num_outputs=outputs))
        return nodes[-1].outputs

    last = constant(graph, "draft.last_axis", np.array([2], dtype=np.int64))
    count = constant(graph, "draft.candidates", np.array([candidates], dtype=np.int64))
    _, ids = then("TopK", draft, count, outputs=2, axis=-1, sorted=0)
    (best_rows,) = then("Gather", table, ids, axis=0)  # (B, candidates, D)
    (column,) = then("Unsqueeze", hidden, last)  # (B, D, 1)
    (exact_column,) = then("MatMul", best_rows, column)
    (exact,) = then("Squeeze", exact_column, last)
    logits = then("ScatterElements", draft, ids, exact, axis=-1)
    model.opset_imports.setdefault(CONTRIB_DOMAIN, 1)
    ir.convenience.replace_nodes_and_values(graph, head, [head], nodes, head.outputs, logits)
