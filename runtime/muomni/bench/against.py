"""What muomni is compared with, found by name among the entry points: nothing of it is imported here."""

from __future__ import annotations

import importlib.metadata
import time
from pathlib import Path
from typing import Any, Protocol

from muomni.errors import InputError, MissingPackageError

from .decoding import ThinkerRun
from .statistics import median_ratio, summarise

GROUP = "muomni.bench"


class Opponent(Protocol):
    """Another way to run the same checkpoint's Thinker, greedily."""

    def prefill(self, prompt: list[int]) -> int:
        """Begin anew with a prompt; give the first token."""
        ...

    def step(self, token: int) -> int:
        """Take a token, give the next."""
        ...


def load_opponent(name: str, checkpoint: Path, threads: int) -> Opponent:
    """Make the opponent that a package offers under this name.

    Raises:
        InputError: no installed package offers one, with the names there are.
        MissingPackageError: it needs a package that is not installed.
    """
    found = importlib.metadata.entry_points(group=GROUP)
    names = sorted(found.names)
    if name not in names:
        raise InputError(
            f"--against: expected one of {', '.join(names) or 'none (no package offers one)'}, got {name!r}; "
            'torch comes with\n  pip install "muomni[export,cpu]"'
        )
    try:
        make = found[name].load()
        opponent: Opponent = make(checkpoint, threads)
    except ModuleNotFoundError as error:
        raise MissingPackageError(
            f"--against {name}: the package {error.name!r} is missing; install it with\n"
            '  pip install "muomni[export,cpu]"'
        ) from error
    return opponent


def compare(run: ThinkerRun, opponent: Opponent, rounds: int) -> dict[str, Any]:
    """Both on the same prompt and length, in turns; ratios above 1 mean that muomni is faster."""
    prefill: list[float] = []
    rates: list[float] = []
    ours: list[int] = []
    theirs: list[int] = []
    run.forget()
    for index in range(rounds + 1):
        ours = run.once()
        start = time.perf_counter()
        theirs = [opponent.prefill(run.prompt)]
        now = time.perf_counter()
        for _ in range(run.new_tokens - 1):
            theirs.append(opponent.step(theirs[-1]))
        opponent.step(theirs[-1])  # as many steps as ours
        if index == 0:
            run.forget()
            continue
        prefill.append(now - start)
        rates.append(run.new_tokens / (time.perf_counter() - now))
    mine, other = summarise(run.round_rates).median, summarise(rates).median
    first, other_first = summarise(run.prefill_seconds).median, summarise(prefill).median
    same = sum(a == b for a, b in zip(ours, theirs, strict=True))
    return {
        "decode_tokens_per_s": round(other, 1),
        "prefill_ms": round(1000 * other_first, 3),
        "muomni_decode_tokens_per_s": round(mine, 1),
        "muomni_prefill_ms": round(1000 * first, 3),
        "decode_ratio": round(median_ratio(run.round_rates, rates), 3),
        "prefill_ratio": round(other_first / first, 3),
        "same_tokens": round(same / len(ours), 4),
        "rounds": rounds,
    }
