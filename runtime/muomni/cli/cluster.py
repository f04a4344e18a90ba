"""``--batch`` with ``--ray``: a file of requests, answered on a cluster into a folder of replies."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from contextlib import ExitStack, redirect_stdout
from pathlib import Path
from typing import Any

from muomni.errors import InputError, MissingPackageError

from .common import EXIT_FAILED
from .console import is_terminal
from .requests_file import read_file
from .session import Session
from .streams import check_inputs, is_stdin, is_stdout, refuse_url, stdin_bytes

EXTRA = 'a cluster needs more packages; install them on every node with\n  pip install "muomni[ray,cpu]"'


def answer_on_cluster(
    session: Session,
    requests: Path,
    out: Path,
    address: str | None,
    pool: tuple[int, int | None, bool],
    defaults: Mapping[str, Any],
    audio_out: Path | None,
) -> int:
    """Answer every request that ``out`` has no reply to yet; the exit code.

    Args:
        address: of the cluster; None takes what Ray finds, or starts it here.
        pool: slots of an engine, engines at most (None: by the cores of the cluster), and whether Parquet is wanted.
        audio_out: folder of WAV files.

    Raises:
        InputError: the requests cannot be read, or ``out`` is no folder.
        OutputError: ``out`` holds something else, or replies to other questions.
        UsageError: there is no cluster at the address.
    """
    console, (slots, actors, parquet) = session.console, pool
    check_inputs([("--batch", requests)])
    for option, place in (("--out", out), ("--audio-out", audio_out)):
        if place is None:
            continue
        refuse_url(option, place)
        if is_stdout(place) or (place.exists() and not place.is_dir()):
            raise InputError(f"{option} {place}: with --ray expected a folder, which every node can write")
    piped = stdin_bytes("--batch") if is_stdin(requests) else None
    # Absolute, as a node has a working folder of its own.
    folder = (Path() if piped is not None else requests.parent).absolute()
    lines = read_file(requests, defaults, piped, folder)
    try:
        from muomni.cluster.data import Pool
        from muomni.cluster.joining import join
        from muomni.cluster.lines import answer_lines
    except ImportError as error:
        raise MissingPackageError(f"{EXTRA} ({error})") from error

    with ExitStack() as stack:  # what Ray has to say is no answer
        elsewhere = sys.stderr if not console.quiet else stack.enter_context(Path(os.devnull).open("w"))
        stack.enter_context(redirect_stdout(elsewhere))
        cores = join(address, progress=not console.quiet and is_terminal(sys.stderr))
        threads = session.threads or 1
        engines = Pool(
            session.model, slots, None, (1, actors or max(1, cores // threads)), threads, session.device
        )
        outcome = answer_lines(
            lines,
            out,
            engines,
            defaults=defaults,
            folder=folder,
            kind="parquet" if parquet else "jsonl",
            speech_folder=audio_out,
        )
    if outcome.before:
        console.note(f"{outcome.before} of {len(lines)} requests have their reply in {out} already")
    console.note(f"{outcome.answered} answered, {outcome.failed} failed: {out}")
    return EXIT_FAILED if outcome.failed else 0
