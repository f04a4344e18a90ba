"""Imports inside ``muomni_export`` run one way: no circle among its folders."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import muomni_export

PACKAGE = Path(muomni_export.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
# A row imports from itself and from the rows above; rooms of one row know nothing of each other.
ROWS = (
    ("notes", "unpickle", "output_folder"),
    ("files", "modules"),
    ("onnx", "parity"),
    ("stages",),
    ("checkpoint",),
    ("synthetic", "verify", "export", "bench_torch"),
    ("cli",),
)
ROW_OF = {room: row for row, rooms in enumerate(ROWS) for room in rooms}


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imported_rooms(path: Path) -> Iterator[str]:
    """First names below ``muomni_export`` of all that a file imports, wherever it stands in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            folder = path
            for _ in range(node.level):
                folder = folder.parent
            base = ["muomni_export", *folder.relative_to(PACKAGE).parts] if node.level else []
            base += (node.module or "").split(".") if node.module else []
            names = [".".join([*base, alias.name]) for alias in node.names]
        else:
            continue
        for name in names:
            parts = name.split(".")
            if parts[0] == "muomni_export" and len(parts) > 1:
                yield parts[1]


def test_every_room_has_a_row() -> None:
    assert {room(path) for path in FILES} - {"__init__"} == set(ROW_OF)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_run_one_way(path: Path) -> None:
    own = room(path)
    wrong = {
        other
        for other in imported_rooms(path)
        if own != "__init__" and other != own and ROW_OF[other] >= ROW_OF[own]
    }
    assert not wrong, f"{path.relative_to(PACKAGE)} imports {', '.join(sorted(wrong))}"


def test_only_the_registry_lists_the_stages() -> None:
    """A new stage is a module of its own and a line in the registry: no other file names them all."""
    naming = [
        path.relative_to(PACKAGE)
        for path in FILES
        if all(f'"{stage}"' in path.read_text(encoding="utf-8") for stage in ("vision", "audio", "talker"))
    ]
    assert naming == []
