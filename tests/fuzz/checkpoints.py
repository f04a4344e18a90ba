"""Weights as ``torch.save`` and safetensors write them."""

from __future__ import annotations

import argparse
import io
import json
import random
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from tests.fuzz.kind import Kind
from tests.fuzz.structure import vary_json, vary_zip, zip_checksums

VISION = Path(__file__).parents[1] / "data" / "parity" / "checkpoints" / "vision_tiny" / "vision.pt"
CONFIG = VISION.parents[2] / "configs" / "vision_tiny.json"


def _torch_files() -> list[bytes]:
    import numpy as np
    import torch

    payload = torch.load(VISION, weights_only=True)
    more = {
        **payload,
        "step": np.int64(3),
        "args": argparse.Namespace(lr=0.1, out=Path("a")),
        "optimizer": {"state": {0: {"exp_avg": torch.zeros(2)}}, "param_groups": [{"lr": 1e-3}]},
    }
    made = [VISION.read_bytes()]
    for value, new in ((payload, False), (more, True)):
        stream = io.BytesIO()
        torch.save(value, stream, _use_new_zipfile_serialization=new)
        made.append(stream.getvalue())
    return made


def _safetensors_files() -> list[bytes]:
    import safetensors.torch
    import torch

    payload = torch.load(VISION, weights_only=True)
    tensors = {
        f"{part}.{name}": tensor.contiguous()
        for part, state in payload.items()
        if isinstance(state, dict)
        for name, tensor in state.items()
        if isinstance(tensor, torch.Tensor)
    }
    # Tensors that share their memory are not taken; a copy of each is.
    return [safetensors.torch.save({name: tensor.clone() for name, tensor in tensors.items()})]


def _vary_safetensors(data: bytes, draw: random.Random) -> bytes:
    length = int.from_bytes(data[:8], "little")
    header = vary_json(data[8 : 8 + length].decode(), draw).encode("utf-8", "surrogatepass")
    return len(header).to_bytes(8, "little") + header + data[8 + length :]


def _read(name: str, path: Path) -> Any:
    """As the file of a stage in a folder with its config, up to torch modules."""
    from muomni_export.checkpoint.checkpoint_set import read_checkpoint
    from muomni_export.checkpoint.load import load_modules

    with tempfile.TemporaryDirectory() as folder:
        stage = Path(folder, "vision_tiny")
        stage.mkdir()
        Path(stage, "vision_tiny.json").write_text(json.dumps(json.loads(CONFIG.read_text())))
        Path(stage, name).write_bytes(path.read_bytes())
        load_modules(read_checkpoint(stage / name))


NEEDS = ("torch", "safetensors")
CHECKPOINTS = {
    "pt": Kind(_torch_files, partial(_read, "vision.pt"), zip_checksums, vary_zip, NEEDS),
    "safetensors": Kind(
        _safetensors_files, partial(_read, "vision.safetensors"), vary=_vary_safetensors, needs=NEEDS
    ),
}
