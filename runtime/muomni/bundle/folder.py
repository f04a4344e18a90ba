"""The bundle: a folder with graphs, a tokenizer and ``manifest.json``, which describes all of it.

A bundle runs from a plain path. What is not as the manifest says is refused by name: unknown keys and
versions when the manifest is read, missing files and wrong sizes when the bundle is opened, a wrong sha256
when the file is first used (so that a text chat need not read the vocoder).
"""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from muomni.errors import BundleError, ManifestError
from muomni.urls import url_in

from .manifest import MANIFEST_NAME, Manifest, parse_manifest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LFS_POINTER = "version https://git-lfs.github.com/spec/"


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
        path = self.file(name)
        if name + ".data" in self.manifest.files:
            data = self.file(name + ".data")
            if not {self.folder.resolve(), path.resolve().parent} & set(data.resolve().parents):
                raise BundleError(
                    f"{data}: a link to {data.resolve()}, and ONNX Runtime reads no weights outside the folder of "
                    f"the graph; copy the bundle with its files: cp -rL {shlex.quote(str(self.folder))} COPY"
                )
        return path

    def array(self, name: str, *shape: int) -> NDArray[np.float32]:
        """The floats of a checked file of numpy's.

        Raises:
            BundleError: as :meth:`file`, or it holds something else.
        """
        import numpy as np  # opening a bundle needs none of it

        path = self.file(name)
        try:
            array = np.asarray(np.load(path, allow_pickle=False))
        except (OSError, ValueError) as error:
            raise BundleError(f"{path}: not a numpy array ({error})") from error
        if array.shape != shape or array.dtype.kind != "f":
            raise BundleError(f"{path}: expected floats of shape {shape}, got {array.dtype} {array.shape}")
        return np.asarray(array, dtype=np.float32)

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
    if url := url_in(path):
        raise BundleError(
            f"{url}: a URL, and muomni opens no connection; download the folder and give its path"
        )
    folder = Path(path).absolute()  # graphs are read when they are first used, perhaps after a chdir
    if not folder.exists():
        raise BundleError(
            f"{folder}: no such folder; a bundle is made with muomni-export CHECKPOINT --out {shlex.quote(str(folder))}"
        )
    manifest_path = folder / MANIFEST_NAME
    if not manifest_path.is_file():
        if looks_like_checkpoint(folder):
            raise BundleError(
                f"{folder}: this is a PyTorch checkpoint, not a bundle; convert it once with\n"
                f'  pip install "muomni[export,cpu]"\n  muomni-export {shlex.quote(str(folder))} --out BUNDLE'
            )
        raise BundleError(f"{folder}: no {MANIFEST_NAME} here, so this is not a muomni bundle")
    try:
        text = manifest_path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(f"{manifest_path}: cannot be read ({error})") from error
    if text.startswith(LFS_POINTER):
        raise BundleError(_lfs_advice(manifest_path))
    manifest = parse_manifest(text, str(manifest_path))
    for name, entry in manifest.files.items():
        file = folder / name
        if not file.is_file():
            if file.is_symlink():
                raise BundleError(
                    f"{file}: a link to {file.readlink()}, which is not there; copy the bundle again, "
                    "with its files in place of links (cp -rL)"
                )
            raise BundleError(
                f"{file}: missing; the manifest lists it with {entry.bytes} bytes. Copy the bundle again"
            )
        size = file.stat().st_size
        if size != entry.bytes:
            if _is_lfs_pointer(file):
                raise BundleError(_lfs_advice(file))
            raise BundleError(
                f"{file}: {size} bytes, the manifest says {entry.bytes}; the copy is incomplete or the file was changed"
            )
    return Bundle(folder, manifest)


def looks_like_checkpoint(folder: Path) -> bool:
    """Whether a folder holds PyTorch or safetensors weights."""
    if not folder.is_dir():
        return folder.suffix in (".pt", ".pth", ".safetensors")
    return any(next(folder.glob(pattern), None) for pattern in ("*.pt", "*.pth", "*.safetensors", "*/*.pt"))


def _is_lfs_pointer(file: Path) -> bool:
    with file.open("rb") as stream:
        return stream.read(len(LFS_POINTER)) == LFS_POINTER.encode()


def _lfs_advice(file: Path) -> str:
    return (
        f"{file}: a git-lfs pointer in place of the file; fetch the files of the clone with\n"
        f"  git -C {shlex.quote(str(file.parent))} lfs pull"
    )


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
