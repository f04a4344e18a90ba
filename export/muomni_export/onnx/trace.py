"""From a graph module to an ONNX model in memory, and from there to its file."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx_ir as ir
import torch
from onnx_ir.passes.common import ClearMetadataAndDocStringPass
from torch import nn

from muomni.errors import MuomniError

from .angles import narrow_angles

OPSET = 23  # the first with RMSNormalization and Attention
# More weight than this goes to a file beside the graph, which ONNX Runtime maps into memory: a Thinker of 20 MB
# then loads in a quarter of the time and with 12 MB less at the peak (benchmarks/README.md). A protobuf message
# would end at 2 GiB anyway.
EXTERNAL_DATA_BYTES = 1 << 20

DynamicShapes = Any
"""What ``torch.export`` takes: for each input its named axes, nested as the inputs are."""


def trace(
    module: nn.Module,
    arguments: tuple[Any, ...],
    dynamic_shapes: DynamicShapes,
    input_names: Sequence[str],
    output_names: Sequence[str],
) -> ir.Model:
    """Trace ``module`` on example arguments, to be rewritten and saved.

    Args:
        arguments: example inputs; dynamic axes must be larger than 1.
        dynamic_shapes: see :data:`DynamicShapes`.
        input_names, output_names: flattened names, in order.

    Raises:
        MuomniError: torch cannot export the module.
    """
    with warnings.catch_warnings(), _quiet_loggers():
        warnings.simplefilter("ignore")
        try:
            program = torch.onnx.export(
                module.eval(),
                arguments,
                dynamo=True,
                opset_version=OPSET,
                dynamic_shapes=dynamic_shapes,
                input_names=list(input_names),
                output_names=list(output_names),
                verbose=False,
            )
        except Exception as error:
            raise MuomniError(
                f"torch {torch.__version__} could not export {type(module).__name__}: {error}"
            ) from error
    assert program is not None
    model: ir.Model = program.model
    _strip_metadata(model)
    narrow_angles(model)
    return model


def save(model: ir.Model, path: Path) -> None:
    """Write a graph; where its weights are above 1 MiB they go to ``path + ".data"``."""
    weights = (value.const_value for value in model.graph.initializers.values())
    weight_bytes = sum(weight.nbytes for weight in weights if weight is not None)
    external = f"{path.name}.data" if weight_bytes > EXTERNAL_DATA_BYTES else None
    ir.save(model, path, external_data=external)


def _strip_metadata(model: ir.Model) -> None:
    """Drop what the tracer notes on every node: stack traces, with the paths of the exporting machine."""
    ClearMetadataAndDocStringPass()(model)
    model.metadata_props.clear()
    graph = model.graph
    made = (value for node in graph.all_nodes() for value in node.outputs)
    for value in (*graph.inputs, *graph.initializers.values(), *made):
        value.metadata_props.clear()


class _quiet_loggers:
    """The exporter logs what it skips; none of it concerns these graphs."""

    def __enter__(self) -> None:
        self._level = logging.root.manager.disable
        logging.disable(logging.WARNING)

    def __exit__(self, *error: object) -> None:
        logging.disable(self._level)
