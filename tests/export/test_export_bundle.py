"""What an export leaves on disk: a whole bundle, or nothing."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import shutil
import site
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import muomni
from muomni.bundle.folder import open_bundle
from muomni.bundle.manifest import Manifest, parse_manifest
from muomni.errors import CheckpointError, InputError, OutputError, ParityError
from muomni_export import export
from muomni_export.export import ExportReport, export_bundle
from muomni_export.modules.vocoder import VocoderSizes
from muomni_export.onnx import trace as to_onnx
from muomni_export.onnx.precision import TOLERANCES
from muomni_export.output_folder import put_in_place
from muomni_export.parity.compare import GraphCheck
from muomni_export.synthetic.checkpoint_set import set_sizes, write_random_set
from muomni_export.verify import verify_bundle

IMAGE = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
CONTRIB = {"com.microsoft"}


@pytest.fixture(scope="module")
def omni_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    small = VocoderSizes(128, 8, (16, 16), (32, 32), (3,), ((1, 3),))
    sizes = dataclasses.replace(set_sizes("micro"), vocoder=small)
    return write_random_set(tmp_path_factory.mktemp("set") / "a", sizes, seed=1)


@pytest.fixture(scope="module")
def vision_folder(omni_folder: Path) -> Path:
    """A checkpoint whose export is one small graph."""
    return omni_folder.parent / "vision_micro"


@pytest.fixture(scope="module")
def exported(omni_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> ExportReport:
    """Every kind of graph. Treat as read-only."""
    return export_bundle(omni_folder, tmp_path_factory.mktemp("bundles") / "whole")


@pytest.fixture(scope="module")
def vision_bundle(vision_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Treat as read-only."""
    return export_bundle(vision_folder, tmp_path_factory.mktemp("bundles") / "vision").folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def manifest_of(folder: Path) -> Manifest:
    return open_bundle(folder).manifest


