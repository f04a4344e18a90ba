"""State dicts into torch modules, checked by name and shape, one stage after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

import torch
from torch import nn

from muomni.errors import CheckpointError
from muomni_export.notes import Note

from .evidence import Evidence
from .weights import CheckpointSet, StageWeights

SHOWN = 5  # names in an error, the rest is counted

M = TypeVar("M", bound=nn.Module)
T = TypeVar("T")


class Loading:
    """What a stage is loaded from: the checkpoint, and the stages that were loaded before it."""

    def __init__(self, checkpoint: CheckpointSet) -> None:
        self.checkpoint = checkpoint
        self.notes: list[Note] = list(checkpoint.notes)
        self.stages: list[object] = []

    def has(self, name: str) -> bool:
        """Whether there is a state dict of this name."""
        return name in self.checkpoint.weights

    def weights(self, name: str) -> StageWeights:
        return self.checkpoint.weights[name]

    def evidence(self, name: str) -> Evidence:
        """The tensors and the config of a state dict that is there."""
        return Evidence(name, self.weights(name), self.notes)

    def module(self, name: str, make: Callable[[StageWeights], M]) -> M:
        """Make the module of a state dict that is there and give it its weights.

        Raises:
            CheckpointError: missing, unknown or misshapen tensors; sizes that cannot be known.
        """
        return fit(name, self.weights(name), make)

    def find(self, kind: type[T]) -> T | None:
        """A stage that was loaded before; None where the checkpoint does not have it."""
        return find(self.stages, kind)

    def mismatch(
        self, one: str, tensor: str, size: str, other: str, other_tensor: str, other_size: str
    ) -> CheckpointError:
        """The error for two state dicts whose sizes do not go together."""
        first, second = self.weights(one), self.weights(other)
        return CheckpointError(
            f"{first.source}: {first.stored(tensor)} has {size}, expected the {other_size} of "
            f"{second.stored(other_tensor)} in {second.source}; they come from different trainings"
        )


def find(stages: Iterable[object], kind: type[T]) -> T | None:
    return next((stage for stage in stages if isinstance(stage, kind)), None)


def fit(name: str, weights: StageWeights, make: Callable[[StageWeights], M]) -> M:
    """Make a module without memory of its own and let it take the checkpoint's tensors."""
    with torch.device("meta"):
        module = make(weights)
    expected = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    missing = [f"{weights.stored(key)} {expected[key]}" for key in expected if key not in weights.state]
    unknown = [weights.stored(key) for key in weights.state if key not in expected]
    wrong = [
        f"{weights.stored(key)} (expected {expected[key]}, got {tuple(tensor.shape)})"
        for key, tensor in weights.state.items()
        if key in expected and tuple(tensor.shape) != expected[key]
    ]
    problems = [
        f"{what}: {_some(names)}"
        for what, names in (("missing", missing), ("unknown", unknown), ("wrong shape", wrong))
        if names
    ]
    if problems:
        sizes = getattr(module, "sizes", None)
        context = f"; the sizes read from its tensors are {sizes}" if sizes is not None else ""
        raise CheckpointError(f"{weights.source}: the {name} does not fit: {'; '.join(problems)}{context}")
    module.load_state_dict(weights.state, strict=True, assign=True)
    return module.requires_grad_(False).eval()


def _some(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
