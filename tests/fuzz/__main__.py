"""Mutated files of one kind, or of all: ``python -m tests.fuzz --kind png --count 10000 --seed 0``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.fuzz.driver import Worker, fuzz
from tests.fuzz.kinds import KINDS

parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
parser.add_argument("--kind", choices=sorted(KINDS), action="append", help="may be repeated; all without it")
parser.add_argument("--count", type=int, default=1000, help="files of each kind")
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--first", type=int, default=0, help="number of the first file, to repeat one finding")
parser.add_argument("--keep", type=Path, help="folder for the files that something was found with")
options = parser.parse_args()

worker = Worker()
found = 0
for kind in options.kind or sorted(KINDS):
    result = fuzz(worker, kind, options.count, options.seed, options.first, options.keep)
    found += len(result.findings)
    print(
        f"{kind}: {result.read} read, {result.refused} refused, {len(result.findings)} findings", flush=True
    )
    for finding in result.findings:
        print(f"  {finding}", flush=True)
worker.stop()
sys.exit(found > 0)
