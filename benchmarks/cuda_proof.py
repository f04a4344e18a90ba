"""Is muomni right on a GPU, and how fast: ``python benchmarks/cuda.py``, on any machine with one, in eight minutes.

It needs ``pip install "muomni[gpu,export,test]"``; PyTorch is measured beside it where its build has CUDA. With
``--device cpu`` the same code runs with memory of the host in the place of the GPU's, and less is measured: so it
is known to work before anybody has a GPU.

Writes one JSON and one table; exits with 1 where something is wrong.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cuda_checks
import cuda_figures
from cuda_setup import Setup, say
from muomni.bench.machine import describe_machine
from muomni.errors import MuomniError
from muomni.ort.providers import providers_for
from tables import cuda_table

RESULTS = Path(__file__).parent / "results"
MINUTES = 7.0


def prove(setup: Setup, rounds: int, quick: bool) -> dict[str, Any]:
    """Everything, as JSON."""
    sizes = cuda_figures.QUICK_SIZES if quick else cuda_figures.FULL_SIZES
    batches = cuda_figures.QUICK_BATCHES if quick else cuda_figures.FULL_BATCHES
    result: dict[str, Any] = {
        "device": "cuda" if setup.device == "cuda" else "stand-in on the CPU: no figure is a GPU's",
        "machine": describe_machine() | gpu(),
        "precision": setup.precision,
        "cpu_precision": setup.cpu_precision,
        "context": cuda_figures.CONTEXT,
        "checks": [],
        "errors": {},
    }
    parts: dict[str, Callable[[], Any]] = {
        "bundles": lambda: setup.prepare(sizes),
        "checks": lambda: list(cuda_checks.all_checks(setup)),
        "copied_gb_per_s": lambda: round(setup.bytes_per_second / 1e9, 1),
        "requests": lambda: cuda_figures.requests(setup, rounds),
        "decode": lambda: list(cuda_figures.decode(setup, sizes, batches, rounds)),
        "conversations": lambda: [
            row for size in sizes[:2] for row in cuda_figures.conversations(setup, size, batches)
        ],
    }
    for name, part in parts.items():
        start = time.monotonic()
        try:
            found = part()
            if found is not None:
                result[name] = found
        except Exception as error:  # what was found so far is still written
            traceback.print_exc()
            result["errors"][name] = f"{type(error).__name__}: {error}"
        say(f"{name}: {time.monotonic() - start:.0f} s")
    if "decode" in result and setup.device == "cuda":  # the stand-in cannot pay
        result["pays"] = cuda_figures.pays_from(result["decode"])
    result["seconds"] = round(time.monotonic() - setup.begun)
    wrong = [check["name"] for check in result["checks"] if not check["passed"]]
    result["wrong"] = [*wrong, *result["errors"]]
    return result


def gpu() -> dict[str, str]:
    """The GPU's name and driver, as nvidia-smi has them; nothing where it is not there."""
    import subprocess

    try:
        done = subprocess.run(
            ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return {}
    return {"gpu": done.stdout.strip().splitlines()[0]}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument(
        "--graphs",
        choices=("cuda", "cpu"),
        help="with --device cpu: whose graphs the stand-in runs; default cpu",
    )
    parser.add_argument(
        "--work", type=Path, help="folder for the models, kept and reused; default: a temporary one"
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument(
        "--minutes", type=float, default=MINUTES, help="what does not fit into them is left out, and said"
    )
    parser.add_argument("--full", action="store_true", help="on the CPU: every size and batch")
    parser.add_argument(
        "--out", type=Path, help="default: results/cuda.json, or cuda-stand-in.json, beside this file"
    )
    options = parser.parse_args()
    if options.device == "cuda" and options.graphs == "cpu":
        parser.error("--graphs cpu: ONNX Runtime has no float32 attention on CUDA; leave it out")
    try:
        providers_for(options.device)
    except MuomniError as error:
        parser.error(str(error))
    name = "cuda.json" if options.device == "cuda" else "cuda-stand-in.json"
    out: Path = options.out or RESULTS / name
    with tempfile.TemporaryDirectory() as folder:
        graphs = options.graphs or options.device
        setup = Setup(options.device, options.work or Path(folder), 60 * options.minutes, graphs)
        setup.work.mkdir(parents=True, exist_ok=True)
        result = prove(setup, options.rounds, options.device == "cpu" and not options.full)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=1) + "\n")
    table = cuda_table(result)
    out.with_suffix(".md").write_text(table + "\n")
    print(table)
    return 1 if result["wrong"] else 0
