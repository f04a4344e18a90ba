"""Write speech as a WAV file, whole or not at all: 16-bit PCM, one channel.

The samples go to a file with a temporary name in the same folder, which takes the wanted name only when it is
complete and on the disk. A failure, a full disk for instance, leaves an older file of that name as it was.
"""

from __future__ import annotations

import errno
import io
import operator
import os
import secrets
import shlex
import stat
import wave
from pathlib import Path

import numpy as np
import numpy.typing as npt

from muomni.errors import InputError, OutputError

FULL_SCALE = 32767
"""The sample that stands for 1.0; -1.0 is its negative, so that the scale has no step at zero."""

ROUNDING = 1e-3
"""How far past 1.0 a peak may lie and still be clipped as rounding; farther, the signal is not in -1…1."""

MAX_SAMPLES = (2**32 - 1 - 36) // 2
"""A WAV file counts its bytes in 32 bits."""


def write_wav(path: str | os.PathLike[str], samples: npt.NDArray[np.floating], sample_rate: int) -> None:
    """Samples (n,) in -1…1 at ``sample_rate`` Hz -> a WAV file at ``path``; an older one is replaced.

    Raises ``InputError`` for a path that does not end in ``.wav`` and for samples that are not (n,), not finite
    or past -1…1; ``OutputError`` when the file cannot be written. Nothing half-written is left behind.
    """
    target = check_writable(path)
    # A short name of its own: derived from the target's, it could be longer than a file name may be.
    temporary = target.with_name(f".muomni-{secrets.token_hex(8)}.tmp")
    try:
        data = wav_bytes(samples, sample_rate)
        try:
            with temporary.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(target)
        except BaseException:  # Ctrl-C as well
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise OutputError(f"{path}: could not be written: {_reason(error, target.parent)}") from error


def wav_bytes(samples: npt.NDArray[np.floating], sample_rate: int) -> bytes:
    """Samples (n,) in -1…1 at ``sample_rate`` Hz -> a whole WAV file, its lengths in its header: for a pipe.

    Raises ``InputError`` as :func:`write_wav` does.
    """
    data, rate = _pcm16(samples), _rate(sample_rate)
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(rate)
        writer.writeframes(data.tobytes())
    return file.getvalue()


def check_writable(path: str | os.PathLike[str]) -> Path:
    """The file that a later :func:`write_wav` would write; raises when that is sure to fail.

    To be called before long work, so that a mistyped folder does not cost the work. A symbolic link is followed:
    it is the file it points to that is written. Raises ``InputError`` for a path that does not end in ``.wav``,
    ``OutputError`` for a folder that is missing, no folder or read-only, and for a path that is a folder.
    """
    given = Path(path)
    if given.suffix.lower() != ".wav":
        got = f"the ending {given.suffix!r}" if given.suffix else "no ending"
        raise InputError(f"{path}: speech is written as WAV: expected a path that ends in .wav, got {got}")
    try:
        target = Path(os.path.realpath(given))
        parent = target.parent
        if not parent.exists():
            raise OutputError(
                f"{path}: the folder {parent} does not exist; make it first: mkdir -p {shlex.quote(str(parent))}"
            )
        if not parent.is_dir():
            raise OutputError(f"{path}: expected {parent} to be a folder, got a file")
        if target.exists():
            if target.is_dir():
                raise OutputError(f"{path}: expected a file to write, got a folder; name a file inside it")
            if not stat.S_ISREG(target.stat().st_mode):
                raise OutputError(f"{path}: expected an ordinary file to replace, got a device or pipe")
            if not os.access(target, os.W_OK):
                raise OutputError(
                    f"{path}: the file is read-only; choose another name or: chmod u+w {shlex.quote(str(target))}"
                )
        if not os.access(parent, os.W_OK | os.X_OK):
            raise OutputError(f"{path}: no permission to write in the folder {parent}; choose another folder")
    except (OSError, ValueError) as error:  # a name too long, a null character
        raise OutputError(f"{path!s}: not a usable path: {error}") from error
    return target


def _pcm16(samples: npt.NDArray[np.floating]) -> npt.NDArray[np.int16]:
    """Samples (n,) in -1…1 -> little-endian 16-bit integers (n,), rounded to nearest."""
    signal = np.asarray(samples)
    if signal.ndim != 1 or not np.issubdtype(signal.dtype, np.floating):
        raise InputError(
            f"speech to write: expected float samples of shape (n,), got {signal.dtype} of shape {signal.shape}"
        )
    if signal.size > MAX_SAMPLES:
        raise InputError(
            f"speech to write: a WAV file holds at most {MAX_SAMPLES} samples, got {signal.size}"
        )
    if not np.isfinite(signal).all():
        bad = int(np.count_nonzero(~np.isfinite(signal)))
        raise InputError(
            f"speech to write: expected finite samples, got {bad} of {signal.size} NaN or infinite"
        )
    peak = float(np.abs(signal).max(initial=0.0))
    if peak > 1.0 + ROUNDING:
        raise InputError(
            f"speech to write: expected samples in -1…1, got a peak of {peak:.4g}; divide the samples by their peak"
        )
    exact = np.result_type(signal.dtype, np.float32)  # in float16, 1.0 would become 32768 and wrap around
    pcm: npt.NDArray[np.int16] = np.rint(np.clip(signal.astype(exact), -1.0, 1.0) * FULL_SCALE).astype("<i2")
    return pcm


def _rate(sample_rate: int) -> int:
    try:
        rate = operator.index(sample_rate)
    except TypeError:
        rate = 0
    if not 1 <= rate < 2**31:
        raise InputError(f"speech to write: expected a sample rate in whole Hz above 0, got {sample_rate!r}")
    return rate


def _reason(error: OSError, folder: Path) -> str:
    """What the operating system said, and what to do about it."""
    said = error.strerror or str(error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{said}; make room on the disk of {folder} or choose another folder"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{said}; choose a folder that you may write in"
    return said
