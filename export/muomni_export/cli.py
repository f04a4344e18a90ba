"""``muomni-export``: parse, call, print."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from muomni.cli.common import new_app, reporting, start, version_option
from muomni.cli.console import Console
from muomni.errors import MissingPackageError

from .output_folder import ended_by_signals

COMMAND = "muomni-export"
CONVERT = "convert"  # the default command: its name can be left out
COMMANDS = (CONVERT, "verify", "random")
SIZES = "tiny (the reference's sizes), micro, x4 or x16"

app = new_app()
Weights = Annotated[
    str, typer.Option(help="Where a file has both: those of the last step (model), or their averages (ema).")
]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=version_option(COMMAND), is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Convert a μOmni checkpoint to an ONNX bundle:

    \b
    muomni-export CHECKPOINT --out BUNDLE
    """


@app.command(CONVERT, short_help="Convert a checkpoint; this word can be left out.")
def convert(
    checkpoint: Annotated[
        Path, typer.Argument(help="omni_sft_* folder, stage folder, or folder with model.safetensors.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the bundle.")],
    config: Annotated[Path | None, typer.Option(help="Config to read instead of the one found.")] = None,
    device: Annotated[
        str,
        typer.Option(
            metavar="cpu|cuda",
            help="What it is to run on; for cuda the decoders (thinker, talker, ocr) compute in float16.",
        ),
    ] = "cpu",
    precision: Annotated[
        str | None,
        typer.Option(
            help="fp32, fp16, int8, int4; or a default with exceptions: int8,thinker=int4. Without it fp32; for cuda "
            "fp16, and a default is the decoders' alone."
        ),
    ] = None,
    draft_head: Annotated[
        bool,
        typer.Option(
            "--draft-head",
            help="Draft the Thinker's logits in 4 bits, compute the likeliest exactly: faster greedy decoding.",
        ),
    ] = False,
    only: Annotated[
        str, typer.Option(help="Stages to export, such as thinker,vision; the others are left out.")
    ] = "",
    without: Annotated[str, typer.Option(help="Stages to leave out, such as talker.")] = "",
    weights: Weights = "model",
    force: Annotated[bool, typer.Option("--force", help="Replace a bundle that is already there.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")] = False,
    debug: Debug = False,
) -> None:
    """Convert a checkpoint to a bundle (the default: `muomni-export CHECKPOINT --out BUNDLE` is enough)."""
    console = Console(COMMAND, quiet)
    with reporting(console, debug), ended_by_signals():
        export = _exporter()
        from .checkpoint.selection import Selection

        selection = Selection.of(_names(only), _names(without), weights)
        begin = time.perf_counter()

        def progress(line: str) -> None:
            console.note(f"{time.perf_counter() - begin:6.1f} s  {line}")

        report = export.export_bundle(
            checkpoint, out, config, precision, force, progress, draft_head, selection, device
        )
        if quiet:
            return
        console.answer(
            f"{'stage':<14}{'parameters':>12}{'as':>6}{'size':>12}{'error':>10}{'same best':>11}{'time':>8}"
        )
        for row in report.rows:
            entry = row.entry
            agreement = "" if entry.agreement is None else f"{entry.agreement:.1%}"
            console.answer(
                f"{row.graph:<14}{entry.parameters:>12,}{entry.precision:>6}{_size(row.bytes):>12}"
                f"{entry.max_error:>10.1e}{agreement:>11}{row.seconds:>6.1f} s"
            )
        console.answer(f"{report.folder}: {_size(report.total_bytes)} in all")


@app.command(short_help="Check a bundle's files and graphs.")
def verify(
    bundle: Annotated[Path, typer.Argument(help="Folder of a bundle.")],
    checkpoint: Annotated[
        Path | None, typer.Option(help="The checkpoint it was made from: compare with its torch modules.")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="Config of that checkpoint.")] = None,
    weights: Weights = "model",
    debug: Debug = False,
) -> None:
    """Check every hash, and every graph against what torch computed at export.

    With --checkpoint the torch modules are built again and compared on all inputs, as the export does.
    """
    console = Console(COMMAND)
    with reporting(console, debug):
        from .verify import verify_bundle

        rows = verify_bundle(bundle, checkpoint, config, weights)
        console.answer(f"{'graph':<14}{'error now':>11}{'at export':>11}{'tolerance':>11}")
        for row in rows:
            console.answer(
                f"{row.graph:<14}{row.error:>11.1e}{row.error_at_export:>11.1e}{row.tolerance:>11.1e}"
            )
        against = "its recording" if checkpoint is None else str(checkpoint)
        console.answer(f"{bundle}: all files and graphs are as exported (compared with {against})")


@app.command("random", short_help="Write a checkpoint set with random weights.")
def random_set(
    folder: Annotated[Path, typer.Argument(help="New folder for checkpoints/ and configs/.")],
    size: Annotated[str, typer.Option(help=SIZES)] = "tiny",
    seed: Annotated[int, typer.Option(help="Of the random weights.")] = 0,
    debug: Debug = False,
) -> None:
    """Write a checkpoint set with random weights, for tests and benchmarks; prints its omni folder."""
    console = Console(COMMAND)
    with reporting(console, debug), ended_by_signals():
        _exporter()
        from .synthetic.checkpoint_set import write_random_set

        console.answer(str(write_random_set(folder, size, seed=seed)))


def _exporter() -> Any:
    try:
        from . import export
    except ModuleNotFoundError as error:
        raise MissingPackageError(
            f'the package {error.name!r} is missing; exporting needs\n  pip install "muomni[export,cpu]"'
        ) from error
    return export


def _names(text: str) -> tuple[str, ...]:
    return tuple(name for part in text.split(",") if (name := part.strip()))


def _size(count: int) -> str:
    return f"{count / 1e6:.2f} MB"


def main(arguments: Sequence[str] | None = None) -> None:
    """The console script: exit code 0, 1 for a failed run, 2 for wrong usage."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given and not {given[0]} & {*COMMANDS, "-h", "--help", "--version"}:
        given = [CONVERT, *given]
    start(app, COMMAND, given or ["--help"])


if __name__ == "__main__":
    main()
