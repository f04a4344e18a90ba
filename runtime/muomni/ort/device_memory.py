"""Memory of a device: it is allocated by ONNX Runtime, and copied by a graph that runs there.

``device`` "cpu" is a stand-in: the same calls in the same order, on memory of the host. What it takes to be right is
tested on it; that it is fast is measured on a GPU alone.
"""

from __future__ import annotations

import math
import threading
import weakref
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from muomni.errors import ExecutionError, OutOfMemoryError

from .cuda import execution_error
from .helper_graphs import LARGEST, PADS, VALUES, copy_graph, largest_graph
from .providers import CPU, CUDA
from .region import HOST, Region, region_of

_PROVIDERS = {"cpu": CPU, "cuda": CUDA}


class Holder(Protocol):
    """Who keeps memory that is not in use."""

    def give_up(self) -> bool:
        """Let go of it; whether there was any."""
        ...


class DeviceMemory:
    """Memory of one device; several sessions and threads may share it.

    Attributes:
        holders: asked to give up what they keep before an allocation fails.

    Args:
        ort: the onnxruntime module.
        device: "cuda", or "cpu" for the stand-in.
        index: which of several.
    """

    def __init__(self, ort: Any, device: str, index: int = 0) -> None:
        self.device, self.index = device, index
        self.holders: weakref.WeakSet[Holder] = weakref.WeakSet()
        self._ort = ort
        self._sessions: dict[object, Any] = {}
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
            value = self._value(shape, dtype)
        except Exception as error:
            given = [holder.give_up() for holder in tuple(self.holders)]
            if not any(given):
                raise no_memory(
                    f"{self.device}:{self.index}", what, math.prod(shape) * dtype.itemsize
                ) from error
            return self.allocate(shape, dtype, what)
        return Region(value, value.data_ptr(), shape, np.dtype(dtype), self.device, self.index)

    def _value(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
        return self._ort.OrtValue.ortvalue_from_shape_and_type(shape, dtype, self.device, self.index)

    def copy(self, sources: Sequence[Region], targets: Sequence[Region]) -> None:
        """Copy tensors (R, H, P, D) to ones (R, H, Q, D): cut where Q is less, filled with zeros where it is more.

        Either may be on the host. A source and its target do not overlap.

        Raises:
            ExecutionError: ONNX Runtime failed.
        """
        more = targets[0].shape[2] - sources[0].shape[2]
        pads = np.array([0, 0, 0, 0, 0, 0, more, 0], dtype=np.int64)
        tensors, dtype = len(sources), sources[0].dtype.name
        session = self._session((tensors, dtype), lambda: copy_graph(tensors, dtype))
        binding = session.io_binding()
        try:
            bind_input(binding, PADS, region_of(pads))
            for index, (source, target) in enumerate(zip(sources, targets, strict=True)):
                bind_input(binding, f"source.{index}", source)
                bind_output(binding, f"target.{index}", target)
            session.run_with_iobinding(binding)
        except Exception as error:
            raise self._failed("copying keys and values", error) from error

    def largest_of(self, values: Region) -> Callable[[], NDArray[np.int64]]:
        """What finds, each time it is called, the place of the largest of each row (R, V); the array is reused.

        Only the places (R,) come to the host.
        """
        session = self._session("largest", largest_graph)
        found = np.empty(values.shape[0], dtype=np.int64)
        binding = session.io_binding()
        bind_input(binding, VALUES, values)
        bind_output(binding, LARGEST, region_of(found))

        def find() -> NDArray[np.int64]:
            try:
                session.run_with_iobinding(binding)
            except Exception as error:
                raise self._failed("finding the likeliest ids", error) from error
            return found

        return find

    def _failed(self, what: str, error: Exception) -> ExecutionError:
        return execution_error(what, error, not self.is_stand_in)

    def _session(self, key: object, graph: Callable[[], bytes]) -> Any:
        """The session of a graph of ours, made when it is first asked for."""
        with self._lock:
            session = self._sessions.get(key)
            if session is None:
                options = self._ort.SessionOptions()
                options.intra_op_num_threads = options.inter_op_num_threads = 1
                options.log_severity_level = 3
                provider = _PROVIDERS[self.device]
                settings = {} if self.is_stand_in else {"device_id": str(self.index)}
                session = self._sessions[key] = self._ort.InferenceSession(
                    graph(), options, providers=[(provider, settings)]
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
