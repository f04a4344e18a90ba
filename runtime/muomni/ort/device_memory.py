"""Memory of a device: it is allocated by ONNX Runtime, and copied by a graph that runs there.

``device`` "cpu" is a stand-in: the same calls in the same order, on memory of the host. What it takes to be right is
tested on it; that it is fast is measured on a GPU alone.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from muomni.errors import ExecutionError, OutOfMemoryError

from .copy_graph import PADS, copy_graph
from .region import HOST, Region, region_of

_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


class DeviceMemory:
    """Memory of one device; several sessions and threads may share it.

    Args:
        ort: the onnxruntime module.
        device: "cuda", or "cpu" for the stand-in.
        index: which of several.
    """

    def __init__(self, ort: Any, device: str, index: int = 0) -> None:
        self.device, self.index = device, index
        self._ort = ort
        self._copiers: dict[tuple[int, str], Any] = {}
        self._lock = threading.Lock()

    @property
    def is_stand_in(self) -> bool:
        return self.device == HOST

    def allocate(self, shape: tuple[int, ...], dtype: np.dtype[Any], what: str) -> Region:
        """A tensor whose contents are not set.

        Args:
            what: for the message, "the Thinker's key/value cache".

        Raises:
            OutOfMemoryError: there is no memory for it.
        """
        try:
            value = self._ort.OrtValue.ortvalue_from_shape_and_type(shape, dtype, self.device, self.index)
        except Exception as error:
            raise no_memory(f"{self.device}:{self.index}", what, math.prod(shape) * dtype.itemsize) from error
        return Region(value, value.data_ptr(), shape, np.dtype(dtype), self.device, self.index)

    def copy(self, sources: Sequence[Region], targets: Sequence[Region]) -> None:
        """Copy tensors (R, H, P, D) to ones (R, H, Q, D): cut where Q is less, filled with zeros where it is more.

        Either may be on the host. A source and its target do not overlap.

        Raises:
            ExecutionError: ONNX Runtime failed.
        """
        more = targets[0].shape[2] - sources[0].shape[2]
        pads = np.array([0, 0, 0, 0, 0, 0, more, 0], dtype=np.int64)
        session = self._copier(len(sources), sources[0].dtype.name)
        binding = session.io_binding()
        try:
            bind_input(binding, PADS, region_of(pads))
            for index, (source, target) in enumerate(zip(sources, targets, strict=True)):
                bind_input(binding, f"source.{index}", source)
                bind_output(binding, f"target.{index}", target)
            session.run_with_iobinding(binding)
        except Exception as error:
            raise ExecutionError(
                f"copying keys and values on {self.device}:{self.index} failed: {error}"
            ) from error

    def _copier(self, tensors: int, dtype: str) -> Any:
        with self._lock:
            session = self._copiers.get((tensors, dtype))
            if session is None:
                options = self._ort.SessionOptions()
                options.intra_op_num_threads = options.inter_op_num_threads = 1
                options.log_severity_level = 3
                provider = _PROVIDERS[self.device]
                settings = {} if self.is_stand_in else {"device_id": str(self.index)}
                session = self._copiers[tensors, dtype] = self._ort.InferenceSession(
                    copy_graph(tensors, dtype), options, providers=[(provider, settings)]
                )
        return session


def no_memory(where: str, what: str, size_bytes: int) -> OutOfMemoryError:
    """The error for an allocation that failed."""
    return OutOfMemoryError(
        f"{where} has no memory left for {what}: {size_bytes / 2**20:.1f} MiB more were needed; lower the number of "
        "requests at a time (slots) or their length (max_new_tokens)"
    )


def bind_input(binding: Any, name: str, region: Region) -> None:
    """Let a graph read a region. One on the host that it wants on the device is copied now, and not again."""
    binding.bind_input(name, region.device, region.index, region.dtype, region.shape, region.address)


def bind_output(binding: Any, name: str, region: Region) -> None:
    """Let a graph write a region."""
    binding.bind_output(name, region.device, region.index, region.dtype, region.shape, region.address)
