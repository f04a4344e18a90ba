"""ONNX Runtime sessions: providers, threads, and the check of a graph against its contract.

This is the only module that imports onnxruntime, and it does so when the first session is made.
"""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Mapping
from contextlib import redirect_stdout
from functools import cache
from io import StringIO
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from muomni.bundle.contract import GraphContract, TensorSpec, check_tensors
from muomni.errors import BundleError, DeviceError, ExecutionError, InputError, MissingPackageError

from .cuda import OLDEST as OLDEST_FOR_CUDA
from .cuda import cuda_settings, execution_error, is_out_of_memory
from .device_memory import DeviceMemory, bind_input, bind_output
from .placement import RECORD, PlacedNode, check_placement, placed_nodes
from .region import Region
from .rows import DeviceRows, Rows
from .threads import SessionThreads

Device = Literal["auto", "cpu", "cuda"]
DEVICES: tuple[Device, ...] = ("auto", "cpu", "cuda")
INSTALL_LINE = (
    'pip install "muomni[cpu]"   (or "muomni[gpu]" for CUDA; never both: the wheels overwrite each other)'
)

OLDEST = (1, 23, 1)
"""Found by running the demo on each version (benchmarks/README.md)."""

_CUDA, _CPU = "CUDAExecutionProvider", "CPUExecutionProvider"
_DTYPES = {
    "tensor(float)": "float32",
    "tensor(int64)": "int64",
    "tensor(int32)": "int32",
    "tensor(float16)": "float16",
}


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
    if device == "cuda" and _CUDA not in available:
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
    if device == "cpu" or _CUDA not in available or too_old:
        return [_CPU]
    return [_CUDA, _CPU]


def runs_on_cuda(device: Device) -> bool:
    """Whether sessions of that device ask for CUDA."""
    return providers_for(device)[0] == _CUDA


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
def _preload(ort: Any) -> None:
    """Find the CUDA and cuDNN libraries that came as wheels; of those that did not, it would print to stdout."""
    with redirect_stdout(StringIO()):
        ort.preload_dlls()


def _can_limit_spinning(version: str) -> bool:
    """Whether this ONNX Runtime knows ``spin_duration_us``; without it, threads that may spin do so for long."""
    return _numbers(version) >= (1, 26)


HOST_INPUTS = frozenset({"total_sequence_length"})
"""What CUDA's kernels read from the host's memory; the stand-in does as they do."""
HOST_MEMORIES = frozenset({"Cpu", "CudaPinned"})
"""As ONNX Runtime names them."""
MOST_CUDA_GRAPHS = 64
"""Captures of one session; each keeps its memory for as long as the session lives. What is bound after them runs
without."""
_GRAPH_ID, _NO_CAPTURE = "gpu_graph_id", "-1"


