"""What a stage of the export is: where its weights lie, how it is loaded, and what a loaded one gives.

A new stage is a module beside this one with a :class:`StageExport`, and a line in :mod:`.registry`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from muomni.bundle.manifest import Precision
from muomni_export.parity.compare import GraphCheck

from .loading import Loading

# Example sizes while tracing; above 1 and distinct, so that no axis is taken for a constant or for another.
BATCH, STEP, MEDIA, CAPACITY, FRAMES = 2, 5, 3, 16, 41


@dataclass(frozen=True)
class GraphBuild:
    """One graph to make: the module in the contract's signature, its example inputs and dynamic axes."""

    graph: str
    module: nn.Module
    arguments: tuple[Any, ...]
    dynamic_shapes: tuple[Any, ...]
    check: GraphCheck


def over_time(graph: str, module: nn.Module, example: Tensor, check: GraphCheck) -> GraphBuild:
    """A graph with one input, of any batch and length."""
    axes = {0: torch.export.Dim("B"), 1: torch.export.Dim("T")}
    return GraphBuild(graph, module, (example,), (axes,), check)


class LoadedStage(ABC):
    """A stage as torch modules in evaluation mode, float32, without gradients."""

    @property
    @abstractmethod
    def modules(self) -> Mapping[str, nn.Module]:
        """Its modules by the names of their state dicts."""

    @abstractmethod
    def graphs(self) -> list[GraphBuild]:
        """The graphs it makes."""

    @abstractmethod
    def manifest_entry(self) -> dict[str, Any]:
        """Its fields of the manifest."""

    def prompt_entry(self) -> dict[str, Any]:
        """What it says of the prompt: fields of :class:`muomni.bundle.manifest.PromptEntry`."""
        return {}

    def write_files(self, folder: Path, precision_of: Callable[[str], Precision]) -> None:
        """Write what its manifest entry names beside graphs; ``precision_of`` tells how a graph is stored."""
        return


@dataclass(frozen=True)
class StateDict:
    """The weights of one module of a stage, and where people have them."""

    name: str
    """Of the module; of the stage's main one, the stage's name."""
    files: Mapping[str, tuple[str, ...]]
    """Kind of file ("omni", or the name of a stage) -> names it may have there, the preferred one first."""
    merged: str | None = None
    """Its prefix in a file with all stages; None where it is never in one."""
    needs: str | None = None
    """The state dict without which this one is of no use to the others."""
    config_key: str = ""
    """The section of its config inside that of the stage; empty for the whole."""


@dataclass(frozen=True)
class Companions:
    """What a stage needs from the folder of its weights beside them."""

    files: Mapping[str, Path]
    """By the names under which :class:`CheckpointSet` gives them."""
    state_dicts: Mapping[str, Path]
    """Files of weights, by the name of the state dict."""


@dataclass(frozen=True)
class SyntheticStage:
    """How random weights for a stage are made; ``sizes`` are those of its module."""

    modules: Callable[[Any, int], dict[str, nn.Module]]
    """Sizes and the Thinker's width -> modules by the names of their state dicts."""
    config: Callable[[Any], dict[str, Any]]
    """Sizes -> the JSON that a training run has for the stage."""
    beside: Callable[[], dict[str, Any]] = dict
    """What a training run saves in the stage's file beside the weights that are exported."""
    needs_beside: bool = False
    """Whether the export needs it: then the file is never the state dict alone, and lies beside a merged one, too."""


def training_head() -> dict[str, Tensor]:
    """A linear layer that a training run saves and an export does not need."""
    return {"weight": torch.zeros(8, 4), "bias": torch.zeros(8)}


@dataclass(frozen=True)
class StageExport:
    """One model of the pipeline, as checkpoints have it."""

    name: str
    state_dicts: tuple[StateDict, ...]
    load: Callable[[Loading], LoadedStage | None]
    """Gives None where the checkpoint does not have it."""
    file_stems: tuple[str, ...] = ()
    """Names of its file without an extension, the preferred one first; none where another stage's file has it."""
    folder_prefix: str = ""
    without_it: str = ""
    """What the model will not do without it; empty where nothing need be said."""
    goes_with: str | None = None
    """The stage that it is looked for beside; None for those that the config of a set names."""
    set_keys: tuple[str, ...] = ()
    """Keys about it that stand in the config of a set, outside its section."""
    float_graphs: tuple[str, ...] = ()
    """Graphs that are stored in 16 bits at least: their rounding is heard."""
    decoder_graphs: tuple[str, ...] = ()
    """Graphs with a key/value cache: made for CUDA, they compute in float16."""
    companions: Callable[[Path, Collection[str]], Companions] | None = None
    """Folder and names of the main state dict's tensors -> what else is needed from there."""
    synthetic: SyntheticStage | None = None

    @property
    def main(self) -> StateDict:
        return self.state_dicts[0]
