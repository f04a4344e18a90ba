"""How fast is it? On the device, on the CPU of the same machine, in PyTorch, and what the memory allows."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from cuda_setup import Setup, say
from muomni import Omni, Request
from muomni.bench.limit import weight_bytes_per_token
from muomni.bench.stages import measure_requests, measure_stages
from muomni.bundle.demo import demo_bundle
from muomni.bundle.folder import open_bundle
from muomni.models.thinker import Thinker
from scaling import Setting, Steps, milliseconds

CONTEXT = 128
FULL_SIZES, QUICK_SIZES = ("tiny", "x4", "x16"), ("tiny",)
FULL_BATCHES, QUICK_BATCHES = (1, 8, 32), (1, 8)
CONVERSATIONS_TOKENS = 48
SECONDS_TO_BEGIN = {"tiny": 40, "x4": 60, "x16": 180}
"""What export and first steps of a size take on a machine of 2020."""
SECONDS_TO_COMPILE = 60
ON_DEVICE, GRAPHS, ON_CPU = "muomni", "muomni, CUDA graphs", "muomni, CPU"
EAGER, COMPILED = "torch, eager", "torch, compiled"


class GreedySteps(Steps):
    """As the engine takes them for greedy replies: ids in, the likeliest ids out."""

    def __init__(self, thinker: Thinker, setting: Setting, steps: int) -> None:
        super().__init__(thinker, setting, steps)
        self.thinker, self.ids = thinker, [5] * setting.batch

    def _step(self) -> None:
        self.state.lengths[:] = self.before
        self.thinker.step_to_likeliest(self.state, self.ids)


def decode(
    setup: Setup, sizes: tuple[str, ...], batches: tuple[int, ...], rounds: int
) -> Iterator[dict[str, Any]]:
    """A step at :data:`CONTEXT` positions by size and batch: every contender's, which take turns, and the floor."""
    for size in sizes:
        if not setup.has_time_for(f"decode of {size}", SECONDS_TO_BEGIN[size]):
            return
        bundle = setup.thinker_bundle(size)
        on_cpu = setup.on_cpu(setup.cpu_thinker_bundle(size))
        omnis = {ON_DEVICE: setup.on_device(bundle), ON_CPU: on_cpu}
        if setup.device == "cuda":
            omnis[GRAPHS] = setup.on_device(bundle, cuda_graphs=True)
        weights = weight_bytes_per_token(open_bundle(bundle))
        for batch in batches:
            if not setup.has_time_for(f"decode of {size} in {batch} rows", 20):
                break
            steps = max(2, 32 // {"tiny": 1, "x4": 4, "x16": 8}[size])
            setting = Setting(setup.precision, size, batch=batch, context=CONTEXT)
            makers: dict[str, Callable[[], Any]] = {
                name: partial(GreedySteps, omni.thinker, setting, steps) for name, omni in omnis.items()
            }
            later = sum(SECONDS_TO_BEGIN[each] for each in sizes[sizes.index(size) + 1 :])
            makers |= torch_makers(setup, size, batch, steps, later)
            runs, skipped = made(makers)
            taken = milliseconds(list(runs.values()), rounds)
            cache = omnis[ON_DEVICE].thinker.decoder.cache_shape.bytes_per_position * CONTEXT * batch
            row = {
                "size": size,
                "batch": batch,
                "floor_ms": round(1000 * (weights + cache) / setup.bytes_per_second, 4),
                "step_ms": {
                    name: round(statistics.median(ms), 4) for name, ms in zip(runs, taken, strict=True)
                },
                "skipped": skipped,
            }
            say(f"decode {row}")
            yield row
        for omni in omnis.values():
            omni.close()


def torch_makers(
    setup: Setup, size: str, batch: int, steps: int, later: float
) -> dict[str, Callable[[], Any]]:
    """What makes PyTorch's steps; making them says why they cannot be had.

    Args:
        later: seconds that are not to be spent on compiling.
    """

    def make(compiled: bool) -> Any:
        import cuda_torch

        if reason := cuda_torch.cannot(setup.device, compiled):
            raise RuntimeError(reason)
        if compiled and not setup.has_time_for("torch.compile", later + SECONDS_TO_COMPILE):
            raise RuntimeError("there was no time to compile it")
        checkpoint = setup.thinker_checkpoint(size)
        return cuda_torch.TorchSteps(checkpoint, setup.device, compiled, batch, CONTEXT, steps)

    return {EAGER: partial(make, False), COMPILED: partial(make, True)}


def made(makers: dict[str, Callable[[], Any]]) -> tuple[dict[str, Any], dict[str, str]]:
    """What could be made, and why the rest could not. muomni's own must be."""
    runs: dict[str, Any] = {}
    skipped: dict[str, str] = {}
    for name, make in makers.items():
        try:
            runs[name] = make()
        except Exception as error:
            if name not in (EAGER, COMPILED):
                raise
            skipped[name] = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return runs, skipped


def requests(setup: Setup, rounds: int) -> dict[str, Any]:
    """First token, first sound and speech of the demo, on the device and on the CPU."""
    bundle = setup.demo()
    found = {}
    for name, load in (
        (ON_DEVICE, lambda: setup.on_device(bundle)),
        (ON_CPU, lambda: setup.on_cpu(demo_bundle())),
    ):
        with load() as omni:
            found[name] = {"requests": measure_requests(omni, rounds), "stages": measure_stages(omni, rounds)}
    return found


def conversations(setup: Setup, size: str, slots: tuple[int, ...]) -> list[dict[str, Any]]:
    """Replies at the same time: tokens a second of each, and of all, while all of them go on."""
    if not setup.has_time_for(f"conversations of {size}", SECONDS_TO_BEGIN[size]):
        return []
    bundle, for_cpu = setup.thinker_bundle(size), setup.cpu_thinker_bundle(size)
    rows = []
    for name, load in ((ON_DEVICE, lambda: setup.on_device(bundle)), (ON_CPU, lambda: setup.on_cpu(for_cpu))):
        with load() as omni:
            for count in slots:
                if not setup.has_time_for(f"{count} conversations on {name}", 5):
                    break
                at_a_time(omni, count, 4)
                rate = at_a_time(omni, count, CONVERSATIONS_TOKENS)
                rows.append({"name": name, "size": size, "conversations": count, **rate})
                say(f"conversations {rows[-1]}")
    return rows


def at_a_time(omni: Omni, count: int, tokens: int) -> dict[str, float]:
    """The engine's steps once all have joined."""
    from muomni.engine.prompt import Prompt

    engine = omni.engine(count)
    for index in range(count):
        prompt = Prompt(None, [3 + (7 * index + at) % 1000 for at in range(32)])
        engine.add(Request("-", max_new_tokens=tokens), prompt=prompt, ignore_eos=True, stream_text=False)
    while engine._waiting or engine._slots.prefilling is not None:
        engine.step()
    waits: list[float] = []
    while len(engine._slots.decoding) == count:
        start = time.perf_counter()
        engine.step()
        waits.append(time.perf_counter() - start)
    each = 1 / statistics.median(waits)
    return {
        "tokens_per_s_each": round(each, 1),
        "tokens_per_s": round(each * count, 1),
        "longest_wait_ms": round(1000 * max(waits), 3),
    }


def pays_from(rows: list[dict[str, Any]]) -> list[str]:
    """From which batch on the device is faster than the CPU, by size: sentences."""
    said = []
    for size in dict.fromkeys(row["size"] for row in rows):
        own = [row for row in rows if row["size"] == size]
        wins = [row["batch"] for row in own if best_of(row) < row["step_ms"][ON_CPU]]
        what = f"from {min(wins)} rows on" if wins else "at no number of rows that was tried"
        said.append(f"{size}: the device is faster than the CPU {what}")
    return said


def best_of(row: dict[str, Any]) -> float:
    """Milliseconds of muomni's faster way on the device."""
    return min(row["step_ms"].get(name, math.inf) for name in (ON_DEVICE, GRAPHS))
