"""``muomni-doctor``: what is installed, what a session gets, whether a bundle is whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

import typer

from .common import EXIT_FAILED, new_app, reporting, start, version_option
from .console import Console
from .options import Debug, Device, Model

COMMAND = "muomni-doctor"

app = new_app()


@app.command()
def doctor(
    model: Model = None,
    device: Device = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    debug: Debug = False,
    version: Annotated[
        bool,
        typer.Option("--version", callback=version_option(COMMAND), is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Check this installation and a bundle; exit code 1 when something needs fixing."""
    console = Console(COMMAND)
    with reporting(console, debug):
        from muomni.ort.providers import check_device

        from .checks import all_checks

        found = []
        for check in all_checks(model, check_device(device)):
            found.append(check)
            if not as_json:
                console.answer(f"{check.status:8} {check.name}: {check.detail}")
                if check.fix:
                    console.answer(f"{'':8}   fix: {check.fix}".replace("\n", "\n" + " " * 11))
        problems = [check.name for check in found if check.status == "problem"]
        if as_json:
            console.answer_json({"ok": not problems, "checks": [asdict(check) for check in found]})
        else:
            console.answer(f"needs fixing: {', '.join(problems)}" if problems else "all right")
        if problems:
            raise typer.Exit(EXIT_FAILED)


def main(arguments: Sequence[str] | None = None) -> None:
    """The console script."""
    start(app, COMMAND, arguments)


if __name__ == "__main__":
    main()
