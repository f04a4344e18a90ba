"""``python -m recipe --out demo``: the whole training, from nothing to μOmni checkpoints; the same command goes on.

It runs the commands below: the teacher reads, then one process learns to speak while another learns to see, hear and
answer, then the checkpoints are written. Each command keeps its state and does nothing where it is done, so this may be
stopped (Ctrl-C: state is saved) and started again at any time. On one core the two learn one after the other.
``--trial`` runs all of it with next to no data and steps, to see whether a machine has all that it takes.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path

from . import DEFAULT_STATE

SPEAKING = ("prepare", "corpus", "letters", "talker", "vocoder")
PERCEPTION = ("seeing", "hearing", "answering")
ONEDNN_KERNELS = "20000"  # kept compiled; with its default of 1,024 shapes are compiled again and again

TRIAL_SHARDS = {"hearing": 1, "english": 1, "heart": 1, "voice": 4}
"""Of readings."""
TRIAL_STEPS = {"letters": 50, "talker": 50, "vocoder": 10, "seeing": 10, "hearing": 10, "answering": 4}

Command = list[str]
"""Arguments of ``python -m``."""


def phases(state: Path, out: Path, cores: int, trial: bool = False) -> list[list[list[Command]]]:
    """Phases that follow each other; the chains of commands in one run beside each other where there are cores."""
    at = ["--state", str(state)]
    shards, few = [], []
    if trial:
        shards = [f"--{stream}-shards={count}" for stream, count in TRIAL_SHARDS.items()]
        few = ["--reading-shards", "1", "--recording-shards", "1", "--dev-samples", "1"]

    def steps(stage: str) -> list[str]:
        return ["--steps", str(TRIAL_STEPS[stage])] if trial and stage in TRIAL_STEPS else []

    chains = [
        [["recipe.speaking", *at, stage, *steps(stage)] for stage in SPEAKING],
        [["recipe.perception", *at, "--stage", stage, *few, *steps(stage)] for stage in PERCEPTION],
    ]
    generate = ["recipe.teachers", "generate", *at, "--threads", str(cores), *shards]
    return [
        [[["recipe.teachers", "prepare"], generate]],
        chains if cores > 1 else [list(chain(*chains))],
        [
            [
                ["recipe.speaking", *at, "collect", "--out", str(out), "--half"],
                ["recipe.perception.saving", *at, "--out", str(out), "--half"],
            ]
        ],
    ]


def run_chain(commands: Sequence[Command]) -> int:
    """Run commands one after the other until one fails (as it does when it is stopped); its status."""
    environment = {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": ONEDNN_KERNELS, **os.environ}
    for command in commands:
        print("python -m", *command, flush=True)
        if status := subprocess.run(
            [sys.executable, "-m", *command], env=environment, check=False
        ).returncode:
            return status
    return 0


def run_phase(chains: Sequence[Sequence[Command]]) -> int:
    """Run chains beside each other, each to its end or to its first failure; the first status that is none."""
    with ThreadPoolExecutor(len(chains)) as pool:
        running = [pool.submit(run_chain, commands) for commands in chains]
        statuses: list[int] = []
        while len(statuses) < len(running):
            try:
                statuses.append(running[len(statuses)].result())
            except KeyboardInterrupt:  # the terminal sends it to the commands, too
                print("stopping: waiting for the state to be saved", flush=True)
    return next((status for status in statuses if status), 0)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m recipe", description=__doc__)
    parser.add_argument("--state", type=Path, default=DEFAULT_STATE)
    parser.add_argument("--out", type=Path, required=True, help="folder that gets the checkpoints")
    parser.add_argument("--trial", action="store_true", help="all of it, with next to no data and steps")
    options = parser.parse_args()
    state = options.state.expanduser()
    if options.trial:
        state /= "trial"
    for chains in phases(state, options.out, os.cpu_count() or 1, options.trial):
        if status := run_phase(chains):
            raise SystemExit(status)


if __name__ == "__main__":
    main()
