"""``verify``: a bundle that is as exported passes, any other fails by name; no torch is needed."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import numpy_helper

from muomni.errors import BundleError, ManifestError, MissingPackageError, ParityError
from muomni_export.export import export_bundle
from muomni_export.parity.replay import difference, read_recording, write_recording
from muomni_export.synthetic.checkpoint_set import set_sizes, write_random_set
from muomni_export.verify import verify_bundle


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Small stages are faster on one thread, by far where the machine is busy."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Thinker and an image encoder."""
    return write_set(tmp_path_factory.mktemp("set") / "a", seed=1)


def write_set(folder: Path, seed: int, without: tuple[str, ...] = (), **options: Any) -> Path:
    return write_random_set(folder, "micro", seed, without=("audio", "talker", "ocr", *without), **options)


@pytest.fixture(scope="module")
def exported(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Treat as read-only."""
    return export_bundle(checkpoint, tmp_path_factory.mktemp("bundles") / "whole").folder


@pytest.fixture
def bundle(exported: Path, tmp_path: Path) -> Path:
    return shutil.copytree(exported, tmp_path / "bundle")


def edit_manifest(bundle: Path, change: Callable[[dict[str, Any]], None]) -> None:
    file = bundle / "manifest.json"
    manifest = json.loads(file.read_text(encoding="utf-8"))
    change(manifest)
    file.write_text(json.dumps(manifest), encoding="utf-8")


def sign(bundle: Path, name: str) -> None:
    """Make the manifest say what is now in a file."""
    data = (bundle / name).read_bytes()
    entry = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    edit_manifest(bundle, lambda manifest: manifest["files"].update({name: entry}))


def alter(bundle: Path, graph: str, change: Callable[[NDArray[Any]], NDArray[Any]]) -> None:
    """Change the largest weight of a graph and sign it."""
    file = bundle / f"{graph}.onnx"
    model = onnx.load(file)
    largest = max(model.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    array = np.array(numpy_helper.to_array(largest))
    largest.CopyFrom(numpy_helper.from_array(change(array), largest.name))
    onnx.save(model, file)
    sign(bundle, file.name)


def test_a_bundle_as_exported_passes(exported: Path) -> None:
    manifest = json.loads((exported / "manifest.json").read_text(encoding="utf-8"))
    rows = verify_bundle(exported)
    assert [row.graph for row in rows] == ["thinker", "vision"]
    for row in rows:
        entry = manifest["graphs"][row.graph]
        assert (row.error_at_export, row.tolerance) == (entry["max_error"], entry["tolerance"])
        assert 0 <= row.error < 1e-5


def test_with_its_checkpoint_it_is_compared_on_all_inputs(exported: Path, checkpoint: Path) -> None:
    rows = verify_bundle(exported, checkpoint)
    assert rows
    for row in rows:
        assert row.error == pytest.approx(row.error_at_export, rel=2, abs=1e-6)


def test_a_bundle_verifies_where_it_is_moved_to(bundle: Path) -> None:
    moved = bundle.rename(bundle.parent / "wo anders 🦉")
    assert len(verify_bundle(moved)) == 2


@pytest.mark.parametrize("name", ["thinker.onnx", "vision.onnx", "tokenizer.model", "parity.npz"])
def test_a_changed_byte_is_named(bundle: Path, name: str) -> None:
    data = bytearray((bundle / name).read_bytes())
    data[len(data) // 2] ^= 1
    (bundle / name).write_bytes(data)
    with pytest.raises(BundleError, match=rf"{name}: the file changed since export: sha256"):
        verify_bundle(bundle)


@pytest.mark.parametrize("name", ["thinker.onnx", "parity.npz"])
def test_a_missing_or_cut_file_is_named(bundle: Path, name: str) -> None:
    data = (bundle / name).read_bytes()
    (bundle / name).write_bytes(data[:-1])
    with pytest.raises(BundleError, match=rf"{name}: {len(data) - 1} bytes, the manifest says {len(data)}"):
        verify_bundle(bundle)
    (bundle / name).unlink()
    with pytest.raises(BundleError, match=f"{name}: missing"):
        verify_bundle(bundle)


def add_one(array: NDArray[Any]) -> NDArray[Any]:
    return array + np.ones_like(array)


def spoil_column(array: NDArray[Any]) -> NDArray[Any]:
    array[:, 0] = np.nan
    return array


@pytest.mark.parametrize("change", [add_one, spoil_column])
@pytest.mark.parametrize("graph", ["thinker", "vision"])
def test_other_weights_are_found_although_the_manifest_was_made_to_fit(
    bundle: Path, graph: str, change: Callable[[NDArray[Any]], NDArray[Any]]
) -> None:
    alter(bundle, graph, change)
    expected = rf"{graph}: differs by \S+ from the torch module, the tolerance is 0\.0001 \(at export it was"
    with pytest.raises(ParityError, match=expected):
        verify_bundle(bundle)


def test_weights_that_hardly_differ_pass(bundle: Path) -> None:
    alter(bundle, "vision", lambda array: array * np.float32(1 + 1e-6))
    assert len(verify_bundle(bundle)) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": 2}, "thinker: differs by"),
        ({"seed": 1, "without": ("vision",)}, "vision: nothing to compare"),
    ],
    ids=["other weights", "fewer stages"],
)
def test_another_checkpoint_is_not_its_own(
    exported: Path, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    other = write_set(tmp_path / "other", **options)
    with pytest.raises(ParityError, match=message):
        verify_bundle(exported, other)


def test_a_checkpoint_of_other_sizes_is_said_to_be_another(exported: Path, tmp_path: Path) -> None:
    micro = set_sizes("micro")
    sizes = replace(micro, thinker=replace(micro.thinker, vocabulary=700))
    other = write_random_set(tmp_path / "other", sizes, without=("audio", "talker", "ocr"))
    with pytest.raises(ParityError, match=r"thinker: .* parameters in the bundle, .* another checkpoint"):
        verify_bundle(exported, other)


def test_a_checkpoint_with_more_stages_than_the_bundle_is_compared_where_it_can(
    checkpoint: Path, exported: Path, tmp_path: Path
) -> None:
    text = export_bundle(checkpoint.parent / "thinker_micro", tmp_path / "text").folder
    (row,) = verify_bundle(text, checkpoint.parent / "thinker_micro")
    assert row.graph == "thinker"
    with pytest.raises(ParityError, match="thinker: differs"):  # the omni folder's Thinker is fine-tuned
        verify_bundle(text, checkpoint)


def test_a_graph_without_a_recording_is_named(bundle: Path) -> None:
    recorded = read_recording(bundle / "parity.npz")
    del recorded["vision"]
    write_recording(bundle / "parity.npz", recorded)
    sign(bundle, "parity.npz")
    with pytest.raises(ParityError, match="vision: nothing to compare this graph with"):
        verify_bundle(bundle)


@pytest.mark.parametrize("data", [b"", b"no archive", b"PK\x03\x04 cut"])
def test_a_recording_that_is_none_is_named(bundle: Path, data: bytes) -> None:
    (bundle / "parity.npz").write_bytes(data)
    sign(bundle, "parity.npz")
    with pytest.raises(BundleError, match=r"parity\.npz: not a recording"):
        verify_bundle(bundle)


def test_an_unknown_key_of_the_manifest_is_named(bundle: Path) -> None:
    edit_manifest(bundle, lambda manifest: manifest.update(colour="red"))
    with pytest.raises(ManifestError, match="colour"):
        verify_bundle(bundle)


def test_what_is_no_bundle_is_named(tmp_path: Path, checkpoint: Path) -> None:
    with pytest.raises(BundleError, match="no such folder"):
        verify_bundle(tmp_path / "nowhere")
    with pytest.raises(BundleError, match="this is a PyTorch checkpoint"):
        verify_bundle(checkpoint)


# Without torch

BLOCKED = """
import sys
for name in ("torch", "onnx", "onnxscript", "onnx_ir", "librosa", "safetensors", "scipy"):
    sys.modules[name] = None
"""
VERIFY = """
from pathlib import Path
from muomni_export.verify import verify_bundle
for row in verify_bundle(Path(sys.argv[1])):
    print(row.graph)
"""
AGAINST = """
from pathlib import Path
from muomni.errors import MissingPackageError
from muomni_export.verify import verify_bundle
try:
    verify_bundle(Path(sys.argv[1]), Path("checkpoint"))
except MissingPackageError as error:
    print(error)
"""


def run_blocked(code: str, *arguments: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", BLOCKED + code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_the_recording_needs_no_torch(exported: Path) -> None:
    result = run_blocked(VERIFY, exported)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == ["thinker", "vision"]


def test_comparing_with_a_checkpoint_without_torch_says_what_to_install(exported: Path) -> None:
    result = run_blocked(AGAINST, exported)
    assert result.returncode == 0, result.stderr
    assert "'torch' is missing" in result.stdout and 'pip install "muomni[export,cpu]"' in result.stdout


def test_a_missing_package_is_an_error_of_ours(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "muomni_export.checkpoint.checkpoint_set", None)
    with pytest.raises(MissingPackageError, match="comparing with torch needs"):
        verify_bundle(exported, Path("checkpoint"))


# What is compared


@pytest.mark.parametrize(
    ("expected", "got", "apart"),
    [
        ([1.0, 2.0], [1.0, 2.0], 0.0),
        ([0.1, 0.2], [0.1, 0.3], 0.1),  # absolute where all values are small
        ([10.0, -100.0], [11.0, -100.0], 0.01),  # relative to the largest
        ([1.0], [np.nan], np.inf),
        ([1.0], [np.inf], np.inf),
        ([1.0], [1.0, 1.0], np.inf),
        ([], [], 0.0),
    ],
)
def test_difference_of_floats(expected: list[float], got: list[float], apart: float) -> None:
    arrays = np.array(expected, dtype=np.float32), np.array(got, dtype=np.float32)
    assert difference(*arrays) == pytest.approx(apart, rel=1e-5)


def test_difference_of_integers_is_the_share_that_differs() -> None:
    assert difference(np.array([1, 2, 3, 4]), np.array([1, 2, 3, 5])) == 0.25


def test_a_recording_reads_back(tmp_path: Path) -> None:
    case = {"x": np.arange(3), "chunks": np.array([1, 2])}
    outputs = {"y": np.ones((2, 2), dtype=np.float32)}
    write_recording(tmp_path / "parity.npz", {"a": (case, outputs), "b": (case, outputs)})
    read = read_recording(tmp_path / "parity.npz")
    assert read.keys() == {"a", "b"}
    for got, wrote in zip(read["b"], (case, outputs), strict=True):
        assert got.keys() == wrote.keys()
        assert all(
            (got[name] == wrote[name]).all() and got[name].dtype == wrote[name].dtype for name in wrote
        )
