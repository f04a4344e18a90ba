"""What a device means: never CUDA in name and the CPU in fact."""

from __future__ import annotations

import pytest

import muomni
from muomni.errors import DeviceError, InputError, MissingPackageError
from muomni.ort.providers import Device, device_for, import_onnxruntime


@pytest.mark.parametrize(
    ("device", "dtypes", "used"),
    [
        ("auto", {"float32"}, "cpu"),
        ("auto", {"float16", "float32"}, "cpu"),
        ("auto", {"float16"}, "auto"),
        ("auto", set(), "auto"),
        ("cpu", {"float16"}, "cpu"),
        ("cuda", {"float16"}, "cuda"),
    ],
)
def test_auto_takes_what_is_really_fast(device: Device, dtypes: set[str], used: Device) -> None:
    assert device_for(device, dtypes) == used


def test_cuda_is_refused_where_attention_would_run_on_the_cpu() -> None:
    with pytest.raises(DeviceError, match="float32 attention"):
        device_for("cuda", {"float32"})


@pytest.mark.parametrize(
    ("version", "right"), [("1.22.1", False), ("1.23.0", False), ("1.23.1", True), ("2.0.0", True)]
)
def test_a_version_that_computes_wrongly_is_refused(
    monkeypatch: pytest.MonkeyPatch, version: str, right: bool
) -> None:
    monkeypatch.setattr(import_onnxruntime(), "__version__", version)
    if right:
        import_onnxruntime()
    else:
        with pytest.raises(
            MissingPackageError, match=rf"{version} is installed, muomni needs 1\.23\.1 or newer"
        ):
            import_onnxruntime()


def test_cuda_graphs_without_cuda_are_refused() -> None:
    with pytest.raises(InputError, match="cuda_graphs: they are for CUDA"):
        muomni.Omni.load(device="cpu", cuda_graphs=True)