class GraphSession:
    """One graph, loaded and checked.

    A session may be shared between threads; what it computes depends on its inputs alone.

    Args:
        memory: where keys, values and step inputs live; None takes the host's on the CPU and the GPU's on CUDA.
        cuda_graphs: on CUDA, capture the launches of a bound step once and replay them.

    Attributes:
        nodes: on CUDA, which node runs where; elsewhere empty, as all run on the CPU.
        memory: a device's, or None where all is in numpy arrays.
        device_inputs: what the graph reads from the device's memory. What is bound from the host is copied there once,
            when it is bound; later changes are not seen.

    Raises (when made):
        BundleError: ONNX Runtime cannot load the file.
        GraphError: inputs or outputs differ from the contract.
        DeviceError: CUDA was asked for and the session does not get it.
        ExecutionError: nodes that matter would run on the CPU beside CUDA.
        OutOfMemoryError: there is no memory for its weights.
    """

    def __init__(
        self,
        path: Path,
        contract: GraphContract,
        device: Device,
        threads: SessionThreads,
        memory: DeviceMemory | None = None,
        cuda_graphs: bool = False,
    ) -> None:
        ort = import_onnxruntime()
        self.contract = contract
        self._ort = ort
        providers: list[Any] = list(providers_for(device))
        options = ort.SessionOptions()
        if providers[0] == _CUDA:
            providers[0] = (_CUDA, cuda_settings(cuda_graphs))
            options.add_session_config_entry(RECORD, "1")
            _preload(ort)
        options.intra_op_num_threads = threads.count
        spin_us = threads.spin_us if _can_limit_spinning(ort.__version__) else 0
        options.add_session_config_entry("session.intra_op.allow_spinning", str(int(spin_us > 0)))
        options.add_session_config_entry("session.intra_op.spin_duration_us", str(spin_us))
        options.inter_op_num_threads = 1
        options.log_severity_level = 3  # errors; warnings of a fallback are raised below in our words
        try:
            self._session = ort.InferenceSession(str(path), options, providers=providers)
        except Exception as error:  # the binding raises a dozen unrelated classes
            if is_out_of_memory(error):
                raise execution_error(contract.graph, error, providers[0] != _CPU) from error
            raise BundleError(
                f"{path}: ONNX Runtime {ort.__version__} cannot load this graph: {error}"
            ) from error
        self.providers: list[str] = self._session.get_providers()
        if device == "cuda" and self.providers[0] != _CUDA:
            raise DeviceError(
                "device 'cuda' was asked for, but the session runs on "
                f"{', '.join(self.providers)}: the CUDA or cuDNN libraries could not be loaded; install them with\n"
                '  pip install "muomni[gpu]"\nor use --device cpu'
            )
        for kind, expected, found in (
            ("input", contract.inputs, self._session.get_inputs()),
            ("output", contract.outputs, self._session.get_outputs()),
        ):
            specs = [TensorSpec(t.name, _DTYPES.get(t.type, t.type), tuple(t.shape)) for t in found]
            check_tensors(contract.graph, kind, expected, specs, str(path))
        self.on_cuda = on_cuda = self.providers[0] == _CUDA
        self.nodes: list[PlacedNode] = placed_nodes(self._session) if on_cuda else []
        check_placement(contract.graph, self.nodes, ort.__version__)
        self.memory = memory or (DeviceMemory(ort, "cuda") if on_cuda else None)
        self.device_inputs = frozenset[str]() if self.memory is None else self._inputs_on(self.memory)
        self._no_capture: Any = None
        self._free_graph_ids = iter(range(1, 1 + MOST_CUDA_GRAPHS if cuda_graphs and on_cuda else 1))
        if cuda_graphs and on_cuda:
            self._no_capture = ort.RunOptions()
            self._no_capture.add_run_config_entry(_GRAPH_ID, _NO_CAPTURE)

    def _inputs_on(self, memory: DeviceMemory) -> frozenset[str]:
        """Names of the inputs that kernels read from a device's memory."""
        infos = zip(self._session.get_inputs(), self._session.get_input_memory_infos(), strict=True)
        if memory.is_stand_in:
            return frozenset(tensor.name for tensor, _ in infos if tensor.name not in HOST_INPUTS)
        found = frozenset(tensor.name for tensor, info in infos if info.name not in HOST_MEMORIES)
        if not found:
            raise ExecutionError(
                f"{self.contract.graph} graph: ONNX Runtime {self._ort.__version__} says that CUDA reads all inputs "
                "from the host's memory, which cannot be; use another version, or --device cpu"
            )
        return found

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Compute all outputs.

        Raises:
            ExecutionError: ONNX Runtime failed on these inputs (out of memory, for example).
        """
        names = [spec.name for spec in self.contract.outputs]
        try:
            values = self._session.run(names, dict(feeds), self._no_capture)
        except Exception as error:
            raise self.failed(error) from error
        return dict(zip(names, values, strict=True))

    def failed(self, error: Exception) -> ExecutionError:
        """The error for what ONNX Runtime said of a run."""
        return execution_error(self.contract.graph, error, self.on_cuda)

    def rows(self, feeds: Mapping[str, NDArray[Any]], name: str) -> Rows:
        """Compute one output (…, D), and leave its rows (M, D) in the memory they are made in.

        Raises:
            ExecutionError: as :meth:`run`.
        """
        memory = self.memory
        if memory is None:
            array = self.run(feeds)[name]
            return array.reshape(-1, array.shape[-1])
        binding = self._session.io_binding()
        try:
            for key, array in feeds.items():
                binding.bind_cpu_input(key, array)
            binding.bind_output(name, memory.device, memory.index)
            self._session.run_with_iobinding(binding, self._no_capture)
        except Exception as error:
            raise self.failed(error) from error
        value = binding.get_outputs()[0]
        *_, width = value.shape()
        shape = math.prod(value.shape()) // width, width
        dtype = np.dtype(next(spec.dtype for spec in self.contract.outputs if spec.name == name))
        return DeviceRows(memory, Region(value, value.data_ptr(), shape, dtype, memory.device, memory.index))

    def wrap(self, memory: NDArray[Any] | Region) -> Any:
        """What :meth:`bind` takes: of an array an OrtValue that shares its memory, which is quicker to bind."""
        return memory if isinstance(memory, Region) else self._ort.OrtValue.ortvalue_from_numpy(memory)

    def bind(self, inputs: Mapping[str, Any], outputs: Mapping[str, Any], capture: bool = False) -> BoundRun:
        """Bind memory to names once, to run many times without allocation.

        Args:
            inputs, outputs: from :meth:`wrap`.
            capture: what runs is the same each time, and may be replayed as a CUDA graph where that was asked for.

        Raises:
            ExecutionError: ONNX Runtime failed.
        """
        options = self._no_capture
        if capture and (graph_id := next(self._free_graph_ids, None)) is not None:
            options = self._ort.RunOptions()
            options.add_run_config_entry(_GRAPH_ID, str(graph_id))
        binding = self._session.io_binding()
        try:
            for name, value in inputs.items():
                if isinstance(value, Region):
                    bind_input(binding, name, value)
                else:
                    binding.bind_ortvalue_input(name, value)
            for name, value in outputs.items():
                if isinstance(value, Region):
                    bind_output(binding, name, value)
                else:
                    binding.bind_ortvalue_output(name, value)
        except Exception as error:
            raise self.failed(error) from error
        return BoundRun(self, binding, (inputs, outputs), options)


class BoundRun:
    """A session with fixed memory for all inputs and outputs, which it keeps alive.

    Attributes:
        captured: it is replayed as a CUDA graph from its second run on.
    """

    def __init__(self, session: GraphSession, binding: Any, memory: object, options: Any) -> None:
        self._failed = session.failed
        self._run = session._session.run_with_iobinding
        self._binding, self._memory, self._options = binding, memory, options
        self.captured = options is not None and options is not session._no_capture

    def run(self) -> None:
        """Compute the outputs in place.

        Raises:
            ExecutionError: ONNX Runtime failed.
        """
        try:
            self._run(self._binding, self._options)
        except Exception as error:
            raise self._failed(error) from error
