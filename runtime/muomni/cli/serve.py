"""``muomni-serve``: answer OpenAI's clients, and browsers."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from muomni.errors import InputError, MissingPackageError

from .common import new_app, reporting, start, version_option
from .console import Console, device_line
from .options import Debug, Device, Model, Quiet, Threads

COMMAND = "muomni-serve"
EXTRA = 'the server needs more packages; install them with\n  pip install "muomni[serve,cpu]"'

SWITCH_INTERVAL_S = 0.0005

app = new_app()


@app.command()
def serve(
    model: Model = None,
    host: Annotated[str, typer.Option(help="Address to listen at; 0.0.0.0 is all of them.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8000,
    api_key: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY",
            envvar="MUOMNI_API_KEY",
            help="Key that clients must send; may be given several times. Better from the environment, where other "
            "users of this machine do not see it.",
        ),
    ] = None,
    cors: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ORIGIN",
            help="Origin (https://example.org, or * for all) whose pages may use the server; may be given several "
            "times.",
        ),
    ] = None,
    slots: Annotated[int, typer.Option(min=1, help="Requests that are answered together.")] = 16,
    queue: Annotated[int, typer.Option(min=0, help="Requests that may wait; more are refused.")] = 64,
    tls_self_signed: Annotated[
        bool,
        typer.Option(
            "--tls-self-signed",
            help="https with a fresh certificate, which a browser accepts after a warning.",
        ),
    ] = False,
    tls_cert: Annotated[
        Path | None, typer.Option(metavar="FILE", help="https with this certificate (PEM), and --tls-key.")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option(metavar="FILE", help="Its key (PEM).")] = None,
    allow_fetch: Annotated[
        bool,
        typer.Option(
            "--allow-fetch",
            help="Fetch media from the public http addresses that a request names; else refused.",
        ),
    ] = False,
    device: Device = "auto",
    threads: Threads = None,
    quiet: Quiet = False,
    debug: Debug = False,
    version: Annotated[
        bool,
        typer.Option("--version", callback=version_option(COMMAND), is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Serve a μOmni model: OpenAI's interfaces for its clients, and a page for browsers to talk to it.

    Only this machine can connect unless --host says otherwise.
    """
    # What numpy multiplies here is small. A second thread of OpenBLAS, which waits by spinning, takes the core from
    # the models; it is read when numpy is first imported.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # The engine's thread gives the interpreter's lock away with each run of a graph; by default the event loop then
    # keeps it for up to 5 ms.
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    console = Console(COMMAND, quiet)
    with reporting(console, debug), ExitStack() as until_end:
        try:
            from muomni.serve.server import Server, bound_socket
            from muomni.serve.settings import Settings
            from muomni.serve.tls import self_signed
        except ImportError as error:
            raise MissingPackageError(f"{EXTRA} ({error})") from error

        settings = Settings(
            model=model,
            host=host,
            port=port,
            api_keys=tuple(api_key or ()),
            cors=tuple(cors or ()),
            slots=slots,
            queue=queue,
            device=device,
            threads=threads,
            allow_fetch=allow_fetch,
            tls_cert=tls_cert,
            tls_key=tls_key,
        )
        if tls_self_signed:
            if tls_cert is not None:
                raise InputError("--tls-self-signed makes a certificate; leave out --tls-cert and --tls-key")
            made = until_end.enter_context(self_signed(host))
            settings = replace(settings, tls_cert=made.cert, tls_key=made.key)
            console.note(f"certificate: SHA-256 {made.fingerprint}")
        for file in (settings.tls_cert, settings.tls_key):
            if file is not None and not file.is_file():
                raise InputError(f"{file}: expected a PEM file, there is none")
        place = until_end.enter_context(bound_socket(settings.host, settings.port))
        if not settings.is_loopback and not settings.api_keys:
            console.note(
                f"warning: everyone who reaches {host} may use this server; ask for a key with --api-key, or the "
                "environment variable MUOMNI_API_KEY"
            )
        server = Server(settings)
        omni = server.state.omni
        shown = f"[{host}]" if ":" in host else host
        address = f"{settings.scheme}://{shown}:{place.getsockname()[1]}"
        server.on_ready = lambda: console.note(
            f"{server.state.model_id} is ready at {address} (for a browser; OpenAI's clients: base_url {address}/v1); "
            "Ctrl-C stops"
        )
        console.note(device_line(device, omni.providers, omni.threads))
        server.run(sockets=[place])


def main(arguments: Sequence[str] | None = None) -> None:
    """The console script."""
    start(app, COMMAND, arguments)


if __name__ == "__main__":
    main()
