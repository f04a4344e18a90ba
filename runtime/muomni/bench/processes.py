"""Measurements that need a process of their own: start to end, and peak memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from muomni.errors import MuomniError

from .statistics import Summary, interleave, summarise

SUBPROCESS_SECONDS = 300

# The child reports on the last line, whatever the libraries printed before.
_PEAK = """
import json, sys
import numpy as np
from muomni import Omni
folder, device, threads, everything = json.loads(sys.argv[1])
omni = Omni.load(folder, device=device, threads=threads)
stages = omni.manifest
options = {"max_new_tokens": 64}
if everything:
    if stages.vision is not None and stages.vision.embeddings_per_image:
        options["images"] = [np.zeros((64, 64, 3), dtype=np.uint8)]
    if stages.audio is not None and stages.audio.max_embeddings:
        options["audio"] = (np.zeros(16000, dtype=np.float32), 16000)
    if None not in (stages.talker, stages.codec, stages.vocoder):
        options["speech"] = True
omni.generate("hi", **options)
try:
    with open("/proc/self/status") as status:
        peak = next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM"))
except OSError:
    import resource
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 1024)
print(json.dumps(peak))
"""


def run_child(words: Sequence[str]) -> str:
    """stdout of a process; this process's environment without a chosen model.

    Raises:
        MuomniError: it failed; the message holds the end of its stderr.
    """
    environment = {name: value for name, value in os.environ.items() if name != "MUOMNI_MODEL"}
    try:
        done = subprocess.run(
            words,
            check=False,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            stdin=subprocess.DEVNULL,
            timeout=SUBPROCESS_SECONDS,
            env=environment,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise MuomniError(f"a process of the benchmark did not finish: {error}") from error
    if done.returncode != 0:
        raise MuomniError(f"a process of the benchmark failed: {done.stderr.strip()[-500:]}")
    return done.stdout


def start_seconds(
    bundle: Path,
    device: str,
    threads: int | None,
    rounds: int,
    child: Callable[[Sequence[str]], str] = run_child,
) -> dict[str, Summary]:
    """Whole processes, interleaved: ``muomni-run`` for one token, and importing what it stands on."""
    run = ["-m", "muomni.cli.run", "-q", "--model", str(bundle), "--device", device]
    run += ["--text", "hi", "--max-new-tokens", "1"]
    if threads is not None:
        run += ["--threads", str(threads)]
    actions = {
        "process": lambda: child([sys.executable, *run]),
        "imports": lambda: child([sys.executable, "-c", "import numpy, onnxruntime"]),
    }
    return {name: summarise(seconds) for name, seconds in interleave(actions, rounds).items()}


def peak_rss_mb(bundle: Path, device: str, threads: int | None, *, everything: bool) -> float:
    """Peak resident memory (MB of 2**20 bytes) of a fresh process that answers one request."""
    argument = json.dumps([str(bundle), device, threads, everything])
    return float(json.loads(run_child([sys.executable, "-c", _PEAK, argument]).splitlines()[-1]))
