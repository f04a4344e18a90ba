"""Every block of the documentation that can run is run, in the order of its page, and prints what the page says."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from tests.docs.blocks import RUNNABLE, Block, blocks_of, commands_of, same

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
SAMPLES = ROOT / "checkpoints" / "demo" / "samples"
DEVICES = Path(__file__).parent / "devices"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
NEED_TORCH = {"how-to/cuda.md", "how-to/export.md", "how-to/precision.md"}
# Blocks that are left out, by page: a new one is noticed here.
NOT_RUN = {
    "README.md": 4,
    "how-to/cluster.md": 4,
    "how-to/cuda.md": 3,
    "how-to/deploy.md": 1,
    "how-to/export.md": 1,
    "index.md": 1,
    "serving.md": 4,
    "troubleshooting.md": 1,
}


def name_of(page: Path) -> str:
    return page.relative_to(DOCS if page.is_relative_to(DOCS) else ROOT).as_posix()


def marked(page: Path) -> Any:
    return pytest.param(
        page, id=name_of(page), marks=[pytest.mark.slow] if name_of(page) in NEED_TORCH else []
    )


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the demo's samples, and as in a clone ``checkpoints``.

    The commands are on the path there, and nobody's own settings count.
    """
    for sample in SAMPLES.iterdir():
        shutil.copy(sample, tmp_path)
    (tmp_path / "checkpoints").symlink_to(ROOT / "checkpoints")
    monkeypatch.chdir(tmp_path)
    for name in ("MUOMNI_MODEL", "MUOMNI_THREADS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.syspath_prepend(str(DEVICES))
    return tmp_path


@pytest.mark.parametrize(
    "page", [marked(page) for page in PAGES if any(b.kind in RUNNABLE for b in blocks_of(page))]
)
def test_the_blocks_of_a_page_run(page: Path, desk: Path) -> None:
    if name_of(page) in NEED_TORCH:
        pytest.importorskip("torch")
    names: dict[str, Any] = {"__name__": "__main__"}
    for block in blocks_of(page):
        place = f"{name_of(page)}:{block.line}"
        if block.title is not None:
            (desk / block.title).write_text(block.body, encoding="utf-8")
        if block.not_run is not None:
            continue
        if block.kind == "python" and block.title is None:
            run_python(block, names, place)
        elif block.kind in {"bash", "console"}:
            for command, printed in commands_of(block):
                run_command(command, printed, place)


def run_python(block: Block, names: dict[str, Any], place: str) -> None:
    out = io.StringIO()
    code = compile(
        "\n" * (block.line - 1) + block.body, place, "exec"
    )  # tracebacks then name the page's line
    with redirect_stdout(out):
        exec(code, names)
    if block.printed is not None:
        assert same(block.printed, out.getvalue()), f"{place} printed\n{out.getvalue()}"


def run_command(command: str, printed: str | None, place: str) -> None:
    assert re.match(r"(muomni-\w+|python \S+\.py)\b", command), f"{place}: no command of muomni: {command}"
    result = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        timeout=600,
    )
    assert result.returncode == 0, f"{place}: {command}\n{result.stderr}"
    if printed is not None:
        assert same(printed, result.stdout), f"{place}: {command} printed\n{result.stdout}"


def test_no_block_is_left_out_unnoticed() -> None:
    left_out = Counter(name_of(page) for page in PAGES for block in blocks_of(page) if block.not_run)
    assert left_out == NOT_RUN


def test_every_fence_is_a_block_that_was_found() -> None:
    assert len(PAGES) > 5
    for page in PAGES:
        fences = len(re.findall(r"^\s*```", page.read_text(encoding="utf-8"), re.MULTILINE))
        taken = sum(2 + 2 * (block.printed is not None) for block in blocks_of(page))
        assert taken == fences, page


def test_the_table_of_rooms_is_the_one_the_boundaries_are_tested_by() -> None:
    from tests.runtime.test_boundaries import ROOMS

    text = (DOCS / "architecture.md").read_text(encoding="utf-8")
    section = text.partition("## Rooms")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`[^|]+`) \|", section, re.MULTILINE)
    assert tuple(tuple(re.findall(r"`(\w+)`", row)) for row in rows) == ROOMS


def keys_told(section: str) -> set[str]:
    """The keys in the table of a section of the page on JSON."""
    text = (DOCS / "reference" / "json.md").read_text(encoding="utf-8")
    rows = re.findall(
        r"^\| (`[^|]+) \|", text.partition(f"## {section}\n")[2].partition("\n## ")[0], re.MULTILINE
    )
    return {key for row in rows for key in re.findall(r"`(\w+)`", row)}


def test_the_keys_of_the_json_are_all_explained() -> None:
    import numpy as np

    from muomni import Reply, Speech, TokenLogprob
    from muomni.jsonl.replies import reply_object

    speech = Speech(np.zeros(1, dtype=np.float32), 16_000, np.zeros((1, 2), dtype=np.int64))
    printed = reply_object(Reply("", (1,), "stop", speech=speech, logprobs=(TokenLogprob(1, 0.0),)))
    assert set(printed) <= keys_told("A reply")
    assert set(printed["speech"]) == keys_told("Speech")


def test_the_keys_of_a_request_are_all_explained() -> None:
    from muomni.jsonl.requests import KINDS

    assert keys_told("A request of `--batch`") == {"id", *KINDS}


def test_the_container_file_names_what_exists() -> None:
    """Every instruction is one of Docker's, and packages, extras, commands and variables are ours."""
    (block,) = [block for block in blocks_of(DOCS / "how-to" / "deploy.md") if block.kind == "dockerfile"]
    lines = [line for line in block.body.replace("\\\n", " ").splitlines() if line.strip()]
    words = [line.split(maxsplit=1) for line in lines]
    assert words[0][0] == "FROM"
    assert {name for name, _ in words} <= {
        "FROM",
        "RUN",
        "COPY",
        "ENV",
        "USER",
        "ENTRYPOINT",
        "CMD",
        "WORKDIR",
    }
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = re.findall(r"muomni\[(\w+)\]", block.body)
    assert extras and set(extras) <= set(project["optional-dependencies"])
    python = re.search(r"^FROM python:(\d+)\.(\d+)-slim$", lines[0])
    assert python and (int(python[1]), int(python[2])) >= (3, 11)
    commands = set(re.findall(r"\bmuomni-\w+", block.body))
    assert commands == {"muomni-doctor", "muomni-run"} <= set(project["scripts"])
    entry = next(rest for name, rest in words if name == "ENTRYPOINT")
    assert json.loads(entry) == ["muomni-run"]
    used = set(re.findall(r"\b(MUOMNI_\w+)=", block.body))
    sources = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "runtime").rglob("*.py"))
    assert used and all(f'"{name}"' in sources for name in used)
