"""``python -m recipe --out demo``: the whole training, from nothing to μOmni checkpoints; the same command goes on.

It runs the commands below one after the other. Each keeps its state and does nothing where it is done, so this may be
stopped (Ctrl-C: state is saved) and started again at any time. Where there are two cores, two processes share the last
and longest stage.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from . import DEFAULT_STATE

SPEAKING = ("prepare", "corpus", "letters", "talker", "vocoder")
TWO_PROCESSES = ("torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m")
ONEDNN_KERNELS = "20000"  # kept compiled; with its default of 1,024 shapes are compiled again and again


def commands(state: Path, out: Path, cores: int) -> list[list[str]]:
    """Arguments of ``python -m``, in order."""
    at = ["--state", str(state)]
    shared = TWO_PROCESSES if cores > 1 else ()
    return [
        ["recipe.teachers", "prepare"],
        ["recipe.teachers", "generate", *at, "--threads", str(cores)],
        *(["recipe.speaking", *at, stage] for stage in SPEAKING),
        ["recipe.perception", *at, "--stage", "seeing"],
        ["recipe.perception", *at, "--stage", "hearing"],
        [*shared, "recipe.perception", *at, "--stage", "answering"],
        ["recipe.speaking", *at, "collect", "--out", str(out), "--half"],
        ["recipe.perception.saving", *at, "--out", str(out), "--half"],
    ]


def run(command: Sequence[str]) -> int:
    """Run a command to its end, which after Ctrl-C is when it has saved; its exit status."""
    environment = {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": ONEDNN_KERNELS, **os.environ}
    process = subprocess.Popen(command, env=environment)
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:  # the terminal sends it to the command, too
            print("stopping: waiting for the state to be saved", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m recipe", description=__doc__)
    parser.add_argument("--state", type=Path, default=DEFAULT_STATE)
    parser.add_argument("--out", type=Path, required=True, help="folder that gets the checkpoints")
    options = parser.parse_args()
    for command in commands(options.state.expanduser(), options.out, os.cpu_count() or 1):
        print("python -m", *command, flush=True)
        status = run([sys.executable, "-m", *command])
        if status:
            raise SystemExit(status)


if __name__ == "__main__":
    main()
