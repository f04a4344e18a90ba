"""What all tests share: the parity set, and the bundle exported from it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PARITY = Path(__file__).parent / "data" / "parity"
READY_BUNDLE = "MUOMNI_TEST_BUNDLE"
"""Environment variable: a bundle of the parity set to use instead of exporting one."""


@pytest.fixture(scope="session")
def parity_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The parity set, exported once by the command. Treat as read-only."""
    if ready := os.environ.get(READY_BUNDLE):
        return Path(ready)
    for package in ("torch", "onnx", "onnxscript", "librosa"):
        pytest.importorskip(package)
    bundle = tmp_path_factory.mktemp("export") / "parity"
    checkpoint = PARITY / "checkpoints" / "omni_sft_tiny"
    command = [sys.executable, "-m", "muomni_export.cli", str(checkpoint), "--out", str(bundle)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return bundle
