"""What a measurement ran on: processor, memory bandwidth, package versions and sizes."""

from __future__ import annotations

import importlib.metadata
import platform
import time
from pathlib import Path

import numpy as np

from muomni.ort.providers import import_onnxruntime
from muomni.ort.threads import available_cores

MEMORY_BYTES = 256 * 2**20
"""Larger than the last-level cache of common machines."""
RUNTIME_PACKAGES = (
    "onnxruntime",
    "onnxruntime-gpu",
    "numpy",
    "sentencepiece",
    "soundfile",
    "pillow",
    "typer",
)


def processor() -> str:
    """The CPU's model name."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def describe_machine() -> dict[str, object]:
    """Processor, cores and versions, as JSON."""
    ort = import_onnxruntime()
    return {
        "cpu": processor(),
        "cores": available_cores(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "numpy": np.__version__,
        "onnxruntime": ort.__version__,
        "providers": list(ort.get_available_providers()),
    }


def read_bandwidth(size_bytes: int, seconds: float = 0.2) -> float:
    """Best bytes a second at which one thread reads an array of this size again and again.

    numpy's max is vectorised and adds nothing up; the best pass is the least disturbed one. An array that fits a
    cache gives that cache's bandwidth (or what one core's comparisons reach, if that is less).
    """
    array = np.ones(max(size_bytes // 4, 1024), dtype=np.float32)
    best = 0.0
    end = time.perf_counter() + seconds
    while True:
        start = time.perf_counter()
        array.max()
        now = time.perf_counter()
        best = max(best, array.nbytes / (now - start))
        if now >= end:
            return best


def folder_bytes(folder: Path) -> int:
    """Bytes of all files in a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def installed_bytes() -> dict[str, int]:
    """Bytes on disk of muomni and of the packages a run needs, by distribution."""
    sizes = {"muomni": folder_bytes(Path(__file__).parents[1])}
    for name in RUNTIME_PACKAGES:
        try:
            files = importlib.metadata.files(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        paths = (Path(str(file.locate())) for file in files)
        sizes[name] = sum(path.stat().st_size for path in paths if path.is_file())
    return sizes
