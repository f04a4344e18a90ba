"""What a session on CUDA is told, and what its errors mean."""

from __future__ import annotations

import os
import re

from muomni.errors import ExecutionError, InputError, OutOfMemoryError

OLDEST = (1, 26)
"""ONNX Runtime's CUDA kernels for the encoders' attention came with it, by its tables of kernels."""

MEMORY_VARIABLE = "MUOMNI_GPU_MEMORY_MIB"
"""Environment variable: the most memory that each graph may take on the GPU for weights and what it computes with."""

_OUT_OF_MEMORY = re.compile(
    r"failed to allocate memory|out of memory|smaller than requested bytes|bad_alloc|STATUS_ALLOC_FAILED",
    re.IGNORECASE,
)
_REQUESTED = re.compile(r"(?:requested bytes of|buffer of size) (\d+)")


def memory_limit_bytes() -> int | None:
    """``MUOMNI_GPU_MEMORY_MIB`` in bytes; None where it is not set.

    Raises:
        InputError: it is no whole number above 0.
    """
    text = os.environ.get(MEMORY_VARIABLE)
    if not text:  # an empty variable is an unset one
        return None
    if not re.fullmatch("[0-9]{1,9}", text) or int(text) == 0:
        raise InputError(f"{MEMORY_VARIABLE}={text!r}: expected a whole number of MiB, such as 2048")
    return int(text) << 20


def cuda_settings(cuda_graphs: bool) -> dict[str, str]:
    """Settings of ONNX Runtime's CUDA provider.

    Raises:
        InputError: see :func:`memory_limit_bytes`.
    """
    settings = {
        # The default tries every algorithm for each new shape, and lengths of sound are new all the time.
        "cudnn_conv_algo_search": "HEURISTIC",
        # The default doubles the arena; there is one for each graph, beside memory for keys and values.
        "arena_extend_strategy": "kSameAsRequested",
        # Encoders and vocoders are float32 and compared with torch at 1e-4; TF32 rounds to 1e-3.
        "use_tf32": "0",
    }
    if cuda_graphs:
        settings["enable_cuda_graph"] = "1"
    limit = memory_limit_bytes()
    if limit is not None:
        settings["gpu_mem_limit"] = str(limit)
    return settings


def is_out_of_memory(error: Exception) -> bool:
    """Whether ONNX Runtime says that memory has ended."""
    return _OUT_OF_MEMORY.search(str(error)) is not None


def execution_error(graph: str, error: Exception, on_cuda: bool) -> ExecutionError:
    """What ONNX Runtime said of a graph; where memory ended, how much was missing and what to lower."""
    if not is_out_of_memory(error):
        return ExecutionError(f"{graph} graph failed: {error}")
    found = _REQUESTED.search(str(error))
    needed = f": {int(found[1]) / 2**20:.1f} MiB more were needed" if found else ""
    where, limit = ("the GPU", memory_limit_bytes()) if on_cuda else ("this machine", None)
    cure = "lower the number of requests at a time (slots) or their length (max_new_tokens)"
    if limit is not None:
        cure += f", or raise {MEMORY_VARIABLE}, which allows each graph {limit >> 20}"
    elif on_cuda:
        cure += ", or end what else uses the GPU (nvidia-smi lists it)"
    first_line = str(error).strip().splitlines()[0][:300]
    return OutOfMemoryError(f"{graph} graph: no memory left on {where}{needed}; {cure} ({first_line})")
