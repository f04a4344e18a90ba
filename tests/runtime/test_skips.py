"""Where CI sets its variable, no test may be skipped."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).parents[1] / "conftest.py"
SKIPPED = {
    "test_in_itself.py": "import pytest\ndef test_it(): pytest.skip('no voice')\n",
    "test_by_a_mark.py": "import pytest\n@pytest.mark.skipif(True, reason='no voice')\ndef test_it(): pass\n",
    "test_a_module.py": "import pytest\npytest.skip('no voice', allow_module_level=True)\n",
    "test_a_package.py": "import pytest\npytest.importorskip('no_such_voice')\n",
}
FAILS_AS_EXPECTED = "import pytest\n@pytest.mark.xfail\ndef test_it(): raise ValueError\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A test that passes and one that is expected to fail, under this project's rules."""
    shutil.copy(CONFTEST, tmp_path)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_fails.py").write_text(FAILS_AS_EXPECTED + "def test_other(): pass\n")
    return tmp_path


def run(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "--continue-on-collection-errors",
        "-rA",
    ]
    rest = {name: value for name, value in os.environ.items() if name != "MUOMNI_NO_SKIPS"}
    env = {**rest, **environment}
    return subprocess.run(
        [*command, folder], capture_output=True, text=True, check=False, cwd=folder, env=env
    )


def test_a_skip_is_a_failure_where_none_may_be(folder: Path) -> None:
    for name, source in SKIPPED.items():
        (folder / name).write_text(source)
    assert run(folder).returncode == 0
    strict = run(folder, MUOMNI_NO_SKIPS="1")
    assert strict.returncode == 1
    summary = strict.stdout.partition("short test summary")[2]
    failed = {
        line.split()[1].partition("::")[0] for line in summary.splitlines() if line[:5] in ("FAILE", "ERROR")
    }
    assert failed == SKIPPED.keys()
    assert strict.stdout.count("allows no test to be skipped") >= len(SKIPPED) and "voice" in strict.stdout


def test_an_expected_failure_is_no_skip(folder: Path) -> None:
    assert run(folder, MUOMNI_NO_SKIPS="1").returncode == 0
