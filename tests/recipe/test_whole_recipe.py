"""``python -m recipe``: the commands it runs, and what Ctrl-C does to them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from recipe.__main__ import TWO_PROCESSES, commands

CHILD = """
import pathlib, signal, sys, time
asked = []
signal.signal(signal.SIGINT, lambda *_: asked.append(1))
pathlib.Path("ready").touch()
while not asked:
    time.sleep(0.01)
time.sleep(1.0)  # a step of training ends before it saves
pathlib.Path("saved").touch()
sys.exit(3)
"""
# A process started in the background has SIGINT ignored; a terminal's has not.
PARENT = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from recipe.__main__ import run
sys.exit(run([sys.executable, "child.py"]))
"""


@pytest.mark.parametrize("cores", [1, 2])
def test_two_processes_share_the_last_stage_where_there_are_two_cores(cores: int) -> None:
    stages = commands(Path("state"), Path("out"), cores)
    answering = next(c for c in stages if c[-2:] == ["--stage", "answering"])
    assert (answering[: len(TWO_PROCESSES)] == list(TWO_PROCESSES)) == (cores == 2)
    assert sum("recipe.perception" in c for c in stages) == 3


@pytest.mark.skipif(os.name != "posix", reason="process groups")
def test_a_command_saves_before_ctrl_c_ends_it(tmp_path: Path) -> None:
    (tmp_path / "child.py").write_text(CHILD)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT], cwd=tmp_path, env=environment, start_new_session=True
    )
    end = time.monotonic() + 60
    while not (tmp_path / "ready").exists():
        assert parent.poll() is None and time.monotonic() < end
        time.sleep(0.02)
    os.killpg(parent.pid, signal.SIGINT)
    assert parent.wait(timeout=60) == 3
    assert (tmp_path / "saved").exists()
