"""Which graph gets which precision, and how far each may be from torch."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import get_args

import onnx_ir as ir

from muomni.bundle.manifest import Precision
from muomni.errors import InputError

from .quantize import halve, quantise_weights

PRECISIONS: tuple[Precision, ...] = get_args(Precision)
# Relative to the largest value, see :func:`muomni_export.parity.replay.difference`. Float32 graphs reach 1e-6; the
# others are bounds beyond which something is wrong, not what is expected (1e-3, 2e-2 and 1e-1).
TOLERANCES: dict[Precision, float] = {"fp32": 1e-4, "fp16": 1e-2, "int8": 0.15, "int4": 1.0}


@dataclass(frozen=True)
class PrecisionPlan:
    """A default and exceptions by graph, from text such as ``int8`` or ``int8,thinker=int4,vision=fp32``."""

    default: Precision
    graphs: dict[str, Precision]
    float_graphs: tuple[str, ...] = ()
    """Graphs that are never stored in 8 or 4 bits."""

    @classmethod
    def parse(cls, text: str, float_graphs: Collection[str] = ()) -> PrecisionPlan:
        """Without a default it is ``fp32``; ``float_graphs`` are those that 8 and 4 bits are not for.

        Raises:
            InputError: an unknown precision, two for one graph, or one that a graph cannot be stored in.
        """
        default: Precision | None = None
        graphs: dict[str, Precision] = {}
        for part in text.split(","):
            graph, equals, name = part.strip().rpartition("=")
            if name not in PRECISIONS:
                raise InputError(f"precision: expected one of {', '.join(PRECISIONS)}, got {name!r}")
            chosen = PRECISIONS[PRECISIONS.index(name)]
            if equals and not graph:
                raise InputError(f"precision: no name before '=' in {text!r}; expected GRAPH=PRECISION")
            if graph in graphs or (not equals and default is not None):
                raise InputError(f"precision: two for {graph or 'the default'} in {text!r}; expected one")
            if equals and graph in float_graphs and chosen.startswith("int"):
                raise InputError(f"precision: {graph} is stored as fp32 or fp16 only, got {name!r}")
            if equals:
                graphs[graph] = chosen
            else:
                default = chosen
        return cls(default or "fp32", graphs, tuple(float_graphs))

    def check(self, known: Collection[str]) -> None:
        """Raises InputError when an exception names a graph that is not made."""
        for graph in self.graphs:
            if graph not in known:
                raise InputError(f"precision: no graph {graph!r} is exported; expected {', '.join(known)}")

    def of(self, graph: str) -> Precision:
        """What the graph is stored in."""
        precision = self.graphs.get(graph, self.default)
        return "fp32" if graph in self.float_graphs and precision.startswith("int") else precision


def apply(model: ir.Model, precision: Precision) -> None:
    """Put a float32 graph in another precision."""
    if precision == "fp16":
        halve(model)
    elif precision != "fp32":
        quantise_weights(model, 8 if precision == "int8" else 4)
