"""Which node of a graph runs where, by ONNX Runtime's own record, and the refusal of CUDA in name alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from muomni.errors import ExecutionError

from .providers import CPU

RECORD = "session.record_ep_graph_assignment_info"
"""Session setting; ONNX Runtime knows it from 1.24 on."""

SHAPE_OPERATORS = frozenset(
    {"Add", "Cast", "Concat", "ConstantOfShape", "Div", "Gather", "Mul", "Range", "Reshape", "Shape", "Size"}
    | {"Slice", "Squeeze", "Sub", "Unsqueeze"}
)
"""What may run on the CPU beside CUDA: ONNX Runtime leaves a few integers that are computed from shapes there, because
they are needed there. Of floats, CUDA has a kernel for each of these."""


@dataclass(frozen=True)
class PlacedNode:
    """A node and the execution provider that runs it.

    Attributes:
        operator: with its domain where that is not ONNX's: ``com.microsoft.GroupQueryAttention``.
    """

    provider: str
    operator: str
    name: str


def placed_nodes(session: Any) -> list[PlacedNode]:
    """The nodes of an ``InferenceSession`` that was made with :data:`RECORD`, after ONNX Runtime's rewriting."""
    return [
        PlacedNode(part.ep_name, f"{node.domain}.{node.op_type}".lstrip("."), node.name)
        for part in session.get_provider_graph_assignment_info()
        for node in part.get_nodes()
    ]


def check_placement(graph: str, nodes: Iterable[PlacedNode], version: str) -> None:
    """Refuse a graph for CUDA that would wait for the CPU in its middle.

    Args:
        version: of ONNX Runtime, for the message.

    Raises:
        ExecutionError: nodes other than those that compute shapes run on the CPU; named.
    """
    left = [node for node in nodes if node.provider == CPU and node.operator not in SHAPE_OPERATORS]
    if not left:
        return
    named = ", ".join(f"{node.operator} ({node.name or 'without a name'})" for node in left[:3])
    more = f" and {len(left) - 3} more" if len(left) > 3 else ""
    raise ExecutionError(
        f"{graph} graph: ONNX Runtime {version} has no CUDA kernel for {named}{more}, and would run them on the CPU "
        "with copies to and fro; export with muomni-export --device cuda, bring ONNX Runtime up to date "
        "(pip install --upgrade onnxruntime-gpu), or use --device cpu"
    )


def by_provider(nodes: Iterable[PlacedNode]) -> dict[str, dict[str, int]]:
    """How many nodes of each operator a provider runs."""
    counts: dict[str, dict[str, int]] = {}
    for node in nodes:
        of_provider = counts.setdefault(node.provider, {})
        of_provider[node.operator] = of_provider.get(node.operator, 0) + 1
    return counts