def doubled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every torch module claim twice of what it computes."""
    measure = GraphCheck.measure

    def wrong(check: GraphCheck, stages: Any) -> Any:
        reference = check.reference
        twice = dataclasses.replace(
            check, reference=lambda case: {name: 2 * array for name, array in reference(case).items()}
        )
        return measure(twice, stages)

    monkeypatch.setattr(GraphCheck, "measure", wrong)


# Failures


@pytest.mark.parametrize("out", ["bundle", "new/folders/bundle"])
def test_a_graph_that_differs_is_named_and_nothing_is_left(
    vision_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: str
) -> None:
    doubled(monkeypatch)
    with pytest.raises(ParityError, match=r"vision: the graph differs .* by 0\.5 .* tolerance is 0\.0001"):
        export_bundle(vision_folder, tmp_path / out)
    assert below(tmp_path) == []


@pytest.mark.parametrize("step", ["vision: tracing", "vision: comparing"])
def test_ctrl_c_leaves_nothing(vision_folder: Path, tmp_path: Path, step: str) -> None:
    def interrupt(line: str) -> None:
        if line.startswith(step):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_bundle(vision_folder, tmp_path / "new" / "bundle", progress=interrupt)
    assert below(tmp_path) == []


def test_a_path_below_a_file_is_refused(vision_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputError, match=r"cannot be written .*; choose another --out"):
        export_bundle(vision_folder, tmp_path / "file" / "bundle")
    assert below(tmp_path) == ["file"]


def test_a_disk_that_fills_up_leaves_nothing(vision_folder: Path, tmp_path: Path) -> None:
    with largest_file(20_000), pytest.raises(OutputError, match=r"writing failed \(.*\); nothing was left"):
        export_bundle(vision_folder, tmp_path / "bundle")
    assert below(tmp_path) == []


@contextlib.contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Writing past ``size`` bytes of a file fails, as on a full disk."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_checkpoint_that_cannot_be_read_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError):
        export_bundle(tmp_path / "nowhere", tmp_path / "new" / "bundle")
    assert below(tmp_path) == []


# What is already there


def test_a_bundle_is_replaced_with_force_only(
    vision_folder: Path, vision_bundle: Path, tmp_path: Path
) -> None:
    out = shutil.copytree(vision_bundle, tmp_path / "bundle")
    (out / "manifest.json").write_text("an older one")
    (out / "old.onnx").write_text("of an older one")
    with pytest.raises(InputError, match="already there; replace it with --force"):
        export_bundle(vision_folder, out)
    assert (out / "old.onnx").exists()
    export_bundle(vision_folder, out, force=True)
    assert contents(out) == contents(vision_bundle)
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_a_bundle_survives_a_forced_export_that_fails(
    vision_folder: Path, vision_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = shutil.copytree(vision_bundle, tmp_path / "bundle")
    doubled(monkeypatch)
    with pytest.raises(ParityError):
        export_bundle(vision_folder, out, force=True)
    assert contents(out) == contents(vision_bundle)
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


@pytest.mark.parametrize("failing", [1, 2], ids=["old one aside", "new one in"])
def test_a_bundle_survives_a_rename_that_fails(
    vision_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    out = shutil.copytree(vision_bundle, tmp_path / "bundle")
    new = tmp_path / "new"
    new.mkdir()
    rename, calls = Path.replace, []

    def replace(path: Path, target: Path) -> Path:
        calls.append(target)
        if len(calls) == failing:
            raise PermissionError(13, "Permission denied")
        return rename(path, target)

    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(PermissionError):
        put_in_place(new, out)
    assert contents(out) == contents(vision_bundle)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "new"]


def test_a_link_to_a_folder_stays_a_link(vision_folder: Path, vision_bundle: Path, tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.mkdir()
    link = tmp_path / "link"
    link.symlink_to(real, target_is_directory=True)
    assert export_bundle(vision_folder, link).folder == link
    assert link.is_symlink() and contents(real) == contents(vision_bundle)


def test_an_empty_folder_and_missing_parents_are_fine(vision_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for out in (tmp_path / "empty", tmp_path / "new" / "folders" / "bundle"):
        export_bundle(vision_folder, out)
        open_bundle(out).verify()
        assert out.stat().st_mode & 0o777 == 0o755
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "new"]


@pytest.mark.parametrize("force", [False, True])
def test_what_is_not_a_bundle_is_never_replaced(vision_folder: Path, tmp_path: Path, force: bool) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for name, message in (("photos", "not empty and not a bundle"), ("file", "a file is in the way")):
        with pytest.raises(InputError, match=message):
            export_bundle(vision_folder, tmp_path / name, force=force)
    assert below(tmp_path) == ["file", "photos", "photos/cat.jpg"]


# What a bundle says of itself


@pytest.mark.slow
def test_the_manifest_lists_every_file_as_it_is(exported: ExportReport) -> None:
    folder = exported.folder
    manifest = parse_manifest((folder / "manifest.json").read_text(encoding="utf-8"))
    assert {*manifest.files, "manifest.json"} == {path.name for path in folder.iterdir()}
    for name, entry in manifest.files.items():
        data = (folder / name).read_bytes()
        assert (entry.bytes, entry.sha256) == (len(data), hashlib.sha256(data).hexdigest()), name
    assert exported.total_bytes == sum(path.stat().st_size for path in folder.iterdir())
    rows = {row.graph: row for row in exported.rows}
    assert rows.keys() == manifest.graphs.keys()
    for graph, graph_entry in manifest.graphs.items():
        assert rows[graph].entry == graph_entry
        assert rows[graph].bytes == (folder / graph_entry.file).stat().st_size


@pytest.mark.slow
def test_the_manifest_names_the_weights_it_was_made_from(exported: ExportReport, omni_folder: Path) -> None:
    source = manifest_of(exported.folder).source
    assert source.checkpoint == omni_folder.name
    digest = hashlib.sha256((omni_folder / "omni.pt").read_bytes()).hexdigest()
    assert source.files["thinker"] == source.files["vision_projector"] == f"omni.pt {digest}"


@pytest.mark.slow
def test_the_manifests_errors_are_measured(exported: ExportReport, omni_folder: Path) -> None:
    graphs = manifest_of(exported.folder).graphs
    for row in verify_bundle(exported.folder, omni_folder):
        entry = graphs[row.graph]
        assert entry.max_error <= 1e-5 < entry.tolerance
        assert row.error == pytest.approx(entry.max_error, rel=2, abs=1e-6)
        assert entry.parameters > 1000
    assert {graph for graph, entry in graphs.items() if entry.agreement == 1.0} == {
        "thinker",
        "talker",
        "ocr",
    }


def test_a_known_difference_is_written_into_the_manifest(
    vision_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    doubled(monkeypatch)
    monkeypatch.setitem(TOLERANCES, "fp32", 1.0)
    export_bundle(vision_folder, tmp_path / "bundle")
    entry = manifest_of(tmp_path / "bundle").graphs["vision"]
    assert entry.max_error == pytest.approx(0.5, abs=1e-5)
    assert entry.tolerance == 1.0


@pytest.mark.slow
def test_two_exports_are_byte_identical(exported: ExportReport, omni_folder: Path, tmp_path: Path) -> None:
    export_bundle(omni_folder, tmp_path / "again")
    again, first = contents(tmp_path / "again"), contents(exported.folder)
    assert again.keys() == first.keys()
    assert [name for name in first if name != "manifest.json" and again[name] != first[name]] == []
    assert json.loads(again["manifest.json"])["files"] == json.loads(first["manifest.json"])["files"]


# What the files hold


@pytest.mark.slow
def test_no_path_of_this_machine_is_in_any_file(exported: ExportReport, omni_folder: Path) -> None:
    places = {str(place) for place in (Path.home(), Path.cwd(), Path(export.__file__).parent, omni_folder)}
    places |= {str(exported.folder.parent), *site.getsitepackages(), "site-packages", "muomni_export/"}
    files = contents(exported.folder)
    assert "manifest.json" in files
    for name, data in files.items():
        found = [place for place in places if place.encode() in data]
        assert not found, f"{name} holds {found}"


def test_notes_about_other_places_lose_their_folders(omni_folder: Path, tmp_path: Path) -> None:
    """A note in the manifest may name a file, but not where it was on the machine of the export."""
    root = shutil.copytree(omni_folder.parents[1], tmp_path / "my sets" / "a")
    config = root / "configs" / f"{omni_folder.name}.json"
    value = json.loads(config.read_text())
    value["vision_ckpt"] = "/home/someone/elsewhere/vision_micro"
    config.write_text(json.dumps(value))
    read = export.read_checkpoint(root / "checkpoints" / omni_folder.name)
    (note,) = (note for note in read.notes if "vision_micro" in str(note))
    assert str(root) in str(note)
    assert (
        note.portable() == f"vision: {config.name} says vision_micro, which is not there; used vision_micro"
    )


@pytest.mark.slow
def test_graphs_are_stripped_and_standard_where_they_can_be(exported: ExportReport) -> None:
    manifest = manifest_of(exported.folder)
    assert manifest.opset == 23
    for graph, entry in manifest.graphs.items():
        file = exported.folder / entry.file
        model = onnx.load(file)
        versions = {opset.domain: opset.version for opset in model.opset_import}
        assert versions[""] == 23, graph
        domains = {node.domain for node in model.graph.node} - {"", "ai.onnx"}
        assert domains == (CONTRIB if graph in ("thinker", "talker", "ocr") else set()), graph
        if not domains:
            onnx.checker.check_model(str(file), full_check=True)
        assert not model.metadata_props and not model.graph.metadata_props and not model.functions
        parts = (*model.graph.node, *model.graph.input, *model.graph.output, *model.graph.value_info)
        parts += (*model.graph.initializer,)
        for part in parts:
            assert not part.metadata_props and not part.doc_string, (graph, part.name)


# Weights beside the graph

LIMIT = "EXTERNAL_DATA_BYTES"


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_large_weights_lie_beside_the_graph(
    vision_folder: Path,
    vision_bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    precision: str,
) -> None:
    monkeypatch.setattr(to_onnx, LIMIT, 1000)
    report = export_bundle(vision_folder, tmp_path / "made here", precision=precision)
    moved = (tmp_path / "made here").rename(tmp_path / "moved")
    assert {"vision.onnx", "vision.onnx.data"} <= manifest_of(moved).files.keys()
    verify_bundle(moved)
    sizes = [(moved / name).stat().st_size for name in ("vision.onnx", "vision.onnx.data")]
    assert report.rows[0].bytes == sum(sizes)
    got = encode(moved)
    expected = encode(vision_bundle)
    assert np.abs(got - expected).max() < {"fp32": 1e-5, "fp16": 1e-2, "int8": 0.2}[precision]
    data = moved / "vision.onnx.data"
    data.write_bytes(data.read_bytes()[:-1] + b"\x7f")
    with pytest.raises(muomni.BundleError, match=r"vision\.onnx\.data: the file changed"):
        encode(moved)


def encode(bundle: Path) -> np.ndarray:
    return muomni.Omni.load(bundle, device="cpu", threads=1).vision.encode(IMAGE).grid


def test_what_counts_is_the_size_that_is_stored(
    vision_folder: Path, vision_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Above the limit in float32 and below it in 16 bits."""
    parameters = manifest_of(vision_bundle).graphs["vision"].parameters
    monkeypatch.setattr(to_onnx, LIMIT, 3 * parameters)
    for precision, beside in (("fp32", True), ("fp16", False)):
        folder = export_bundle(vision_folder, tmp_path / precision, precision=precision).folder
        assert (folder / "vision.onnx.data").exists() == beside
        verify_bundle(folder)
