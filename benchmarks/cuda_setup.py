"""What ``cuda.py`` works with: bundles made for the device, and Omnis on it and on the CPU of the same machine."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from models import Work
from muomni import Omni
from muomni.bundle.demo import demo_bundle
from muomni.bundle.folder import open_bundle
from muomni.models.registry import Models
from muomni.ort.device_memory import DeviceMemory
from muomni.ort.region import region_of
from muomni.ort.session import import_onnxruntime
from muomni.ort.threads import thread_policy

DEMO = Path(__file__).parents[1] / "checkpoints" / "demo" / "omni_sft_tiny"
COPY_BYTES, COPY_ROUNDS = 256 << 20, 12


@dataclass
class Setup:
    """One machine and one device.

    Args:
        device: "cuda", or "cpu" for the stand-in: the same code, with memory of the host in the device's place.
        work: folder for what is made; kept and reused.
        seconds: after which no new measurement begins.
    """

    device: str
    work: Path
    seconds: float
    begun: float = field(default_factory=time.monotonic)

    def has_time_for(self, what: str, seconds: float) -> bool:
        """Whether so much is left; where not, it is said."""
        left = self.seconds - (time.monotonic() - self.begun)
        if left < seconds:
            say(f"{left:.0f} s are left: {what} is not measured")
        return left >= seconds

    @property
    def precision(self) -> str:
        return "fp32"

    def thinker_bundle(self, size: str) -> Path:
        """A random Thinker of that size."""
        return Work(self.work, size).bundle(self.precision)

    def thinker_checkpoint(self, size: str) -> Path:
        return Work(self.work, size).checkpoint()

    def demo(self) -> Path:
        """The demo, trained: its replies mean something."""
        if self.device == "cpu":
            return demo_bundle()
        return self._exported("demo", lambda: DEMO)

    def synthetic(self) -> Path:
        """Random weights in every stage, the text reader included."""

        def make() -> Path:
            from muomni_export.synthetic.checkpoint_set import write_random_set

            root = self.work / "set"
            if not root.exists():
                write_random_set(root, "micro")
            return next((root / "checkpoints").glob("omni_sft_*"))

        return self._exported("synthetic", make)

    def _exported(self, name: str, checkpoint: Any) -> Path:
        target = self.work / f"{name}-{self.precision}"
        if not target.exists():
            from muomni_export.export import export_bundle

            say(f"exporting {name} {self.precision}")
            export_bundle(checkpoint(), target, precision=self.precision)
        return target

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
