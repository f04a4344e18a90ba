"""The shipped demo: small, exact, and it hears, sees and speaks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import muomni

SAMPLES = Path(__file__).parents[3] / "checkpoints" / "demo" / "samples"


@pytest.fixture(scope="session")
def omni() -> Iterator[muomni.Omni]:
    with muomni.Omni.load(device="cpu", threads=1) as loaded:
        yield loaded
