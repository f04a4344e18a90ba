"""Graphs against their torch modules, on random inputs of several lengths and batch sizes.

The graphs run through the cached decode loop of :mod:`muomni`; the torch modules run without any cache.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from muomni.errors import ParityError
from muomni.models.registry import Models

from .replay import Arrays, difference, ranked_difference, run_case

SEED = 20_251_124


@dataclass(frozen=True)
class Measured:
    """The largest difference over all cases and, where logits come out, how often the best one is the same."""

    error: float
    agreement: float | None


@dataclass(frozen=True)
class GraphCheck:
    """What one graph is checked on.

    ``reference`` gives the torch module's outputs by name; ``compare`` (case, expected, got) -> difference.
    """

    graph: str
    parameters: int
    cases: list[Arrays]
    reference: Callable[[Arrays], Arrays]
    compare: Callable[[Arrays, Arrays, Arrays], float] | None = None

    def record(self) -> tuple[Arrays, Arrays]:
        """The first (smallest) case and its outputs."""
        return self.cases[0], self.reference(self.cases[0])

    def measure(self, stages: Models) -> Measured:
        """Run every case through the graph and compare."""
        worst, agreed = 0.0, []
        for case in self.cases:
            expected = self.reference(case)
            got = run_case(stages, self.graph, case)
            if self.compare is not None:
                worst = max(worst, self.compare(case, expected, got))
            else:
                worst = max(worst, *(difference(expected[name], got[name]) for name in expected))
            for name in expected:
                if name.endswith("logits") and got[name].shape == expected[name].shape:
                    agreed.append(got[name].argmax(axis=-1) == expected[name].argmax(axis=-1))
        agreement = float(np.mean(np.concatenate([a.ravel() for a in agreed]))) if agreed else None
        return Measured(worst, agreement)


def of_a_drafting_head(check: GraphCheck) -> GraphCheck:
    """The Thinker's check, where only the likeliest logits are exact."""

    def compare(case: Arrays, expected: Arrays, got: Arrays) -> float:
        return ranked_difference(expected["logits"], got["logits"])

    return replace(check, compare=compare)


def require(check: GraphCheck, measured: Measured, tolerance: float) -> None:
    """Raises ParityError when the measured difference exceeds the tolerance."""
    if not measured.error <= tolerance:
        raise ParityError(
            f"{check.graph}: the graph differs from its torch module by {measured.error:.3g} "
            f"(relative to the largest value), the tolerance is {tolerance:g}, on {len(check.cases)} inputs; "
            "nothing was written. Please report this with the sizes of the checkpoint"
        )


def parameters_of(*modules: nn.Module | None) -> int:
    return sum(p.numel() for module in modules if module is not None for p in module.parameters())


def generator() -> np.random.Generator:
    return np.random.default_rng(SEED)


def normal(random: np.random.Generator, *shape: int) -> NDArray[np.float32]:
    return random.standard_normal(shape, dtype=np.float32)


def to_numpy(**tensors: Tensor) -> Arrays:
    return {name: tensor.numpy() for name, tensor in tensors.items()}


def split_chunks(total: int, *sizes: int) -> NDArray[np.int64]:
    """Chunk sizes: the given ones, then single positions up to ``total``."""
    return np.array([*sizes, *[1] * (total - sum(sizes))], dtype=np.int64)
