"""What all tests share: the parity set, the bundle exported from it, and the rule on skips."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from typing import TypeVar

import pytest

PARITY = Path(__file__).parent / "data" / "parity"
READY_BUNDLE = "MUOMNI_TEST_BUNDLE"
"""Environment variable: a bundle of the parity set to use instead of exporting one."""

NO_SKIPS = "MUOMNI_NO_SKIPS"
"""Environment variable: a skip is a failure, as in CI, where everything that a test needs is installed."""

Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    return _strict((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """A module that skips itself as a whole never reaches the hook above."""
    return _strict((yield))


def _strict(report: Report) -> Report:
    """The report; a skip as a failure, where none may be."""
    if os.environ.get(NO_SKIPS) and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"{reason}: {NO_SKIPS} is set, and allows no test to be skipped"
    return report


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
