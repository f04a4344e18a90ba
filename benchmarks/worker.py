"""One contender in a process of its own: a line on stdin is a round, a JSON line on stdout its result."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from contenders import CONTENDERS
from models import Work
from muomni.bench.decoding import NEW_TOKENS, PROMPT_TOKENS, fixed_prompt


def peak_mb() -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def main() -> None:
    folder, size, name, precision, threads = sys.argv[1:]
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what a library prints must not be read as a result
    contender = CONTENDERS[name][0](Work(Path(folder), size), precision, int(threads))
    prompt = fixed_prompt(PROMPT_TOKENS, 32_000)
    print(json.dumps("ready"), file=answers)
    for _ in sys.stdin:
        start = time.perf_counter()
        ids = [contender.prefill(prompt)]
        first = time.perf_counter()
        for _ in range(NEW_TOKENS - 1):
            ids.append(contender.step(ids[-1]))
        seconds = time.perf_counter() - first
        result = {"prefill_ms": 1000 * (first - start), "tokens_per_s": (NEW_TOKENS - 1) / seconds}
        print(json.dumps({**result, "peak_rss_mb": peak_mb(), "ids": ids}), file=answers)


if __name__ == "__main__":
    main()
