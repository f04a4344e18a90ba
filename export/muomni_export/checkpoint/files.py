"""Files into Python objects, without ever running what is in them: torch pickles, safetensors, JSON."""

from __future__ import annotations

import json
import pickletools
import re
import warnings
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from muomni.errors import CheckpointError

GIT_LFS_HEADER = b"version https://git-lfs"
ZIP_HEADER, PICKLE_HEADER = b"PK\x03\x04", b"\x80"
FORBIDDEN_GLOBAL = re.compile(r"(?:Unsupported global: GLOBAL|unsupported GLOBAL) (\S+)")
UNPICKLER_REASON = re.compile(r"WeightsUnpickler error: (.*)")  # follows advice that is not for our readers
RAW_PICKLE_SCAN_BYTES = 1 << 20


def read_torch_file(path: Path) -> dict[str, Any]:
    """What ``torch.save`` wrote: a dictionary, with its tensors on the CPU and memory-mapped where possible.

    Only tensors, containers and plain values are unpickled; nothing in the file can run.

    Raises:
        CheckpointError: a missing, empty, truncated or foreign file; one that asks for other objects or code;
            one that holds something else than a dictionary.
    """
    head = _head(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's remarks on pickle protocols would follow our own error
            loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=head.startswith(ZIP_HEADER))
    except Exception as error:  # a hostile pickle can raise anything
        raise CheckpointError(_why_not_loaded(path, head, error)) from error
    if not isinstance(loaded, dict):
        raise CheckpointError(f"{path}: expected a dictionary of weights, got {type(loaded).__name__}")
    foreign = next((key for key in loaded if not isinstance(key, str)), None)
    if foreign is not None:
        raise CheckpointError(f"{path}: expected names as keys, got the key {foreign!r}")
    return loaded


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file by name, on the CPU.

    Raises:
        CheckpointError: missing, empty, truncated or foreign file.
    """
    _head(path)
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a mapping)
    except (SafetensorError, OSError, ValueError, RuntimeError, KeyError, AttributeError) as error:
        raise CheckpointError(
            f"{path}: truncated or not a safetensors file ({_one_line(error)}); copy or download it again"
        ) from error


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object.

    Raises:
        CheckpointError: missing file, not JSON, or not an object.
    """
    _head(path)
    try:
        loaded = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, OSError, RecursionError) as error:
        raise CheckpointError(f"{path}: not a JSON file ({_one_line(error)})") from error
    if not isinstance(loaded, dict):
        raise CheckpointError(f"{path}: expected a JSON object, got {type(loaded).__name__}")
    return loaded


def _head(path: Path) -> bytes:
    """First bytes of the file; refuses what is no file, empty, or a pointer left by git-lfs."""
    try:
        with path.open("rb") as file:
            head = file.read(64)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror or error})") from error
    if not head:
        raise CheckpointError(f"{path}: the file is empty; copy or download it again")
    if head.startswith(GIT_LFS_HEADER):
        raise CheckpointError(f"{path}: only a git-lfs pointer, not the file; fetch it with `git lfs pull`")
    return head


def _why_not_loaded(path: Path, head: bytes, error: Exception) -> str:
    text = str(error)
    if "TorchScript" in text:
        return f"{path}: expected a state dict, got a TorchScript archive; save model.state_dict() instead"
    asked = FORBIDDEN_GLOBAL.search(text)
    name = asked.group(1) if asked else _first_global(path) if head.startswith(PICKLE_HEADER) else None
    if name is not None:
        return (
            f"{path}: refused: the file asks to run code (global {name}); a checkpoint holds tensors and "
            "plain values only. If it is your own, save it again where it was trained, with its state dicts "
            "alone: "
            'torch.save({"model": model.state_dict()}, ...)'
        )
    kind = "truncated or damaged" if head.startswith((ZIP_HEADER, PICKLE_HEADER)) else "truncated or not"
    kind += " torch file" if kind.endswith("damaged") else " a torch file"
    return f"{path}: {kind} ({type(error).__name__}: {_one_line(error)}); copy or download it again"


def _first_global(path: Path) -> str | None:
    """The first object a raw pickle asks for, found by reading its opcodes (which runs nothing)."""
    strings: list[str] = []
    try:
        with path.open("rb") as file:
            for opcode, argument, _ in pickletools.genops(file.read(RAW_PICKLE_SCAN_BYTES)):
                if opcode.name == "GLOBAL":
                    return str(argument).replace(" ", ".")
                if opcode.name == "STACK_GLOBAL":
                    return ".".join(strings[-2:])
                if isinstance(argument, str):
                    strings.append(argument)
    except Exception:  # the pickle ends or breaks before it asks for anything
        return None
    return None


def _one_line(error: Exception) -> str:
    text = str(error).strip()
    reason = UNPICKLER_REASON.search(text)
    if reason is None and text.startswith("Weights only load failed"):
        return "not a pickle of tensors and plain values"
    lines = [reason[1]] if reason else text.splitlines()
    return lines[0][:200] if lines else type(error).__name__
