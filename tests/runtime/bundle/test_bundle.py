"""The manifest and the bundle folder: strict, and clear about what is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from muomni.bundle.folder import open_bundle, sha256_of
from muomni.bundle.manifest import (
    MANIFEST_NAME,
    READS_WITH,
    SCHEMA_VERSION,
    FileEntry,
    GraphEntry,
    Manifest,
    PromptEntry,
    SourceEntry,
    ThinkerStage,
    parse_manifest,
)
from muomni.errors import BundleError, ManifestError

MANIFEST = Manifest(
    schema_version=SCHEMA_VERSION,
    reads_with=READS_WITH,
    muomni_version="0.1.0",
    opset=23,
    precision="fp32",
    source=SourceEntry("omni_sft_tiny", {"thinker": "omni.pt 00"}, ("a note",)),
    files={name: FileEntry(5, "0" * 64) for name in ("thinker.onnx", "parity.npz")},
    graphs={"thinker": GraphEntry("thinker.onnx", 10, "fp32", 1e-6, 1e-4)},
    prompt=PromptEntry("[media] [bos] [text]", ("image", "video", "audio"), "See?", "Hear?", "Asked?", 4),
    recording="parity.npz",
    thinker=ThinkerStage("thinker", 64, 2, 4, 2, 16, 512, 256),
)


def test_a_manifest_survives_its_json() -> None:
    assert parse_manifest(MANIFEST.to_json()) == MANIFEST


def edit(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def apply(manifest: dict[str, Any]) -> None:
        *parents, last = path.split(".")
        node = manifest
        for part in parents:
            node = node[part]
        if value is None:
            del node[last]
        else:
            node[last] = value

    return apply


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        ("schema_version", 2, "version 2"),
        ("surprise", 1, "'surprise'"),
        ("thinker.surprise", 1, "thinker: unknown key 'surprise'"),
        ("thinker.layers", None, "missing key 'layers'"),
        ("thinker.layers", "2", "thinker.layers: expected int"),
        ("thinker.layers", True, "thinker.layers: expected int"),
        ("graphs.thinker.precision", "fp13", "'fp13'"),
        ("graphs.thinker.file", "other.onnx", "'other.onnx'"),
        ("files.thinker#onnx", {"bytes": "x", "sha256": ""}, "bytes"),
        ("files", {"../../etc/passwd": {"bytes": 1, "sha256": ""}}, "plain name"),
        ("prompt.media_order", "image", "expected a list"),
        ("source", [], "expected an object"),
    ],
)
def test_a_wrong_manifest_is_refused_by_key(path: str, value: Any, named: str) -> None:
    manifest = json.loads(MANIFEST.to_json())
    edit(path.replace("files.thinker#onnx", "files.thinker"), value)(manifest)
    with pytest.raises(ManifestError) as caught:
        parse_manifest(json.dumps(manifest))
    assert named in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "7"])
def test_what_is_no_manifest_is_refused(text: str) -> None:
    with pytest.raises(ManifestError):
        parse_manifest(text)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "thinker.onnx").write_bytes(b"graph")
    (tmp_path / "parity.npz").write_bytes(b"recording")
    files = {file.name: FileEntry(file.stat().st_size, sha256_of(file)) for file in list(tmp_path.iterdir())}
    (tmp_path / MANIFEST_NAME).write_text(replace(MANIFEST, files=files).to_json())
    return tmp_path


def test_an_intact_bundle_opens_and_verifies(folder: Path) -> None:
    bundle = open_bundle(folder)
    bundle.verify()
    assert bundle.graph_file("thinker") == folder / "thinker.onnx"


def test_a_changed_byte_is_found_when_the_file_is_used(folder: Path) -> None:
    (folder / "thinker.onnx").write_bytes(b"grapH")
    bundle = open_bundle(folder)
    with pytest.raises(BundleError, match=r"thinker\.onnx.*changed"):
        bundle.graph_file("thinker")


def test_a_cut_file_is_found_when_the_bundle_is_opened(folder: Path) -> None:
    (folder / "thinker.onnx").write_bytes(b"gra")
    with pytest.raises(BundleError, match="3 bytes, the manifest says 5"):
        open_bundle(folder)


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / "thinker.onnx").unlink()
    with pytest.raises(BundleError, match=r"thinker\.onnx: missing"):
        open_bundle(folder)


def test_a_checkpoint_is_recognised_and_the_command_given(tmp_path: Path) -> None:
    (tmp_path / "omni.pt").write_bytes(b"x")
    with pytest.raises(BundleError, match="muomni-export"):
        open_bundle(tmp_path)


def test_other_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no such folder"):
        open_bundle(tmp_path / "nowhere")
    with pytest.raises(BundleError, match="not a muomni bundle"):
        open_bundle(tmp_path)
