"""The memories that a key/value cache may be in: numpy, a stand-in for a device, and CUDA where it is there."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from muomni.ort.device_cache import DeviceCache
from muomni.ort.device_memory import DeviceMemory
from muomni.ort.kv_cache import CacheShape, HostCache, KVCache
from muomni.ort.providers import import_onnxruntime

MakeCache = Callable[[CacheShape, int, int], KVCache]
ORT = import_onnxruntime()
STAND_IN = DeviceMemory(ORT, "cpu")
MAKERS: dict[str, MakeCache] = {
    "host": HostCache,
    "stand-in": lambda shape, rows, capacity: DeviceCache(STAND_IN, shape, rows, capacity),
}
if "CUDAExecutionProvider" in ORT.get_available_providers():
    MAKERS["cuda"] = lambda shape, rows, capacity: DeviceCache(
        DeviceMemory(ORT, "cuda"), shape, rows, capacity
    )
EVERY_MEMORY = [pytest.param(make, id=name) for name, make in MAKERS.items()]
