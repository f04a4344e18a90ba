"""What CUDA sessions are told, and what is said when memory ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from muomni.bundle.contract import GraphContract
from muomni.errors import DeviceError, ExecutionError, InputError, OutOfMemoryError
from muomni.ort import providers
from muomni.ort.cuda import MEMORY_VARIABLE, cuda_settings, execution_error
from muomni.ort.providers import providers_for
from muomni.ort.session import GraphSession
from muomni.ort.threads import SessionThreads

ARENA = (
    "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Non-zero status code returned while running MatMul node. "
    "Name:'node_1' Status Message: /onnxruntime_src/onnxruntime/core/framework/bfc_arena.cc:359 "
    "Available memory of 1048576 is smaller than requested bytes of 33554432"
)
BUFFER = "Failed to allocate memory for requested buffer of size 4194304"
DRIVER = "CUDA failure 2: out of memory ; GPU=0 ; hostname=box ; file=cuda_allocator.cc ; line=71 ; expr=cudaMalloc"


def test_new_shapes_do_not_search_for_algorithms_and_floats_are_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(MEMORY_VARIABLE, raising=False)
    assert cuda_settings(cuda_graphs=False) == {
        "cudnn_conv_algo_search": "HEURISTIC",
        "arena_extend_strategy": "kSameAsRequested",
        "use_tf32": "0",
    }
    assert cuda_settings(cuda_graphs=True)["enable_cuda_graph"] == "1"


def test_memory_of_the_gpu_can_be_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MEMORY_VARIABLE, "2048")
    assert cuda_settings(cuda_graphs=False)["gpu_mem_limit"] == str(2048 * 2**20)


@pytest.mark.parametrize("text", ["2GB", "0", "-1", "1.5", "²"])
def test_a_limit_that_is_no_number_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MEMORY_VARIABLE, text)
    with pytest.raises(InputError, match="expected a whole number of MiB, such as 2048"):
        cuda_settings(cuda_graphs=False)


@pytest.mark.parametrize(("said", "needed"), [(ARENA, "32.0 MiB"), (BUFFER, "4.0 MiB"), (DRIVER, "")])
def test_where_memory_ends_the_message_says_how_much_and_what_to_lower(said: str, needed: str) -> None:
    error = execution_error("thinker", RuntimeError(said), on_cuda=True)
    assert isinstance(error, OutOfMemoryError)
    assert (
        "no memory left on the GPU" in str(error) and "slots" in str(error) and "max_new_tokens" in str(error)
    )
    assert (f": {needed} more were needed" in str(error)) == bool(needed)
    assert "nvidia-smi" in str(error)


def test_a_limit_of_the_users_own_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MEMORY_VARIABLE, "64")
    error = str(execution_error("vision", RuntimeError(ARENA), on_cuda=True))
    assert f"raise {MEMORY_VARIABLE}, which allows each graph 64" in error
    assert MEMORY_VARIABLE not in str(execution_error("vision", RuntimeError(BUFFER), on_cuda=False))


def test_other_failures_stay_what_they_are() -> None:
    error = execution_error("talker", RuntimeError("Invalid rank for input"), on_cuda=True)
    assert type(error) is ExecutionError and str(error) == "talker graph failed: Invalid rank for input"


def offer_cuda(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    class Offering:
        __version__ = version

        @staticmethod
        def get_available_providers() -> list[str]:
            return ["CUDAExecutionProvider", "CPUExecutionProvider"]

    monkeypatch.setattr(providers, "import_onnxruntime", lambda: Offering)


@pytest.mark.parametrize(("version", "first"), [("1.25.3", "CPU"), ("1.26.0", "CUDA"), ("1.31.1", "CUDA")])
def test_auto_takes_cuda_only_of_versions_with_its_kernels(
    version: str, first: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer_cuda(monkeypatch, version)
    assert providers_for("auto")[0] == f"{first}ExecutionProvider"
    assert providers_for("cpu") == ["CPUExecutionProvider"]


def test_cuda_of_an_older_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    offer_cuda(monkeypatch, "1.25.3")
    with pytest.raises(DeviceError, match=r"ONNX Runtime 1\.25\.3 lacks kernels .* 1\.26 is the oldest"):
        providers_for("cuda")


def test_weights_that_do_not_fit_are_not_a_broken_bundle(monkeypatch: pytest.MonkeyPatch) -> None:
    ort = providers.import_onnxruntime()

    def full(*_: object, **__: object) -> None:
        raise RuntimeError(BUFFER)

    monkeypatch.setattr(ort, "InferenceSession", full)
    with pytest.raises(OutOfMemoryError, match=r"no memory left on this machine: 4\.0 MiB more"):
        GraphSession(Path("thinker.onnx"), GraphContract("thinker", (), ()), "cpu", SessionThreads(1))
