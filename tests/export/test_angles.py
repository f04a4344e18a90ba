"""Rotary angles that a graph computes itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from muomni_export.modules.decoder import DecoderSizes, attend_uncached
from muomni_export.onnx.trace import save, trace

SIZES = DecoderSizes(width=32, layers=1, heads=2, kv_heads=2, hidden=32)


class Attends(nn.Module):
    """Attention over any number of positions: its angles are computed in the graph."""

    def forward(self, x: Tensor) -> Tensor:
        return attend_uncached(x, x, x, SIZES)


@pytest.fixture(scope="module")
def attention() -> ir.Model:
    axes = {0: torch.export.Dim("B"), 1: torch.export.Dim("L")}
    return trace(Attends(), (torch.zeros(2, 5, 32),), (axes,), ["x"], ["y"])


def test_a_graph_takes_no_cosine_or_sine_of_doubles(attention: ir.Model) -> None:
    angles = [node.inputs[0] for node in attention.graph if node.op_type in ("Cos", "Sin")]
    assert len(angles) == 2
    for angle in angles:
        made = angle.producer()
        assert angle.dtype != ir.DataType.DOUBLE
        assert (
            made is not None and made.op_type == "Cast" and made.attributes.get_int("to") == ir.DataType.FLOAT
        )


@pytest.mark.parametrize("length", [1, 2, 30, 400])
def test_attention_over_any_length_is_that_of_torch(attention: ir.Model, tmp_path: Path, length: int) -> None:
    save(attention, tmp_path / "graph.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "graph.onnx", providers=["CPUExecutionProvider"])
    x = torch.randn(2, length, 32, generator=torch.Generator().manual_seed(length))
    (got,) = session.run(None, {"x": x.numpy()})
    assert np.abs(got - Attends()(x).numpy()).max() < 2e-6 + 1e-7 * length
