"""Word lists of languages, from Debian's packages."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path("/usr/share/dict")


def word_list(name: str, package: str) -> list[str]:
    """The words of a list, as it has them.

    Raises:
        FileNotFoundError: It is not installed; says which package has it.
    """
    path = FOLDER / name
    if not path.is_file():
        raise FileNotFoundError(f"{path} not found: install a word list (Debian: apt install {package})")
    return path.read_text(encoding="utf-8").split()
