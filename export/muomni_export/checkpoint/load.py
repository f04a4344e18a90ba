"""A checkpoint's weights into the torch modules of its stages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from muomni_export.notes import Note, without_repeats
from muomni_export.stages.loading import Loading, find
from muomni_export.stages.registry import STAGES, state_dicts
from muomni_export.stages.stage import GraphBuild, LoadedStage
from muomni_export.stages.weights import CheckpointSet

S = TypeVar("S")


@dataclass(frozen=True)
class Modules:
    """The stages of a checkpoint, in the order of :data:`muomni_export.stages.registry.STAGES`.

    Every torch module is an attribute, too, by the name of its state dict: ``modules.thinker``,
    ``modules.vision_projector``; None where the checkpoint does not have it.
    """

    stages: tuple[LoadedStage, ...]
    notes: tuple[Note, ...]
    sources: Mapping[str, Path]
    """State dict -> the file it came from."""

    def find(self, kind: type[S]) -> S | None:
        """The stage of a type; None where the checkpoint does not have it."""
        return find(self.stages, kind)

    def graphs(self) -> list[GraphBuild]:
        """Every graph that these stages make."""
        return [build for stage in self.stages for build in stage.graphs()]

    def __getattr__(self, name: str) -> Any:
        for stage in self.__dict__.get("stages", ()):
            if name in stage.modules:
                return stage.modules[name]
        if any(name == part.name for part in state_dicts()):
            return None
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")


def load_modules(checkpoint: CheckpointSet) -> Modules:
    """Build every stage with the sizes of its tensors and give it its weights.

    Raises:
        CheckpointError: missing, unknown or misshapen tensors; sizes that cannot be known; stages or a
            tokenizer that do not fit together.
    """
    loading = Loading(checkpoint)
    for stage in STAGES:
        loaded = stage.load(loading)
        if loaded is not None:
            loading.stages.append(loaded)
    sources = {name: weights.source for name, weights in checkpoint.weights.items()}
    stages = tuple(stage for stage in loading.stages if isinstance(stage, LoadedStage))
    return Modules(stages, without_repeats(loading.notes), sources)
