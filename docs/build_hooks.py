"""What MkDocs calls while it builds: the help of each command, as the command prints it.

``<!-- help: muomni-run -->`` in a page becomes that text, so that no page can differ from the program.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

PLACE = re.compile(r"<!-- help: ([\w -]+?) -->")


@cache
def scripts() -> dict[str, str]:
    """Entry point of each command, "module:function", from pyproject.toml."""
    project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
    return dict(project["scripts"])


def help_of(command: str) -> str:
    """What ``command --help`` prints; ``command`` may name a sub-command."""
    name, *words = command.split()
    module, _, function = scripts()[name].partition(":")
    code = f"from {module} import {function}; {function}()"
    arguments = [sys.executable, "-c", code, *words, "--help"]
    return subprocess.run(arguments, capture_output=True, text=True, check=True).stdout.strip()


def on_page_markdown(markdown: str, **_: Any) -> str:
    """MkDocs: a page, before it is converted."""
    return PLACE.sub(lambda place: f"```text\n{help_of(place[1])}\n```", markdown)
