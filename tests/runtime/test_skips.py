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
    "a test": "import pytest\ndef test_it(): pytest.skip('no voice')\n",
    "by a mark": "import pytest\n@pytest.mark.skipif(True, reason='no voice')\ndef test_it(): pass\n",
    "a module": "import pytest\npytest.skip('no voice', allow_module_level=True)\n",
    "a package": "import pytest\npytest.importorskip('no_such_voice')\n",
}


def run(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", str(folder)]
    rest = {name: value for name, value in os.environ.items() if name != "MUOMNI_NO_SKIPS"}
    env = {**rest, **environment}
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, env=env)


@pytest.mark.parametrize("source", SKIPPED.values(), ids=SKIPPED.keys())
def test_a_skip_is_a_failure_where_none_may_be(source: str, tmp_path: Path) -> None:
    shutil.copy(CONFTEST, tmp_path)
    (tmp_path / "test_it.py").write_text(source + "def test_other(): pass\n")
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    assert run(tmp_path).returncode in (0, 5)  # 5: a module that is skipped leaves nothing to run
    strict = run(tmp_path, MUOMNI_NO_SKIPS="1")
    assert strict.returncode in (1, 2)  # 2: it failed while the tests were collected
    assert "allows no test to be skipped" in strict.stdout and "voice" in strict.stdout


def test_an_expected_failure_is_no_skip(tmp_path: Path) -> None:
    shutil.copy(CONFTEST, tmp_path)
    (tmp_path / "test_it.py").write_text(
        "import pytest\n@pytest.mark.xfail\ndef test_it(): raise ValueError\n"
    )
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    assert run(tmp_path, MUOMNI_NO_SKIPS="1").returncode == 0
