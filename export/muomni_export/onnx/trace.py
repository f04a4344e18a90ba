"""From a graph module to an ONNX file."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import nn

from muomni.errors import MuomniError

OPSET = 23  # the first with RMSNormalization and Attention
# More weight than this goes to a file beside the graph, which ONNX Runtime maps into memory: a Thinker of 20 MB
# then loads in a quarter of the time and with 12 MB less at the peak (benchmarks/README.md). A protobuf message
# would end at 2 GiB anyway.
EXTERNAL_DATA_BYTES = 1 << 20

DynamicShapes = Any
"""What ``torch.export`` takes: for each input its named axes, nested as the inputs are."""


def export_graph(
    module: nn.Module,
    arguments: tuple[Any, ...],
    dynamic_shapes: DynamicShapes,
    input_names: Sequence[str],
    output_names: Sequence[str],
    path: Path,
) -> None:
    """Trace ``module`` on example arguments and write it as ONNX.

    Args:
        arguments: example inputs; dynamic axes must be larger than 1.
        dynamic_shapes: see :data:`DynamicShapes`.
        input_names, output_names: flattened names, in order.
        path: the ``.onnx`` file; weights above 1 MiB go to ``path + ".data"``.

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
                f"{path.stem}: torch {torch.__version__} could not export this module: {error}"
            ) from error
    assert program is not None
    _strip_metadata(program.model)
    weight_bytes = sum(t.nbytes for t in module.state_dict().values())
    program.save(str(path), external_data=weight_bytes > EXTERNAL_DATA_BYTES)


def save_model(model: onnx.ModelProto, path: Path) -> None:
    """Write a rewritten graph in place of the file it was read from, and of that file's external data."""
    data = path.with_name(path.name + ".data")
    data.unlink(missing_ok=True)  # onnx appends to a file that is there
    weight_bytes = sum(len(tensor.raw_data) for tensor in model.graph.initializer)
    if weight_bytes > EXTERNAL_DATA_BYTES:
        onnx.save_model(model, path, save_as_external_data=True, location=data.name)
    else:
        onnx.save_model(model, path)


def _strip_metadata(model: Any) -> None:
    """Drop what the tracer notes on every node: stack traces, with the paths of the exporting machine."""
    model.metadata_props.clear()
    graphs = [model.graph, *model.functions.values()]
    for graph in graphs:
        graph.metadata_props.clear()
        for node in graph.all_nodes():
            node.metadata_props.clear()
            node.doc_string = None
            for value in node.outputs:
                value.metadata_props.clear()
    for value in (*model.graph.inputs, *model.graph.initializers.values()):
        value.metadata_props.clear()


class _quiet_loggers:
    """The exporter logs what it skips; none of it concerns these graphs."""

    def __enter__(self) -> None:
        self._level = logging.root.manager.disable
        logging.disable(logging.WARNING)

    def __exit__(self, *error: object) -> None:
        logging.disable(self._level)
