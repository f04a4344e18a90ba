"""The table of ONNX Runtime's CUDA kernels that graphs for CUDA are held to: how it is made, and how it is asked.

To refresh it, on a machine with ``onnxruntime-gpu`` and the libraries that it loads (CUDA, cuDNN; TensorRT's too, where
the wheel has that provider)::

    python tests/export/cuda_kernels.py

It is read from the wheel itself, which has the same facts as docs/OperatorKernels.md of ONNX Runtime's repository.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TABLE = Path(__file__).with_suffix(".json")
CUDA = "CUDAExecutionProvider"
LAST = 2**31 - 1  # as ONNX Runtime writes "and later"
TYPES = ("float", "float16", "double", "int32", "int64", "uint8", "bool")
"""Those that the graphs have; the table leaves the others out."""


@dataclass(frozen=True)
class Kernel:
    """A kernel takes nodes whose operator was last changed in opset ``first`` to ``last``.

    ``types`` has what each type variable of the operator may be.
    """

    first: int
    last: int
    types: dict[str, frozenset[str]]

    def takes(self, since: int, types: dict[str, str]) -> bool:
        return self.first <= since <= self.last and all(
            types[name] in allowed for name, allowed in self.types.items() if name in types
        )


def kernels() -> dict[str, list[Kernel]]:
    """Of each operator ("com.microsoft.Gelu"), its kernels."""
    table = json.loads(TABLE.read_text(encoding="utf-8"))["kernels"]
    return {operator: [_kernel(text) for text in rows] for operator, rows in table.items()}


def _kernel(text: str) -> Kernel:
    """Such as ``13+ T=float,float16 Tind=int64``."""
    versions, *variables = text.split()
    first, _, last = versions.rstrip("+").partition("-")
    pairs = (variable.split("=") for variable in variables)
    end = LAST if versions.endswith("+") else int(last or first)
    return Kernel(int(first), end, {name: frozenset(types.split(",")) for name, types in pairs})


def _rows(definition: Any) -> Iterator[str]:
    first, last = definition.version_range
    versions = f"{first}+" if last == LAST else f"{first}-{last}"
    variables = []
    for name, allowed in sorted(definition.type_constraints.items()):
        kept = [t for t in TYPES if f"tensor({t})" in allowed]
        if not kept:
            return  # a kernel for types that no graph here has
        variables.append(f"{name}={','.join(kept)}")
    yield " ".join([versions, *variables])


def _together(rows: set[str]) -> list[str]:
    """Rows that differ in the types of their only variable as one."""
    types: dict[str, list[str]] = {}
    for row in sorted(rows):
        beginning, _, last = row.rpartition("=")
        types.setdefault(beginning if row.count("=") == 1 else row, []).append(last)
    return [row if row.count("=") > 1 else f"{row}={','.join(last)}" for row, last in types.items()]


def write(operators: set[str]) -> None:
    """Read the table of the installed ONNX Runtime, for the operators that it has now and these."""
    import onnxruntime
    from onnxruntime.capi import _pybind_state

    found: dict[str, set[str]] = {}
    for definition in _pybind_state.get_all_opkernel_def():
        operator = f"{definition.domain}.{definition.op_name}".lstrip(".")
        if definition.provider == CUDA and operator in operators:
            found.setdefault(operator, set()).update(_rows(definition))
    assert found, f"this ONNX Runtime has no {CUDA}"
    table = {
        "source": f"onnxruntime-gpu {onnxruntime.__version__}, get_all_opkernel_def()",
        "read_on": datetime.date.today().isoformat(),
        "kernels": {operator: _together(rows) for operator, rows in sorted(found.items())},
    }
    TABLE.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write(set(json.loads(TABLE.read_text(encoding="utf-8"))["kernels"]))
