"""How the commands start and how they fail.

Nothing here, and nothing that a command imports at its top, loads numpy or ONNX Runtime: ``--help`` must be
instant.
"""

from __future__ import annotations

import io
import os
import sys
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click
import typer
from typer.core import TyperCommand

from muomni import __version__
from muomni.errors import ContextError, InputError, MediaError, MuomniError

from .console import Console

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as a shell reports it
EXIT_BROKEN_PIPE = 141  # 128 + SIGPIPE


class OnceCommand(TyperCommand):
    """A command that refuses an option given twice; Click would drop the first value without a word."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        _, _, order = self.make_parser(ctx).parse_args(args=list(args))
        rest = super().parse_args(ctx, args)  # first: --help and --version end here
        for parameter, count in Counter(order).items():
            if (
                isinstance(parameter, click.Option)
                and count > 1
                and not (parameter.multiple or parameter.is_flag)
            ):
                ctx.fail(f"{' / '.join(parameter.opts)} was given {count} times; give it once")
        return rest


class _App(typer.Typer):
    def command(self, *arguments: Any, **options: Any) -> Any:
        return super().command(*arguments, **{"cls": OnceCommand, **options})


def new_app() -> typer.Typer:
    """A Typer application that starts fast (no rich) and leaves errors to :func:`reporting`."""
    return _App(
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    )


def start(app: typer.Typer, command: str, arguments: Sequence[str] | None) -> None:
    """Run the application and leave with its exit code (always raises SystemExit)."""
    fill_closed_streams()
    # Pillow warns of damaged metadata; what matters of them is said in a note.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    # What cannot be decoded is judged where it is used, and what cannot be encoded (a file name, an old
    # terminal) is escaped; neither must end the command.
    for stream, errors in ((sys.stdin, "surrogateescape"), (sys.stdout, "backslashreplace")):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=errors)
    try:
        app(args=None if arguments is None else list(arguments), prog_name=command)
    except OSError as error:  # of --help and --version; what a command writes is reported by itself
        console = Console(command)
        console.abandon_stdout()
        console.error(f"stdout cannot be written: {error.strerror}")
        raise SystemExit(EXIT_FAILED) from None


def fill_closed_streams() -> None:
    """Put something into the places of standard streams that were closed (``muomni-run >&-``).

    Else the next file opened would take the place of stdout, and what native code prints would go into it. Writing
    to what stands for stdout fails, so that an answer that nobody gets is an error; messages may get lost.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            nowhere = os.open(os.devnull, os.O_RDONLY if number == 1 else os.O_WRONLY)
            if nowhere != number:
                os.dup2(nowhere, number)
                os.close(nowhere)
            if number > 0:  # print(file=None) would print to stdout
                stream = os.fdopen(number, "w", encoding="utf-8", closefd=False)
                setattr(sys, "stdout" if number == 1 else "stderr", stream)


def version_option(command: str) -> Callable[[bool], None]:
    """Callback of ``--version``."""

    def show(wanted: bool) -> None:
        if wanted:
            print(f"{command} {__version__}", flush=True)
            raise typer.Exit

    return show


@contextmanager
def reporting(console: Console, debug: bool) -> Iterator[None]:
    """Turn what goes wrong inside into one message on stderr and an exit code.

    2 for an argument that cannot be used, 1 for a run that failed, 130 for Ctrl-C. The traceback is for
    ``debug``.
    """
    try:
        yield
    except (typer.Exit, typer.Abort):
        raise
    except KeyboardInterrupt:
        raise typer.Exit(EXIT_INTERRUPTED) from None
    except BrokenPipeError:  # the reader has seen enough: `muomni-run … | head -1`
        raise typer.Exit(EXIT_BROKEN_PIPE) from None
    except Exception as error:
        if debug:
            traceback.print_exc()
        console.error(str(error) if isinstance(error, MuomniError) else _unexpected(error, debug))
        raise typer.Exit(EXIT_USAGE if is_usage_error(error) else EXIT_FAILED) from None


def is_usage_error(error: Exception) -> bool:
    """Whether an argument's value is at fault, not the file it names or the length of what it says."""
    return isinstance(error, InputError) and not isinstance(error, (MediaError, ContextError))


def _unexpected(error: Exception, debug: bool) -> str:
    reason = " ".join(str(error).split())
    message = f"unexpected {type(error).__name__}" + (f": {reason}" if reason else "")
    return message if debug else f"{message}; run again with --debug for the traceback"
