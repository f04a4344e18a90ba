"""Bundles that several files of tests look at."""

from __future__ import annotations

from pathlib import Path

import pytest

from muomni_export.export import export_bundle
from muomni_export.synthetic.checkpoint_set import write_random_set


@pytest.fixture(scope="session")
def cuda_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights in every stage."""
    return write_random_set(tmp_path_factory.mktemp("cuda") / "set", "micro", seed=1)


@pytest.fixture(scope="session")
def cuda_bundle(cuda_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made for CUDA, decoders in float16. Treat as read-only."""
    return export_bundle(cuda_checkpoint, tmp_path_factory.mktemp("cuda") / "bundle", device="cuda").folder
