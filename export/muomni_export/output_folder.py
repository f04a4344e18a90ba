"""The folder of a bundle: it appears when it is complete, or not at all."""

from __future__ import annotations

import contextlib
import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from muomni.bundle.manifest import MANIFEST_NAME
from muomni.errors import InputError, OutputError


def check_target(out: Path, force: bool) -> None:
    """Raises InputError when something other than nothing (or, with ``force``, a bundle) is at ``out``."""
    if not out.exists():
        return
    if not out.is_dir():
        raise InputError(f"{out}: a file is in the way; choose another --out")
    if not any(out.iterdir()):
        return
    if not (out / MANIFEST_NAME).is_file():
        raise InputError(f"{out}: the folder is not empty and not a bundle; choose another --out")
    if not force:
        raise InputError(
            f"{out}: a bundle is already there; replace it with --force, or choose another --out"
        )


@contextlib.contextmanager
def temporary_folder(out: Path) -> Iterator[Path]:
    """A new folder beside ``out`` (so that the rename stays on one disk).

    After a failure neither it nor a folder above that was made for it is there.
    """
    new_parents = [parent for parent in out.parents if not parent.exists()]
    folder: Path | None = None
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
        folder.chmod(0o755)  # mkdtemp's 0700 is for secrets
        yield folder
    except OSError as error:
        reason = error.strerror or error
        if folder is None:
            raise OutputError(f"{out}: cannot be written ({reason}); choose another --out") from error
        raise OutputError(f"{out}: writing failed ({reason}); nothing was left behind") from error
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
        with contextlib.suppress(OSError):  # the first that is in use ends it
            for parent in new_parents:
                parent.rmdir()


@contextlib.contextmanager
def ended_by_signals() -> Iterator[None]:
    """Within it, what asks a program to end (SLURM, ``docker stop``, a closed terminal) ends it as an exception does,
    so that temporary folders go. Only the main thread can have this; on others nothing changes."""

    def leave(number: int, _: object) -> None:
        raise SystemExit(128 + number)  # what a shell shows for a program that a signal ended

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    names = ("SIGTERM", "SIGHUP", "SIGBREAK")  # not every system has all
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    heeded = [
        number for number in numbers if signal.getsignal(number) is signal.SIG_DFL
    ]  # nohup's stay ignored
    before = {number: signal.signal(number, leave) for number in heeded}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def put_in_place(folder: Path, out: Path) -> None:
    """Rename the finished folder to ``out``; an old bundle steps aside first and is then removed."""
    if not out.exists():
        folder.replace(out)
        return
    aside = Path(tempfile.mkdtemp(prefix=f".{out.name}.old.", dir=out.parent))
    try:
        out.replace(aside)
        try:
            folder.replace(out)
        except BaseException:
            aside.replace(out)
            raise
    except BaseException:
        with contextlib.suppress(OSError):  # gone, or holding what must not be lost
            aside.rmdir()
        raise
    shutil.rmtree(aside, ignore_errors=True)
