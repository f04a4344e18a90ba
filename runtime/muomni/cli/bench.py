"""``muomni-bench``: how fast a bundle runs on this machine, and how close that is to what the machine can do."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from muomni.bundle.demo import demo_bundle
from muomni.errors import InputError, OutputError

from .common import new_app, reporting, start, version_option
from .console import Console
from .options import Debug, Device, Model, Quiet, Threads
from .streams import is_stdout

COMMAND = "muomni-bench"

app = new_app()


@app.command()
def bench(
    model: Model = None,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds that count, after one that warms up.")] = 5,
    device: Device = "auto",
    threads: Threads = None,
    against: Annotated[
        str | None, typer.Option(metavar="torch", help="Compare with this, in the same rounds.")
    ] = None,
    checkpoint: Annotated[
        Path | None, typer.Option(metavar="CKPT", help="For --against: the checkpoint of the bundle.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the result here too, as JSON.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document, not a table.")] = False,
    quiet: Quiet = False,
    debug: Debug = False,
    version: Annotated[
        bool,
        typer.Option("--version", callback=version_option(COMMAND), is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Measure a bundle: start, every stage, decode rate, speech, memory, and the limit of this machine."""
    console = Console(COMMAND, quiet)
    with reporting(console, debug):
        if (against is None) != (checkpoint is None):
            raise InputError("--against NAME and --checkpoint CKPT go together")
        if out is not None:
            _check_out(out)
        from muomni.bench.report import measure, table

        result = measure(
            model or demo_bundle(),
            device=device,
            threads=threads,
            rounds=rounds,
            against=against,
            checkpoint=checkpoint,
            progress=console.note,
        )
        if out is not None:
            try:
                out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
            except OSError as error:
                raise OutputError(f"{out}: cannot be written ({error.strerror})") from error
        if as_json:
            console.answer_json(result)
        else:
            console.answer("\n".join(table(result)))


def _check_out(out: Path) -> None:
    """Refuse before minutes of measuring what is sure to fail after them."""
    if is_stdout(out):
        raise InputError("--out names a file; --json writes to stdout")
    if out.is_dir() or not out.parent.is_dir():
        raise OutputError(f"{out}: expected a file in a folder that is there")


def main(arguments: Sequence[str] | None = None) -> None:
    """The console script."""
    start(app, COMMAND, arguments)


if __name__ == "__main__":
    main()
