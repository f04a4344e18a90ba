"""``muomni-export``: parse, call, print."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

import muomni
from muomni.errors import InputError, MissingPackageError, MuomniError

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Convert a μOmni checkpoint to an ONNX bundle: muomni-export CHECKPOINT --out BUNDLE",
    no_args_is_help=True,
)
DEFAULT_COMMAND = "convert"
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


@app.command(DEFAULT_COMMAND)
def convert(
    checkpoint: Annotated[
        Path, typer.Argument(help="omni_sft_* folder, stage folder, or folder with model.safetensors.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the bundle.")],
    config: Annotated[Path | None, typer.Option(help="Config to read instead of the one found.")] = None,
    precision: Annotated[
        str, typer.Option(help="fp32, fp16, int8, int4; or with exceptions: int8,thinker=int4.")
    ] = "fp32",
    force: Annotated[bool, typer.Option("--force", help="Replace a bundle that is already there.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")] = False,
    debug: Debug = False,
) -> None:
    """Convert a checkpoint to a bundle (the default command: its name can be left out)."""
    export = _exporter()
    start = time.perf_counter()

    def progress(line: str) -> None:
        if not quiet:
            typer.echo(f"[{time.perf_counter() - start:6.1f} s] {line}", err=True)

    report = export.export_bundle(checkpoint, out, config, precision, force, progress)
    if quiet:
        return
    typer.echo(
        f"{'stage':<14}{'parameters':>12}{'as':>6}{'size':>12}{'error':>10}{'same best':>11}{'time':>8}"
    )
    for row in report.rows:
        entry = row.entry
        agreement = "" if entry.agreement is None else f"{entry.agreement:.1%}"
        typer.echo(
            f"{row.graph:<14}{entry.parameters:>12,}{entry.precision:>6}{_size(row.bytes):>12}"
            f"{entry.max_error:>10.1e}{agreement:>11}{row.seconds:>6.1f} s"
        )
    typer.echo(f"{report.folder}: {_size(report.total_bytes)} in all")


@app.command()
def verify(
    bundle: Annotated[Path, typer.Argument(help="Folder of a bundle.")],
    checkpoint: Annotated[
        Path | None, typer.Option(help="The checkpoint it was made from: compare with its torch modules.")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="Config of that checkpoint.")] = None,
    debug: Debug = False,
) -> None:
    """Check every hash, and every graph against what torch computed at export.

    With --checkpoint the torch modules are built again and compared on all inputs, as the export does.
    """
    from .verify import verify_bundle

    rows = verify_bundle(bundle, checkpoint, config)
    typer.echo(f"{'graph':<14}{'error now':>11}{'at export':>11}{'tolerance':>11}")
    for row in rows:
        typer.echo(f"{row.graph:<14}{row.error:>11.1e}{row.error_at_export:>11.1e}{row.tolerance:>11.1e}")
    against = "its recording" if checkpoint is None else str(checkpoint)
    typer.echo(f"{bundle}: all files and graphs are as exported (compared with {against})")


@app.command("random")
def random_set(
    folder: Annotated[Path, typer.Argument(help="Folder to write checkpoints/ and configs/ into.")],
    size: Annotated[str, typer.Option(help="tiny (the reference's sizes), micro, x4 or x16.")] = "tiny",
    seed: Annotated[int, typer.Option(help="Of the random weights.")] = 0,
    debug: Debug = False,
) -> None:
    """Write a checkpoint set with random weights, for tests and benchmarks."""
    _exporter()
    from .random_set import write_random_set

    typer.echo(str(write_random_set(folder, size, seed=seed)))


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(f"muomni {muomni.__version__}")


def _exporter() -> Any:
    try:
        from . import export
    except ModuleNotFoundError as error:
        raise MissingPackageError(
            f'the package {error.name!r} is missing; exporting needs\n  pip install "muomni[export,cpu]"'
        ) from error
    return export


def _size(count: int) -> str:
    return f"{count / 1e6:.2f} MB"


def main() -> None:
    """Entry point: exit code 0, 1 for a failed run, 2 for wrong usage."""
    arguments = sys.argv[1:]
    commands = {command.name for command in app.registered_commands}
    commands |= {command.callback.__name__ for command in app.registered_commands if command.callback}
    if arguments == ["--version"]:
        arguments = ["version"]
    elif arguments and arguments[0] not in commands | {"--help"}:
        arguments = [DEFAULT_COMMAND, *arguments]
    try:
        app(arguments)
    except MuomniError as error:
        if "--debug" in arguments:
            raise
        typer.echo(f"muomni-export: error: {error}", err=True)
        raise SystemExit(2 if type(error) is InputError else 1) from None
    except KeyboardInterrupt:
        typer.echo("muomni-export: interrupted; nothing was written", err=True)
        raise SystemExit(130) from None


if __name__ == "__main__":
    main()
