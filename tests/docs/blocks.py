"""The fenced blocks of a page, and what is to become of each.

- ``python`` is executed; ``bash`` and ``console`` are run by a shell, every command of them one of muomni's. In a
  ``console`` block the lines after ``$ command`` are what it prints to stdout.
- ``text`` right below a block that was run is what that block prints. ``…`` in it stands for anything.
- A block with a title is written to a file of that name; then it can be used by those below it.
- ``<!-- not run: reason -->`` right above a block leaves it out. So do the README's ``<!-- main command -->`` and
  ``<!-- test command -->``, which ``tests/end_to_end`` and ``.ci/run`` try.
- Anything else (TOML, JSON, a picture in letters) is there to be read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

FENCE = re.compile(
    r"(?:^<!-- (?:not run: )?(?P<reason>(?<=not run: ).+?|main command|test command) -->\n+)?"
    r"^```(?P<kind>\w*)(?: title=\"(?P<title>[^\"]+)\")?\n(?P<body>.*?)^```$(?P<gap>\n*)",
    re.MULTILINE | re.DOTALL,
)
RUNNABLE = {"python", "bash", "console"}


@dataclass(frozen=True)
class Block:
    """One fenced block.

    Attributes:
        line: number of its first line in the page.
        not_run: why it is left out; None where it is not.
        printed: what it must print; None where the page does not say.
    """

    kind: str
    body: str
    line: int
    title: str | None = None
    not_run: str | None = None
    printed: str | None = None


def blocks_of(page: Path) -> list[Block]:
    """The blocks of a page in order; what a block prints is part of it."""
    text = page.read_text(encoding="utf-8")
    found: list[Block] = []
    adjacent = False
    for match in FENCE.finditer(text):
        line = text.count("\n", 0, match.start("body"))
        block = Block(match["kind"], match["body"], line + 1, match["title"], match["reason"])
        if block.kind == "text" and adjacent and found[-1].kind in {"python", "bash"}:
            found[-1] = replace(found[-1], printed=block.body)
        else:
            found.append(block)
        rest = text[match.end() :]
        adjacent = rest.startswith("```text\n")
    return found


def commands_of(block: Block) -> list[tuple[str, str | None]]:
    """Commands of a shell block, each with what it must print (None: the page does not say)."""
    body = block.body.replace("\\\n", " ")
    if block.kind == "bash":
        lines = [line for line in body.splitlines() if line.strip() and not line.startswith("#")]
        return [(line, block.printed if line == lines[-1] else None) for line in lines]
    first, *sessions = re.split(r"^\$ ", body, flags=re.MULTILINE)
    assert not first, f"line {block.line}: a console block begins with a command ($ …)"
    found = []
    for session in sessions:
        command, _, printed = session.partition("\n")
        found.append((command, printed or None))
    return found


def same(expected: str, got: str) -> bool:
    """Whether the output is the one shown, ``…`` standing for anything."""
    pattern = ".*?".join(re.escape(part) for part in expected.strip().split("…"))
    return re.fullmatch(pattern, got.strip(), re.DOTALL) is not None
