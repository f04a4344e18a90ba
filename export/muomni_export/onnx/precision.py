"""Which graph gets which precision, and how far each may be from torch."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import get_args

import onnx_ir as ir

from muomni.bundle.contract import GraphContract
from muomni.bundle.manifest import FloatDtype, Precision
from muomni.errors import InputError

from .half import compute_in_half, match_contract
from .quantize import halve, quantise_weights

PRECISIONS: tuple[Precision, ...] = get_args(Precision)
BFLOAT16 = ("bf16", "bfloat16")
# Relative to the largest value, see :func:`muomni_export.parity.replay.difference`. Float32 graphs reach 1e-6; the
# others are bounds beyond which something is wrong, not what is expected (1e-3, 2e-2 and 1e-1).
TOLERANCES: dict[Precision, float] = {"fp32": 1e-4, "fp16": 1e-2, "int8": 0.15, "int4": 1.0}
# Of graphs with float16 inside or at their ends the tolerance is what was measured, so many times: another machine's
# kernels round at other places, and the largest of thousands of rounding errors moves by less than this.
HALF_MARGIN = 4.0


def bound_of(precision: Precision, contract: GraphContract) -> float:
    """How far a graph may be from torch at export; beyond it something is wrong."""
    return max(TOLERANCES[precision], TOLERANCES["fp16"] if has_half(contract) else 0.0)


def has_half(contract: GraphContract) -> bool:
    """Whether numbers pass through float16 at the graph's ends; those that compute in it have their cache there."""
    return any(spec.dtype == "float16" for spec in (*contract.inputs, *contract.outputs))


def tolerance_of(bound: float, error: float, contract: GraphContract) -> float:
    """What the manifest says: for graphs with float16 from the error that was measured, else the bound itself."""
    return min(bound, float(f"{HALF_MARGIN * error:.1e}")) if has_half(contract) else bound


@dataclass(frozen=True)
class PrecisionPlan:
    """A default and exceptions by graph, from text such as ``int8`` or ``int8,thinker=int4,vision=fp32``."""

    default: Precision
    graphs: dict[str, Precision]
    float_graphs: tuple[str, ...] = ()
    """Graphs that are never stored in 8 or 4 bits."""
    half_graphs: tuple[str, ...] = ()
    """Graphs that compute in float16, because ONNX Runtime's attention on CUDA does. Where there are any, the default
    is theirs, and the others are ``fp32``."""

    @classmethod
    def parse(
        cls, text: str | None, float_graphs: Collection[str] = (), half_graphs: Collection[str] = ()
    ) -> PrecisionPlan:
        """Without a default it is ``fp32``, for graphs that compute in float16 ``fp16``.

        Args:
            text: as above; None takes the defaults.
            float_graphs, half_graphs: see the attributes.

        Raises:
            InputError: an unknown precision, two for one graph, or one that a graph cannot be stored in.
        """
        default: Precision | None = None
        graphs: dict[str, Precision] = {}
        for part in () if text is None else text.split(","):
            graph, equals, name = part.strip().rpartition("=")
            if name in BFLOAT16:
                raise InputError(
                    f"precision: expected one of {', '.join(PRECISIONS)}, got {name!r}: ONNX Runtime has no bfloat16 "
                    "attention on the CPU, where graphs are compared with torch before a bundle is written; take fp16"
                )
            if name not in PRECISIONS:
                raise InputError(f"precision: expected one of {', '.join(PRECISIONS)}, got {name!r}")
            chosen = PRECISIONS[PRECISIONS.index(name)]
            if equals and not graph:
                raise InputError(f"precision: no name before '=' in {text!r}; expected GRAPH=PRECISION")
            if graph in graphs or (not equals and default is not None):
                raise InputError(f"precision: two for {graph or 'the default'} in {text!r}; expected one")
            if equals and graph in float_graphs and chosen.startswith("int"):
                raise InputError(f"precision: {graph} is stored as fp32 or fp16 only, got {name!r}")
            if half_graphs and chosen == "fp32" and (graph in half_graphs or not equals):
                raise InputError(
                    f"precision: {graph or 'the decoders'}: expected fp16, int8 or int4 for CUDA, got 'fp32': ONNX "
                    "Runtime has no float32 attention there; leave it out, or export for the CPU (--device cpu)"
                )
            if equals:
                graphs[graph] = chosen
            else:
                default = chosen
        usual: Precision = "fp16" if half_graphs else "fp32"
        return cls(default or usual, graphs, tuple(float_graphs), tuple(half_graphs))

    def check(self, known: Collection[str]) -> None:
        """Raises InputError when an exception names a graph that is not made."""
        for graph in self.graphs:
            if graph not in known:
                raise InputError(f"precision: no graph {graph!r} is exported; expected {', '.join(known)}")

    def of(self, graph: str) -> Precision:
        """What the graph is stored in."""
        precision = self.graphs.get(graph, self.default)
        if self.is_for_cuda and graph not in (*self.half_graphs, *self.graphs):
            return "fp32"
        return "fp32" if graph in self.float_graphs and precision.startswith("int") else precision

    @property
    def is_for_cuda(self) -> bool:
        return bool(self.half_graphs)

    def computes_in(self, graph: str) -> FloatDtype:
        """The type of the numbers inside the graph."""
        return "float16" if graph in self.half_graphs else "float32"


def apply(model: ir.Model, graph: str, plan: PrecisionPlan, contract: GraphContract) -> None:
    """Put a float32 graph in the precision of the plan, and its inputs and outputs in the types of its contract.

    Raises:
        CheckpointError: a weight that float16 cannot hold.
    """
    precision, half = plan.of(graph), plan.computes_in(graph) == "float16"
    if precision.startswith("int"):
        quantise_weights(model, 8 if precision == "int8" else 4, plan.is_for_cuda)
    elif precision == "fp16" and not half:
        halve(model)
    if half:
        compute_in_half(model)
    match_contract(model, contract)
