"""ONNX Runtime itself: which version, which devices, and the providers that a device means.

This is the only module that imports onnxruntime, and it does so when the first session is made.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from contextlib import redirect_stdout
from functools import cache
from io import StringIO
from typing import Any, Literal

from muomni.errors import DeviceError, InputError, MissingPackageError

from .cuda import OLDEST as OLDEST_FOR_CUDA

Device = Literal["auto", "cpu", "cuda"]
DEVICES: tuple[Device, ...] = ("auto", "cpu", "cuda")
INSTALL_LINE = (
    'pip install "muomni[cpu]"   (or "muomni[gpu]" for CUDA; never both: the wheels overwrite each other)'
)

OLDEST = (1, 23, 1)
"""Found by running the demo on each version (benchmarks/README.md)."""

CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"


def import_onnxruntime() -> Any:
    """The onnxruntime module, telemetry off.

    Raises:
        MissingPackageError: it is not installed; the message holds the install line.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read when the library is loaded
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingPackageError(
            f"ONNX Runtime is not installed; install it with\n  {INSTALL_LINE}"
        ) from error
    if not hasattr(onnxruntime, "InferenceSession"):
        # What is left when one of the two wheels was removed after the other had overwritten it.
        raise MissingPackageError(
            "the installed ONNX Runtime is broken (two of its wheels overwrote each other); repair it with\n"
            f"  pip uninstall -y onnxruntime onnxruntime-gpu\n  {INSTALL_LINE}"
        )
    version = str(onnxruntime.__version__)
    if _numbers(version) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise MissingPackageError(
            f"ONNX Runtime {version} is installed, muomni needs {oldest} or newer (older ones lack operators, 1.23.0 "
            f"computes some attention wrongly); bring it up to date with\n  pip install --upgrade onnxruntime"
        )
    return onnxruntime


def _numbers(version: str) -> tuple[int, ...]:
    """Of a version, as far as they are numbers: 1.24.0.dev1 is (1, 24, 0)."""
    return tuple(int(part) for part in version.split(".")[:3] if part.isdecimal())


def check_device(device: str) -> Device:
    """Raises InputError unless ``device`` is one of :data:`DEVICES`."""
    for known in DEVICES:
        if device == known:
            return known
    raise InputError(f"device: expected one of {', '.join(DEVICES)}, got {device!r}")


def providers_for(device: Device) -> list[str]:
    """Execution providers to ask for, best first.

    Raises:
        DeviceError: CUDA is asked for and this ONNX Runtime was built without it.
    """
    ort = import_onnxruntime()
    available = ort.get_available_providers()
    if device == "cuda" and CUDA not in available:
        raise DeviceError(
            "device 'cuda' was asked for, but the installed ONNX Runtime has no CUDA provider "
            f"(it has {', '.join(available)}); install the GPU build with\n"
            '  pip uninstall -y onnxruntime\n  pip install "muomni[gpu]"\nor use --device cpu'
        )
    too_old = _numbers(ort.__version__) < OLDEST_FOR_CUDA
    if device == "cuda" and too_old:
        oldest = ".".join(map(str, OLDEST_FOR_CUDA))
        raise DeviceError(
            f"device 'cuda' was asked for, but ONNX Runtime {ort.__version__} lacks kernels for it, {oldest} is the "
            'oldest that has them; bring it up to date with\n  pip install --upgrade "muomni[gpu]"\nor use --device cpu'
        )
    if device == "cpu" or CUDA not in available or too_old:
        return [CPU]
    return [CUDA, CPU]


def runs_on_cuda(device: Device) -> bool:
    """Whether sessions of that device ask for CUDA."""
    return providers_for(device)[0] == CUDA


def device_for(device: Device, attention_dtypes: Collection[str]) -> Device:
    """The device that a bundle's graphs really run on: ``auto`` decided, ``cuda`` refused where it would pretend.

    ONNX Runtime's CUDA kernel of ``GroupQueryAttention`` takes float16 and bfloat16 only (its
    ``contrib_ops/cuda/bert/group_query_attention.cc``). A float32 decoder on CUDA would compute every attention on the
    CPU, with a copy each way in each layer and step.

    Args:
        attention_dtypes: of the keys and values of the bundle's decoders.

    Raises:
        DeviceError: CUDA is asked for, and the decoders are not float16.
    """
    fits = all(dtype == "float16" for dtype in attention_dtypes)
    if device == "cuda" and not fits:
        raise DeviceError(
            "device 'cuda' was asked for, but this bundle's decoders have float32 attention, for which ONNX Runtime "
            "has no CUDA kernel: every step would run on the CPU with copies to and fro; export the checkpoint again "
            "with\n  muomni-export CHECKPOINT --out BUNDLE --device cuda\nor use --device cpu"
        )
    return "cpu" if device == "auto" and not fits else device


@cache
def preload(ort: Any) -> None:
    """Find the CUDA and cuDNN libraries that came as wheels; of those that did not, it would print to stdout."""
    with redirect_stdout(StringIO()):
        ort.preload_dlls()


def can_limit_spinning(version: str) -> bool:
    """Whether this ONNX Runtime knows ``spin_duration_us``; without it, threads that may spin do so for long."""
    return _numbers(version) >= (1, 26)
