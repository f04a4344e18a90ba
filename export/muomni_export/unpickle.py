"""What ``torch.save`` wrote, without ever running what is in it.

Training scripts save more than weights: numpy scalars, an ``argparse.Namespace``, paths, random states, a config of a
class of their own. None of it is needed, and none of it is made: :class:`Skipped` stands in its place, which does
nothing. A function that a file asks to call is refused.
"""

from __future__ import annotations

import pickletools
import re
import warnings
from pathlib import Path
from typing import Any

import torch

from muomni.errors import CheckpointError

ZIP_HEADER, PICKLE_HEADER = b"PK\x03\x04", b"\x80"
FORBIDDEN_GLOBAL = re.compile(r"(?:Unsupported global: GLOBAL|unsupported GLOBAL) (\S+)")
UNPICKLER_REASON = re.compile(r"WeightsUnpickler error: (.*)")  # follows advice that is not for our readers
RAW_PICKLE_SCAN_BYTES = 1 << 20
MOST_SKIPPED = 200  # kinds of objects in one file

DATA_MODULES = re.compile(
    r"(?:numpy|argparse|pathlib|datetime|random|enum|decimal|fractions|uuid|omegaconf|collections|types"
    r"|torch\.optim|torch\.distributed\.fsdp)\."
)
"""Modules whose functions only make values."""
DATA_BUILTINS = {
    *(
        "bool",
        "bytearray",
        "bytes",
        "complex",
        "dict",
        "float",
        "frozenset",
        "int",
        "list",
        "object",
        "range",
    ),
    *("set", "slice", "str", "tuple"),
}
RECONSTRUCTORS = {"copyreg._reconstructor", "copy_reg._reconstructor"}
FILLED = re.compile(r"Can only (append|extend|SETITEMS?) .* got <class '[\w.]*Skipped ([\w.]+)'>", re.DOTALL)
"""What torch says of a stand-in that the file goes on to fill with values."""


class Skipped:
    """Stands for an object that is not needed; takes whatever it is given and does nothing."""

    kind = ""
    """Full name of its class."""
    is_module = False
    """Whether it holds the parts of a torch module."""

    def __new__(cls, *arguments: object, **named: object) -> Skipped:
        return super().__new__(cls)

    def __init__(self, *arguments: object, **named: object) -> None:
        return

    def __setstate__(self, state: object) -> None:
        self.is_module = isinstance(state, dict) and "_parameters" in state

    def __hash__(self) -> int:
        return id(self)


def read_torch_file(path: Path, head: bytes) -> dict[str, Any]:
    """What ``torch.save`` wrote: a dictionary, with its tensors on the CPU and memory-mapped where possible.

    Args:
        head: the first bytes of the file.

    Raises:
        CheckpointError: a truncated or foreign file; one that asks to run code; one that holds something else than
            a dictionary, or a whole module in it.
    """
    try:
        loaded = _load(path, head)
    except Exception as error:  # a hostile pickle can raise anything
        raise CheckpointError(_why_not_loaded(path, head, error)) from error
    if not isinstance(loaded, dict):
        kind = loaded.kind if isinstance(loaded, Skipped) else type(loaded).__name__
        raise CheckpointError(f"{path}: expected a dictionary of weights, got {kind}")
    for key, value in loaded.items():
        if isinstance(value, Skipped) and value.is_module:
            raise CheckpointError(
                f"{path}: refused: {key} is a whole module ({value.kind}), which only its own code can read; save "
                'state dicts where it was trained: torch.save({"model": model.state_dict()}, ...)'
            )
    foreign = next((key for key in loaded if not isinstance(key, str)), None)
    if foreign is not None:
        raise CheckpointError(f"{path}: expected names as keys, got the key {foreign!r}")
    return loaded


def _load(path: Path, head: bytes) -> Any:
    """Load, each time with one more stand-in, until nothing unknown is asked for or something is refused."""
    stand_ins: dict[str, Any] = {}
    while True:
        known: list[Any] = [(stand_in, name) for name, stand_in in stand_ins.items()]
        try:
            with warnings.catch_warnings(), torch.serialization.safe_globals(known):
                warnings.simplefilter(
                    "ignore"
                )  # torch's remarks on pickle protocols would follow our own error
                return torch.load(
                    path, map_location="cpu", weights_only=True, mmap=head.startswith(ZIP_HEADER)
                )
        except Exception as error:
            filled = FILLED.search(str(error))
            if filled is not None and filled[2] in stand_ins:
                stand_ins[filled[2]] = _mapping if filled[1].startswith("SETITEM") else _sequence
                continue
            asked = FORBIDDEN_GLOBAL.search(str(error))
            name = _full_name(asked[1]) if asked else ""
            if not is_data(name) or name in stand_ins or len(stand_ins) > MOST_SKIPPED:
                raise
            stand_ins[name] = type(f"Skipped {name}", (Skipped,), {"kind": name})


def _mapping(*arguments: object) -> dict[Any, Any]:
    """Stands for a class of mappings, such as ``defaultdict``."""
    return {}


def _sequence(*arguments: object) -> list[Any]:
    """Stands for a class of lists, such as ``deque``."""
    return []


def _full_name(name: str) -> str:
    return name if "." in name else f"builtins.{name}"


def is_data(name: str) -> bool:
    """Whether a name in a pickle is that of a class or of a value's maker, and not of a function that does things."""
    module, _, last = name.rpartition(".")
    if module == "builtins":
        return last in DATA_BUILTINS
    if any(part[:1].isupper() for part in module.split(".")):
        return False  # a method of a class
    return name in RECONSTRUCTORS or bool(DATA_MODULES.match(name)) or last.lstrip("_")[:1].isupper()


def _why_not_loaded(path: Path, head: bytes, error: Exception) -> str:
    text = str(error)
    if "TorchScript" in text:
        return f"{path}: expected a state dict, got a TorchScript archive; save model.state_dict() instead"
    if "torch.distributed" in text and "DTensor" in text:
        return (
            f"{path}: its weights are divided among processes (DTensor); gather them where it was trained, with "
            "torch.distributed.checkpoint.state_dict.get_model_state_dict(model, "
            "options=StateDictOptions(full_state_dict=True))"
        )
    asked = FORBIDDEN_GLOBAL.search(text)
    name = asked.group(1) if asked else _first_global(path) if head.startswith(PICKLE_HEADER) else None
    if name is not None and not is_data(_full_name(name)):
        return (
            f"{path}: refused: the file asks to run code (global {name}); a checkpoint holds tensors and "
            "plain values only. If it is your own, save it again where it was trained, with its state dicts "
            "alone: "
            'torch.save({"model": model.state_dict()}, ...)'
        )
    kind = "truncated or damaged" if head.startswith((ZIP_HEADER, PICKLE_HEADER)) else "truncated or not"
    kind += " torch file" if kind.endswith("damaged") else " a torch file"
    return f"{path}: {kind} ({type(error).__name__}: {_reason(error)}); copy or download it again"


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


def _reason(error: Exception) -> str:
    text = str(error).strip()
    reason = UNPICKLER_REASON.search(text)
    if reason is None and text.startswith("Weights only load failed"):
        return "not a pickle of tensors and plain values"
    lines = [reason[1]] if reason else text.splitlines()
    return lines[0][:200] if lines else type(error).__name__
