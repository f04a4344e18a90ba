"""OpenAI's own client for JavaScript, by Node."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from .conftest import Running, encoded

NODE_MODULES = "MUOMNI_TEST_NODE_MODULES"
"""Environment variable: a folder ``node_modules`` that has ``openai``; where it is set, nothing here is skipped."""
SCRIPT = Path(__file__).parent / "client.mjs"


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with OpenAI's package."""
    if ready := os.environ.get(NODE_MODULES):
        return Path(ready).parent
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("node and npm are not installed")
    folder = tmp_path_factory.mktemp("javascript")
    command = [npm, "install", "--no-audit", "--no-fund", "--prefix", str(folder), "openai@6"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if result.returncode:
        pytest.skip(f"npm could not install openai: {result.stderr[-200:]}")
    return folder


def test_the_client_works_unchanged(packages: Path, running: Running) -> None:
    script = packages / SCRIPT.name
    shutil.copy(SCRIPT, script)
    result = subprocess.run(
        ["node", str(script), f"{running.url}/v1"],
        input=encoded("question.wav"),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == "all is well"
    running.idle_within(5)
