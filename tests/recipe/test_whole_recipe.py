"""``python -m recipe``: the commands it runs, side by side, and what Ctrl-C does to them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("torch")

from recipe.__main__ import TRIAL_SHARDS, TRIAL_STEPS, phases, run_phase
from recipe.perception.__main__ import PLANS
from recipe.speaking.__main__ import STEPS
from recipe.teachers.readings import SHARDS

CHILD = """
import pathlib, signal, sys, time
name = sys.argv[1]
asked = []
signal.signal(signal.SIGINT, lambda *_: asked.append(1))
pathlib.Path(f"ready-{name}").touch()
while not asked:
    time.sleep(0.01)
time.sleep(1.0)  # a step of training ends before it saves
pathlib.Path(f"saved-{name}").touch()
sys.exit(3)
"""
# A process started in the background has SIGINT ignored; a terminal's has not.
PARENT = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from recipe.__main__ import run_phase
sys.exit(run_phase([[["child", "a"], ["child", "never"]], [["child", "b"]]]))
"""


def test_speaking_and_perception_are_learned_side_by_side_where_there_are_two_cores() -> None:
    reading, learning, writing = phases(Path("state"), Path("out"), 2)
    assert [command[:2] for command in reading[0]] == [
        ["recipe.teachers", "prepare"],
        ["recipe.teachers", "generate"],
    ]
    assert [{command[0] for command in commands} for commands in learning] == [
        {"recipe.speaking"}, {"recipe.perception"},
    ]  # fmt: skip
    assert len(writing) == 1
    (one_after_the_other,) = phases(Path("state"), Path("out"), 1)[1]
    assert one_after_the_other == learning[0] + learning[1]


def test_a_trial_is_the_whole_recipe_with_less_of_everything() -> None:
    assert TRIAL_SHARDS.keys() == SHARDS.keys()
    assert TRIAL_STEPS.keys() == PLANS.keys() | STEPS.keys()
    whole, trial = (phases(Path("state"), Path("out"), 2, trial) for trial in (False, True))
    for chains, small in zip(whole, trial, strict=True):
        for chain, small_chain in zip(chains, small, strict=True):
            for command, smaller in zip(chain, small_chain, strict=True):
                assert smaller[: len(command)] == command


def test_a_chain_ends_at_its_first_failure_and_the_other_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, status in (("works", 0), ("fails", 4)):
        (tmp_path / f"{name}.py").write_text(
            f"import pathlib, sys; pathlib.Path('{name}-' + sys.argv[1]).touch(); sys.exit({status})"
        )
    monkeypatch.chdir(tmp_path)
    assert run_phase([[["fails", "a"], ["works", "b"]], [["works", "c"], ["works", "d"]]]) == 4
    assert sorted(p.name for p in tmp_path.glob("*-*")) == ["fails-a", "works-c", "works-d"]


@pytest.mark.skipif(os.name != "posix", reason="process groups")
def test_commands_save_before_ctrl_c_ends_them(tmp_path: Path) -> None:
    (tmp_path / "child.py").write_text(CHILD)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT], cwd=tmp_path, env=environment, start_new_session=True
    )
    end = time.monotonic() + 60
    while not ((tmp_path / "ready-a").exists() and (tmp_path / "ready-b").exists()):
        assert parent.poll() is None and time.monotonic() < end
        time.sleep(0.02)
    os.killpg(parent.pid, signal.SIGINT)
    assert parent.wait(timeout=60) == 3
    assert sorted(p.name for p in tmp_path.glob("saved-*")) == ["saved-a", "saved-b"]
