"""One contender in a process of its own: a JSON line on stdin is a task, a JSON line on stdout its result.

``"round"`` decodes greedily under the clock; a list of ids asks what the contender would say after each beginning
of it. Started with ``prepare`` instead of a number of threads, it only makes the contender's files.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from contenders import CONTENDERS
from contenders.base import Contender
from models import NEW_TOKENS, PROMPT_TOKENS, Work
from muomni.bench.decoding import fixed_prompt

VOCABULARY = 32_000


def peak_mb() -> float:
    """Most memory this process ever had, as Linux counts it."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def one_round(contender: Contender, prompt: list[int]) -> dict[str, Any]:
    """The clock covers all that lies between an id in and the next id out, the choice of the largest included."""
    start = time.perf_counter()
    ids = [contender.prefill(prompt)]
    first = time.perf_counter()
    for _ in range(NEW_TOKENS - 1):
        ids.append(contender.step(ids[-1]))
    seconds = time.perf_counter() - first
    return {
        "prefill_ms": 1000 * (first - start),
        "tokens_per_s": (NEW_TOKENS - 1) / seconds,
        "peak_rss_mb": peak_mb(),
        "ids": ids,
    }


def main() -> None:
    folder, size, name, precision, threads = sys.argv[1:]
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what a library prints must not be read as a result
    work = Work(Path(folder), size)
    entry = CONTENDERS[name]
    if threads == "prepare":
        entry.load().prepare(work, precision)
        print(json.dumps("prepared"), file=answers)
        return
    contender = entry.load()(work, precision, int(threads))
    prompt = fixed_prompt(PROMPT_TOKENS, VOCABULARY)
    print(json.dumps("ready"), file=answers)
    for line in sys.stdin:
        task = json.loads(line)
        result: Any = one_round(contender, prompt) if task == "round" else contender.forced(prompt, task)
        print(json.dumps(result), file=answers)


if __name__ == "__main__":
    main()
