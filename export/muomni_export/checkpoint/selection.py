"""What of a checkpoint is asked for."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import get_args

from muomni.errors import InputError
from muomni_export.stages.registry import STAGES
from muomni_export.stages.stage import StageExport

from .state_dict import Choice

NAMES = tuple(stage.name for stage in STAGES if stage.file_stems)
"""Stages that can be chosen; the others come with the one whose file they are in."""


@dataclass(frozen=True)
class Selection:
    """Which stages are read, and which of their weights."""

    stages: frozenset[str] = frozenset(NAMES)
    weights: Choice = "model"

    @classmethod
    def of(
        cls, only: Collection[str] = (), without: Collection[str] = (), weights: str = "model"
    ) -> Selection:
        """From names of stages; a stage brings what goes with it: the Talker its vocoder.

        Raises:
            InputError: an unknown name, both ``only`` and ``without``, or nothing left.
        """
        for option, names in (("only", only), ("without", without)):
            for name in names:
                if name not in NAMES:
                    raise InputError(f"{option}: expected some of {', '.join(NAMES)}, got {name!r}")
        if only and without:
            raise InputError("only and without: expected one of them, got both")
        if weights not in get_args(Choice):
            raise InputError(f"weights: expected one of {', '.join(get_args(Choice))}, got {weights!r}")
        kept = set(only or NAMES) - set(without)
        for stage in STAGES:
            if only and stage.goes_with in kept:
                kept.add(stage.name)
            if stage.goes_with in without:
                kept.discard(stage.name)
        if not kept:
            raise InputError("without: nothing would be left to export")
        return cls(frozenset(kept), "ema" if weights == "ema" else "model")

    def has(self, stage: StageExport) -> bool:
        return stage.name in self.stages
