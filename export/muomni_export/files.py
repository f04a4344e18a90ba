"""Files into Python objects, without ever running what is in them: weights by torch or safetensors, JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from muomni.errors import CheckpointError

from .unpickle import PICKLE_HEADER, ZIP_HEADER, read_torch_file

GIT_LFS_HEADER = b"version https://git-lfs"
FOREIGN = (
    (b"\x1f\x8b", "a gzip archive; unpack it with `gunzip` (or `tar xzf`)"),
    (b"BZh", "a bzip2 archive; unpack it with `bunzip2`"),
    (b"\xfd7zXZ", "an xz archive; unpack it with `unxz`"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive; unpack it with `unzstd`"),
    (b"7z\xbc\xaf", "a 7z archive; unpack it"),
    (b"\x89HDF", "an HDF5 file; save the state dict with torch.save or safetensors"),
    (b"GGUF", "a GGUF file; export from the checkpoint it was made from"),
)
"""First bytes of what is sometimes found under the name of a checkpoint, and what to do with it."""
WEB_PAGE = re.compile(rb"\s*<(?:!doctype|html|head|\?xml)", re.IGNORECASE)
SAFETENSORS_HEADER = re.compile(rb"[\s\S]{8}\{", re.DOTALL)  # its length in 8 bytes, then JSON


def read_weights(path: Path) -> dict[str, Any]:
    """What a file of weights holds, by its content and not its name: of ``torch.save`` or safetensors.

    Raises:
        CheckpointError: a missing, empty, truncated or foreign file; see :func:`read_torch_file`.
    """
    return dict(read_safetensors(path)) if is_safetensors(path) else read_torch_file(path, head_of(path))


def names_in(path: Path) -> list[str]:
    """Names of what a file of weights (or the index of several) holds, without reading the weights.

    Raises:
        CheckpointError: see :func:`read_weights`.
    """
    if path.suffix == ".json":
        return list(read_json(path).get("weight_map", {}))
    if is_safetensors(path):
        try:
            with safe_open(path, framework="pt", device="cpu") as file:
                return list(file.keys())
        except SafetensorError:
            return []  # said when it is read
    payload = read_weights(path)
    inner = [key for value in payload.values() if isinstance(value, Mapping) for key in value]
    return [*payload, *map(str, inner)]


def is_safetensors(path: Path) -> bool:
    """By the content, and by the name where that does not say."""
    head = head_of(path)
    if head.startswith((ZIP_HEADER, PICKLE_HEADER)):
        return False
    return path.suffix == ".safetensors" or SAFETENSORS_HEADER.match(head) is not None


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file by name, on the CPU.

    Raises:
        CheckpointError: missing, empty, truncated or foreign file.
    """
    head_of(path)
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a mapping)
    except (SafetensorError, OSError, ValueError, RuntimeError, KeyError, AttributeError) as error:
        raise CheckpointError(
            f"{path}: truncated or not a safetensors file ({one_line(error)}); copy or download it again"
        ) from error


def read_shards(index: Path) -> dict[str, Any]:
    """All tensors of a checkpoint in several files, by the ``….safetensors.index.json`` (or of ``.bin``) beside them.

    Raises:
        CheckpointError: no index, or a file that it names is missing or lacks a tensor.
    """
    names = read_json(index).get("weight_map")
    if not isinstance(names, dict) or not all(isinstance(name, str) for name in names.values()):
        raise CheckpointError(
            f'{index}: expected a "weight_map" of tensors to files, got {type(names).__name__}'
        )
    tensors: dict[str, Any] = {}
    for name in dict.fromkeys(names.values()):
        if Path(name).name != name:
            raise CheckpointError(f"{index}: expected names of files beside it, got {name!r}")
        shard = index.with_name(name)
        if not shard.is_file():
            raise CheckpointError(f"{shard}: missing, and {index.name} names it; copy or download it, too")
        tensors |= read_weights(shard)
    missing = sorted(names.keys() - tensors.keys())
    if missing:
        raise CheckpointError(
            f"{index}: its files lack {len(missing)} tensors that it names ({missing[0]}, …); "
            "copy or download them again"
        )
    return tensors


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object.

    Raises:
        CheckpointError: missing file, not JSON, or not an object.
    """
    head_of(path)
    try:
        loaded = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, OSError, RecursionError) as error:
        raise CheckpointError(f"{path}: not a JSON file ({one_line(error)})") from error
    if not isinstance(loaded, dict):
        raise CheckpointError(f"{path}: expected a JSON object, got {type(loaded).__name__}")
    return loaded


def head_of(path: Path) -> bytes:
    """First bytes of the file; refuses what is no file, empty, or known to be something else."""
    try:
        with path.open("rb") as file:
            head = file.read(64)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror or error})") from error
    if not head:
        raise CheckpointError(f"{path}: the file is empty; copy or download it again")
    if head.startswith(GIT_LFS_HEADER):
        raise CheckpointError(f"{path}: only a git-lfs pointer, not the file; fetch it with `git lfs pull`")
    for start, what in FOREIGN:
        if head.startswith(start):
            raise CheckpointError(f"{path}: expected a file of weights, found {what}")
    if WEB_PAGE.match(head):
        raise CheckpointError(
            f"{path}: expected a file of weights, found a web page (the answer of a server that asks to log in, or "
            "has no such file); download it again"
        )
    return head


def one_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
