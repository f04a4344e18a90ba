"""All stages, in the order in which they are loaded: a stage may look at those before it."""

from __future__ import annotations

from .audio import AUDIO
from .codec import CODEC
from .ocr import OCR
from .stage import StageExport, StateDict
from .talker import TALKER
from .thinker import THINKER
from .vision import VISION
from .vocoder import VOCODER

STAGES: tuple[StageExport, ...] = (THINKER, VISION, AUDIO, TALKER, CODEC, VOCODER, OCR)

FLOAT_GRAPHS = tuple(graph for stage in STAGES for graph in stage.float_graphs)
"""Graphs that are not stored in 8 or 4 bits."""

DECODER_GRAPHS = tuple(graph for stage in STAGES for graph in stage.decoder_graphs)
"""Graphs with a key/value cache."""


def stage_named(name: str) -> StageExport:
    return next(stage for stage in STAGES if stage.name == name)


def state_dicts() -> list[StateDict]:
    """Those of all stages."""
    return [state_dict for stage in STAGES for state_dict in stage.state_dicts]
