"""A decode step by context, batch, threads and size of model: ``python benchmarks/scaling.py --work FOLDER``.

One axis varies at a time, from a middle point; all settings of an axis take turns, so that a busy moment hits them
alike. A step is everything between ids in and the largest logit of every row out.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models import Work
from muomni import Omni
from muomni.bench.machine import describe_machine
from muomni.bench.statistics import in_turns, summarise
from muomni.models.thinker import Thinker

PRECISIONS = ("fp32", "int8")
CONTEXTS = (16, 32, 64, 128, 256, 384, 512)
BATCHES = (1, 2, 4, 8, 16, 32)
THREADS = (1, 2)
SIZES = ("tiny", "x4", "x16")
# The threads of a session may spin for a while after a step, and would take the cores of the next one's.
REST_SECONDS = 0.02


@dataclass(frozen=True)
class Setting:
    """What a step is measured with; ``context`` counts its own position."""

    precision: str
    size: str = "tiny"
    threads: int = 1
    batch: int = 1
    context: int = 128


def axis(name: str, values: tuple[Any, ...], threads: tuple[int, ...]) -> Iterator[Setting]:
    """The settings of one axis, at each precision and number of threads."""
    for precision in PRECISIONS:
        for count in threads:
            for value in values:
                yield replace(Setting(precision, threads=count), **{name: value})


AXES: dict[str, list[Setting]] = {
    "context": list(axis("context", CONTEXTS, (1,))),
    "batch": list(axis("batch", BATCHES, THREADS)),
    "size": list(axis("size", SIZES, THREADS)),
}


class Steps:
    """Steps of one setting. The cache holds zeros: the time of a step follows its length, not its values."""

    def __init__(self, thinker: Thinker, setting: Setting, steps: int) -> None:
        self.decoder, self.steps, self.before = thinker.decoder, steps, setting.context - 1
        self.state = self.decoder.start(setting.batch, setting.context)
        self.feeds: dict[str, NDArray[Any]] = {
            "input_ids": np.full((setting.batch, 1), 5, dtype=np.int64),
            "media_embeds": np.zeros((setting.batch, 0, thinker.stage.width), dtype=np.float32),
        }

    def seconds(self) -> float:
        """Seconds of one step, the mean of some, after a pause and a step that do not count."""
        time.sleep(REST_SECONDS)
        self._step()
        start = time.perf_counter()
        for _ in range(self.steps):
            self._step()
        return (time.perf_counter() - start) / self.steps

    def _step(self) -> None:
        self.state.lengths[:] = self.before
        self.decoder.feed(self.state, 1, self.feeds)["logits"].argmax(axis=1)


def milliseconds(runs: list[Steps], rounds: int) -> list[list[float]]:
    """Of a step, in each round of each of the runs, which take turns."""
    samples: list[list[float]] = [[] for _ in runs]
    for index, order in in_turns(range(len(runs)), rounds):
        for at in order:
            seconds = runs[at].seconds()
            if index >= 0:
                samples[at].append(1000 * seconds)
    return samples


def measure(
    settings: list[Setting], load: Callable[[Setting], Omni], rounds: int, steps: int
) -> list[dict[str, Any]]:
    """Milliseconds a step, and tokens a second of all rows together."""
    runs = [
        Steps(load(setting).thinker, setting, steps if setting.size == "tiny" else max(1, steps // 10))
        for setting in settings
    ]
    rows = []
    for setting, each in zip(settings, milliseconds(runs, rounds), strict=True):
        summary = summarise(each)
        rows.append(
            {
                **asdict(setting),
                "step_ms": round(summary.median, 4),
                "step_ms_best": round(summary.best, 4),
                "tokens_per_s": round(1000 * setting.batch / summary.median, 1),
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder for the models; kept and reused")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument(
        "--steps", type=int, default=30, help="steps of a round; a tenth of it for large models"
    )
    parser.add_argument("--axes", nargs="*", default=list(AXES), choices=list(AXES))
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "scaling.json")
    options = parser.parse_args()
    loaded: dict[tuple[str, str, int], Omni] = {}

    def load(setting: Setting) -> Omni:
        key = (setting.size, setting.precision, setting.threads)
        if key not in loaded:
            bundle = Work(options.work, setting.size).bundle(setting.precision)
            loaded[key] = Omni.load(bundle, device="cpu", threads=setting.threads)
        return loaded[key]

    result: dict[str, Any] = {"machine": describe_machine(), "rounds": options.rounds, "axes": {}}
    for name in options.axes:
        result["axes"][name] = measure(AXES[name], load, options.rounds, options.steps)
        loaded.clear()
        print(f"{name} is measured", file=sys.stderr)
    result["parameters"] = {
        size: parameters(Work(options.work, size)) for size in SIZES if "size" in options.axes
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=1) + "\n")
    for name, rows in result["axes"].items():
        for row in rows:
            at = {key: row[key] for key in ("precision", "threads", name)}
            print(f"{at}: {row['step_ms']:.3f} ms, {row['tokens_per_s']:.0f} tokens/s")


def parameters(work: Work) -> int:
    """Parameters of the Thinker's graph, from the manifest."""
    manifest = Omni.load(work.bundle("fp32"), device="cpu").manifest
    assert manifest.thinker is not None
    count: int = manifest.graphs[manifest.thinker.graph].parameters
    return count


if __name__ == "__main__":
    main()
