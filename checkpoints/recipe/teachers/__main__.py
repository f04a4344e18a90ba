"""``python -m recipe.teachers prepare|generate|check``: the teachers' files, their readings, how good they are."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from recipe import DEFAULT_STATE
from recipe.seeds import Split

from . import files
from .readings import SHARDS, Stream

DEV_SHARDS: dict[Stream, int] = {"hearing": 4, "voice": 2}
Shard = tuple[Stream, Split, int]
FIRST = 8
"""Shards before those of dev: there is something to try training with."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m recipe.teachers", description=__doc__)
    stages = parser.add_subparsers(dest="stage", required=True)
    fetch = stages.add_parser("prepare", help="download the files of teachers and judges")
    make = stages.add_parser("generate", help="let the teacher read; goes on where it stopped")
    make.add_argument(
        "--state", type=Path, default=DEFAULT_STATE, help="its folder teacher/ gets the readings"
    )
    make.add_argument("--seed", type=int, default=0)
    for stream, count in SHARDS.items():
        make.add_argument(f"--{stream}-shards", type=int, default=count, metavar="N")
    check = stages.add_parser("check", help="what the judges say of the teachers")
    check.add_argument("--count", type=int, default=24, help="sentences")
    for stage in (fetch, make, check):
        stage.add_argument("--folder", type=Path, default=files.DEFAULT_FOLDER, help="of the teachers' files")
        stage.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    if options.stage == "prepare":
        files.prepare(options.folder)
        print(f"all files are in {options.folder}")
    elif options.stage == "generate":
        generate(options)
    else:
        from .checking import check_teachers

        check_teachers(options.folder, options.count, options.threads)


def generate(options: argparse.Namespace) -> None:
    """Shards of all streams in turn, so that each can be trained on while the rest is made."""
    from .hibari import Hibari
    from .kokoro import Kokoro
    from .shards import Reader, write_shard

    reader = Reader(Kokoro(options.folder, options.threads), Hibari(options.folder, options.threads))
    folder: Path = options.state.expanduser() / "teacher"
    total = {stream: getattr(options, f"{stream}_shards") for stream in SHARDS}
    # At the same part of each stream, whatever their lengths.
    order = sorted((n / count, stream, n) for stream, count in total.items() for n in range(count))
    train: list[Shard] = [(stream, "train", n) for _, stream, n in order]
    dev: list[Shard] = [(stream, "dev", n) for stream, count in DEV_SHARDS.items() for n in range(count)]
    for stream, split, number in [*train[:FIRST], *dev, *train[FIRST:]]:
        began = time.monotonic()
        seconds = write_shard(folder, reader, stream, split, options.seed, number)
        if seconds is not None:
            took = time.monotonic() - began
            print(f"{stream} {split} {number}: {seconds:.0f} s of speech in {took:.0f} s", flush=True)


if __name__ == "__main__":
    main()
