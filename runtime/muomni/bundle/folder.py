"""The bundle: a folder with graphs, a tokenizer and ``manifest.json``, which describes all of it.

A bundle runs from a plain path. What is not as the manifest says is refused by name: unknown keys and
versions when the manifest is read, missing files and wrong sizes when the bundle is opened, a wrong sha256
when the file is first used (so that a text chat need not read the vocoder).
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from muomni.errors import BundleError, ManifestError

from .manifest import MANIFEST_NAME, Manifest, parse_manifest


@dataclass
class Bundle:
    """An opened bundle folder. Make one with :func:`open_bundle`."""

    folder: Path
    manifest: Manifest
    _verified: set[str] = field(default_factory=set)

    def file(self, name: str) -> Path:
        """Path of a file whose sha256 has been checked (once per opened bundle).

        Raises:
            BundleError: the manifest has no such file, or its content changed.
        """
        entry = self.manifest.files.get(name)
        if entry is None:
            raise BundleError(f"{self.folder}: the manifest lists no file {name!r}")
        path = self.folder / name
        if name not in self._verified:
            digest = sha256_of(path)
            if digest != entry.sha256:
                raise BundleError(
                    f"{path}: the file changed since export: sha256 is {digest[:16]}…, the manifest says "
                    f"{entry.sha256[:16]}…; copy the bundle again or export it anew with muomni-export"
                )
            self._verified.add(name)
        return path

    def graph_file(self, graph: str) -> Path:
        """Checked path of a graph; its external data, where there is any, is checked with it."""
        name = self.manifest.graphs[graph].file
        if name + ".data" in self.manifest.files:
            self.file(name + ".data")
        return self.file(name)

    def verify(self) -> None:
        """Check the sha256 of every file."""
        for name in self.manifest.files:
            self.file(name)


def open_bundle(path: str | os.PathLike[str]) -> Bundle:
    """Open a bundle folder: read the manifest, check that every file is there with its size.

    Raises:
        BundleError: no such folder, not a bundle, a PyTorch checkpoint, a missing or cut file.
        ManifestError: the manifest cannot be trusted.
    """
    folder = Path(path)
    if not folder.exists():
        raise BundleError(
            f"{folder}: no such folder; a bundle is made with muomni-export CHECKPOINT --out {folder}"
        )
    manifest_path = folder / MANIFEST_NAME
    if not manifest_path.is_file():
        if looks_like_checkpoint(folder):
            raise BundleError(
                f"{folder}: this is a PyTorch checkpoint, not a bundle; convert it once with\n"
                f'  pip install "muomni[export,cpu]"\n  muomni-export {folder} --out BUNDLE'
            )
        raise BundleError(f"{folder}: no {MANIFEST_NAME} here, so this is not a muomni bundle")
    try:
        text = manifest_path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(f"{manifest_path}: cannot be read ({error})") from error
    manifest = parse_manifest(text, str(manifest_path))
    for name, entry in manifest.files.items():
        file = folder / name
        if not file.is_file():
            raise BundleError(
                f"{file}: missing; the manifest lists it with {entry.bytes} bytes. Copy the bundle again"
            )
        size = file.stat().st_size
        if size != entry.bytes:
            raise BundleError(
                f"{file}: {size} bytes, the manifest says {entry.bytes}; the copy is incomplete or the file was changed"
            )
    return Bundle(folder, manifest)


def looks_like_checkpoint(folder: Path) -> bool:
    """Whether a folder holds PyTorch or safetensors weights."""
    if not folder.is_dir():
        return folder.suffix in (".pt", ".pth", ".safetensors")
    return any(next(folder.glob(pattern), None) for pattern in ("*.pt", "*.pth", "*.safetensors", "*/*.pt"))


def sha256_of(path: Path) -> str:
    """Hex sha256 of a file.

    Raises:
        BundleError: the file cannot be read.
    """
    import hashlib  # here: it loads OpenSSL, and most runs verify nothing

    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise BundleError(f"{path}: cannot be read ({error.strerror})") from error
