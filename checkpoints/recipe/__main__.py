"""``python -m recipe --out demo``: the whole training, from nothing to μOmni checkpoints; the same command goes on.

It runs the commands below one after the other. Each keeps its state and does nothing where it is done, so this may be
stopped (Ctrl-C: state is saved) and started again at any time.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from . import DEFAULT_STATE

SPEAKING = (
    ("prepare",),
    ("corpus", "--shards", "12"),
    ("letters", "--steps", "20000"),
    ("talker", "--steps", "20000"),
    ("vocoder", "--steps", "20000"),
)


def commands(state: Path, out: Path) -> list[list[str]]:
    """Arguments of ``python -m``, in order."""
    at = ["--state", str(state)]
    return [
        *(["recipe.speaking", *at, *stage] for stage in SPEAKING),
        ["recipe.perception", *at],
        ["recipe.speaking", *at, "collect", "--out", str(out), "--half"],
        ["recipe.perception.saving", *at, "--out", str(out), "--half"],
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m recipe", description=__doc__)
    parser.add_argument("--state", type=Path, default=DEFAULT_STATE)
    parser.add_argument("--out", type=Path, required=True, help="folder that gets the checkpoints")
    options = parser.parse_args()
    for command in commands(options.state.expanduser(), options.out):
        print("python -m", *command, flush=True)
        done = subprocess.run([sys.executable, "-m", *command], check=False)
        if done.returncode:
            raise SystemExit(done.returncode)


if __name__ == "__main__":
    main()
