"""ONNX Runtime sessions: one graph, loaded, placed, and checked against its contract."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from muomni.bundle.contract import GraphContract, TensorSpec, check_tensors
from muomni.errors import BundleError, DeviceError, ExecutionError

from .cuda import cuda_settings, execution_error, is_out_of_memory
from .device_memory import DeviceMemory, bind_input, bind_output
from .placement import RECORD, PlacedNode, check_placement, placed_nodes
from .providers import CPU, CUDA, Device, can_limit_spinning, import_onnxruntime, preload, providers_for
from .region import Region
from .rows import DeviceRows, Rows
from .threads import SessionThreads

_DTYPES = {
    "tensor(float)": "float32",
    "tensor(int64)": "int64",
    "tensor(int32)": "int32",
    "tensor(float16)": "float16",
}
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
        if providers[0] == CUDA:
            providers[0] = (CUDA, cuda_settings(cuda_graphs))
            options.add_session_config_entry(RECORD, "1")
            preload(ort)
        options.intra_op_num_threads = threads.count
        spin_us = threads.spin_us if can_limit_spinning(ort.__version__) else 0
        options.add_session_config_entry("session.intra_op.allow_spinning", str(int(spin_us > 0)))
        options.add_session_config_entry("session.intra_op.spin_duration_us", str(spin_us))
        options.inter_op_num_threads = 1
        # On x86 without VNNI the fast product of 8-bit integers would overflow; this takes one that does not.
        options.add_session_config_entry("session.x64quantprecision", "1")
        options.log_severity_level = 3  # errors; warnings of a fallback are raised below in our words
        try:
            self._session = ort.InferenceSession(str(path), options, providers=providers)
        except Exception as error:  # the binding raises a dozen unrelated classes
            if is_out_of_memory(error):
                raise execution_error(contract.graph, error, providers[0] != CPU) from error
            raise BundleError(
                f"{path}: ONNX Runtime {ort.__version__} cannot load this graph: {error}"
            ) from error
        self.providers: list[str] = self._session.get_providers()
        if device == "cuda" and self.providers[0] != CUDA:
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
        self.on_cuda = on_cuda = self.providers[0] == CUDA
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
