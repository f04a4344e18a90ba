"""What ``cuda.py`` works with: bundles made for the device, and Omnis on it and on the CPU of the same machine."""

from __future__ import annotations

import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from models import Work
from muomni import Omni
from muomni.bundle.demo import demo_bundle
from muomni.bundle.folder import open_bundle
from muomni.models.registry import Models
from muomni.ort.device_memory import DeviceMemory
from muomni.ort.providers import import_onnxruntime
from muomni.ort.region import region_of
from muomni.ort.threads import available_cores, thread_policy

ROOT = Path(__file__).parents[1]
DEMO = ROOT / "checkpoints" / "demo" / "omni_sft_tiny"
PARITY = ROOT / "tests" / "data" / "parity" / "checkpoints" / "omni_sft_tiny"
COPY_BYTES, COPY_ROUNDS = 256 << 20, 12


@dataclass
class Setup:
    """One machine and one device.

    Args:
        device: "cuda", or "cpu" for the stand-in: the same code, with memory of the host in the device's place.
        work: folder for what is made; kept and reused.
        seconds: after which no new measurement begins.
        graphs: what the bundles are exported for, "cuda" (float16) or "cpu" (float32); the stand-in runs both.
    """

    device: str
    work: Path
    seconds: float
    graphs: str = "cuda"
    begun: float = field(default_factory=time.monotonic)

    def has_time_for(self, what: str, seconds: float) -> bool:
        """Whether so much is left; where not, it is said."""
        left = self.seconds - (time.monotonic() - self.begun)
        if left < seconds:
            say(f"{left:.0f} s are left: {what} is not measured")
        return left >= seconds

    @property
    def precision(self) -> str:
        """Of the decoders' weights on the device."""
        return "fp16" if self.graphs == "cuda" else "fp32"

    @property
    def cpu_precision(self) -> str:
        """Of the graphs that the CPU is measured with: what is fast there; on the stand-in, what it runs itself."""
        return "int8" if self.device == "cuda" else "fp32"

    def thinker_bundle(self, size: str) -> Path:
        """A random Thinker of that size, for the device."""
        return Work(self.work, size).bundle(self.precision, device=self.graphs)

    def cpu_thinker_bundle(self, size: str) -> Path:
        """The same for the CPU."""
        return Work(self.work, size).bundle(self.cpu_precision)

    def thinker_checkpoint(self, size: str) -> Path:
        return Work(self.work, size).checkpoint()

    def demo(self) -> Path:
        """The demo, trained: its replies mean something."""
        if self.graphs == "cpu":
            return demo_bundle()
        return self._exported("demo", lambda: DEMO)

    def parity(self) -> Path:
        """The set whose every number is known from the reference's own code."""
        return self._exported("parity", lambda: PARITY)

    def _exported(self, name: str, checkpoint: Any) -> Path:
        target = self.work / f"{name}-{self.graphs}"
        if not target.exists():
            from muomni_export.export import export_bundle

            say(f"exporting {name} for {self.graphs}")
            export_bundle(checkpoint(), target, precision=self.precision, device=self.graphs)
        return target

    def prepare(self, sizes: tuple[str, ...]) -> None:
        """Make all bundles at the same time, in processes of their own, where there are cores for it."""
        workers = min(available_cores() // 2, 5)
        if workers < 2:
            return  # each when it is needed: what there is no time for is then not made
        with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
            jobs = [pool.submit(self.demo), pool.submit(self.parity)]
            jobs += [pool.submit(self.thinker_bundles, size) for size in sizes]
            for job in jobs:
                job.result()

    def thinker_bundles(self, size: str) -> None:
        """All of one size, one after the other: they are made of the same checkpoint."""
        self.thinker_bundle(size)
        self.cpu_thinker_bundle(size)

    def on_device(self, bundle: Path, cuda_graphs: bool = False) -> Omni:
        """Loaded on the device."""
        if self.device == "cuda":
            return Omni.load(bundle, device="cuda", cuda_graphs=cuda_graphs)
        return Omni(Models(open_bundle(bundle), "cpu", thread_policy(), memory=self.memory))

    def on_cpu(self, bundle: Path) -> Omni:
        """The same graphs on the CPU, as anyone runs them there."""
        return Omni.load(bundle, device="cpu")

    @cached_property
    def memory(self) -> DeviceMemory:
        return DeviceMemory(import_onnxruntime(), self.device)

    @cached_property
    def bytes_per_second(self) -> float:
        """Of the device's memory, read and written together: a copy from one place to another, the best of some."""
        shape = (1, 1, COPY_BYTES // 4 // 1024, 1024)
        source, target = (self.memory.allocate(shape, np.dtype("float32"), "a copy") for _ in range(2))
        self.memory.copy([region_of(np.zeros((1, 1, 1, 1024), np.float32))], [source])
        best = 0.0
        for _ in range(COPY_ROUNDS):
            start = time.perf_counter()
            self.memory.copy([source], [target])
            best = max(best, 2 * COPY_BYTES / (time.perf_counter() - start))
        return best


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
