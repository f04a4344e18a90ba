"""The documentation builds without a warning, and the built pages ask no other server for anything."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from html.parser import HTMLParser
from pathlib import Path

import pytest

import muomni

ROOT = Path(__file__).parents[2]
BUILT = "MUOMNI_SITE"
"""Environment variable: pages that are built already."""


class Addresses(HTMLParser):
    """Every address in a page: what a browser fetches by itself, and where a click leads."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if name in ("href", "src", "srcset", "data") and value]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if ready := os.environ.get(BUILT):
        return Path(ready)
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert result.returncode == 0, result.stderr
    return folder


def test_no_page_needs_another_server(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 15
    for page in pages:
        addresses = Addresses()
        addresses.feed(page.read_text(encoding="utf-8"))
        assert addresses.found
        foreign = [address for address in addresses.found if re.match(r"(https?:)?//", address)]
        assert not foreign, f"{page.name} names {foreign}"
    styles = list(site.rglob("*.css"))
    assert styles
    for style in styles:
        assert not re.findall(r"url\([\"']?(?:https?:)?//", style.read_text(encoding="utf-8")), style


def test_every_public_name_is_in_the_reference(site: Path) -> None:
    text = "\n".join(page.read_text(encoding="utf-8") for page in (site / "reference").rglob("*.html"))
    names = set(re.findall(r'id="muomni\.(?:\w+\.)*(\w+)"', text))
    names |= set(re.findall(r"muomni\.(\w+)", text))  # Event is no class, and told in words
    missing = set(muomni.__all__) - names - {"__version__"}
    assert not missing


def test_every_command_has_its_help_on_the_page(site: Path) -> None:
    text = (site / "reference" / "command-line.html").read_text(encoding="utf-8")
    for command in tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]:
        assert f"Usage: {command}" in text, command
    assert "<!-- help" not in text
