"""What stages are loaded from: state dicts with their configs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from muomni_export.notes import Note


@dataclass(frozen=True)
class StageWeights:
    """One state dict: float32 weights under the names of its module, and its config.

    ``prefix`` is what the file puts before a name; ``stored_names`` has each tensor's full name in the file.
    """

    state: dict[str, Tensor]
    config: dict[str, Any]
    source: Path
    prefix: str
    stored_names: Mapping[str, str] = field(default_factory=dict)
    config_source: Path | None = None

    def stored(self, name: str) -> str:
        """The name a tensor has, or would have, in the file."""
        return self.stored_names.get(name, self.prefix + name)


@dataclass(frozen=True)
class CheckpointSet:
    """All that was found.

    ``weights`` has state dicts by the names that the stages give them (:class:`.stage.StateDict`); ``files`` has
    other files that a stage asked for, by name. ``context_length`` is in positions, 0 where there is no Thinker;
    ``root`` is the folder that was read.
    """

    weights: Mapping[str, StageWeights]
    files: Mapping[str, Path]
    tokenizer: Path | None
    context_length: int
    notes: tuple[Note, ...]
    root: Path
