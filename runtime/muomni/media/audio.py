"""Audio: file, bytes or samples -> mono float32 at the rate a model takes."""

from __future__ import annotations

import os
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from muomni.dsp.resample import resample
from muomni.errors import MediaError

from .source import describe, open_source
from .whole_sound import require_whole, require_whole_mp3

AudioSource = str | os.PathLike[str] | bytes | tuple[NDArray[Any], int]

LOWEST_RATE_HZ, HIGHEST_RATE_HZ = 1_000, 768_000
MAX_SECONDS = 3600
MAX_CHANNELS = 64
LOUDEST = 100.0  # of floats, which are meant to lie in -1…1; integers given as floats are beyond it
UNKNOWN_FRAMES = 1 << 50  # what libsndfile says of a FLAC that was streamed


def load_audio(source: AudioSource, sample_rate: int) -> NDArray[np.float32]:
    """Decode audio, average its channels and resample it.

    Args:
        source: path or encoded bytes (WAV, FLAC, OGG, MP3: what libsndfile reads), or ``(samples, rate)`` with
            samples (n,) or (n, channels), floats in -1…1 or integers of any width.
        sample_rate: Hz of the result.

    Returns:
        Samples (n,).

    Raises:
        MediaError: missing, empty, truncated or foreign files; no samples, NaN, an absurd rate, length or level.
    """
    name = describe(source) if not isinstance(source, tuple) else "audio samples"
    if isinstance(source, tuple):
        if len(source) != 2:
            raise MediaError(f"{name}: expected (samples, rate), got {len(source)} values")
        samples, rate = _from_array(*source)
    elif isinstance(source, (str, os.PathLike, bytes)):
        with open_source(source, "audio") as stream:
            samples, rate = _decode(stream, name)
    else:
        raise MediaError(f"audio: expected a path, bytes or (samples, rate), got {type(source).__name__}")
    if len(samples) == 0:
        raise MediaError(f"{name}: the audio holds no samples")
    if not np.isfinite(samples).all():
        bad = int((~np.isfinite(samples)).sum())
        raise MediaError(
            f"{name}: {bad} of {samples.size} samples are NaN or infinite, expected finite values"
        )
    peak = float(np.abs(samples).max())
    if peak > LOUDEST:
        raise MediaError(
            f"{name}: expected floats in -1…1, got up to {peak:.6g}; give integers as integers, or divide them "
            "(16 bits: by 32768)"
        )
    mono = samples if samples.ndim == 1 else samples.mean(axis=1, dtype=np.float32)
    return resample(np.ascontiguousarray(mono, dtype=np.float32), rate, sample_rate)


def _check_size(name: str, frames: int, channels: int, rate: int) -> None:
    if not LOWEST_RATE_HZ <= rate <= HIGHEST_RATE_HZ:
        raise MediaError(f"{name}: expected a rate from {LOWEST_RATE_HZ} to {HIGHEST_RATE_HZ} Hz, got {rate}")
    if channels > MAX_CHANNELS:
        raise MediaError(f"{name}: expected at most {MAX_CHANNELS} channels, got {channels}")
    if frames > MAX_SECONDS * rate:
        raise MediaError(
            f"{name}: {frames / rate:.0f} s of audio, at most {MAX_SECONDS} s can be read; cut it"
        )


def _decode(stream: BinaryIO, name: str) -> tuple[NDArray[np.float32], int]:
    """Samples (n, channels) and rate of an open file."""
    import soundfile  # 30 ms to import: not for those who only chat

    require_whole(stream, name)
    try:
        with soundfile.SoundFile(stream) as file:
            if file.frames >= UNKNOWN_FRAMES:
                raise MediaError(f"{name}: its header does not tell its length; write it anew as WAV or FLAC")
            _check_size(name, file.frames, file.channels, file.samplerate)
            samples: NDArray[np.float32] = file.read(dtype="float32", always_2d=True)
            # Of an MP3 libsndfile only estimates the length; its frames are followed below.
            if file.format != "MP3" and len(samples) < file.frames:
                raise MediaError(
                    f"{name}: the file is truncated: its header promises {file.frames} samples, "
                    f"{len(samples)} can be decoded"
                )
            rate, kind = int(file.samplerate), str(file.format)
        if kind == "MP3":
            require_whole_mp3(stream, name, len(samples))
        return samples, rate
    except MediaError:
        raise
    except Exception as error:  # LibsndfileError, and what a damaged file makes the binding raise
        reason = str(getattr(error, "error_string", error)).strip().splitlines()
        raise MediaError(
            f"{name}: not audio, damaged, or of a format that libsndfile cannot read "
            f"({reason[0] if reason else type(error).__name__})"
        ) from error


def _from_array(samples: Any, rate: Any) -> tuple[NDArray[np.float32], int]:
    array = np.asarray(samples)
    if array.ndim not in (1, 2) or (array.ndim == 2 and array.shape[1] == 0):
        raise MediaError(f"audio samples: expected (n,) or (n, channels), got {array.shape}")
    if isinstance(rate, bool) or not isinstance(rate, (int, np.integer)):
        raise MediaError(f"audio samples: expected a whole number of Hz, got {rate!r}")
    channels = 1 if array.ndim == 1 else array.shape[1]
    if array.ndim == 2 and channels > MAX_CHANNELS >= len(array):
        raise MediaError(
            f"audio samples: expected (n, channels), got {array.shape}; transpose it, channels come last"
        )
    _check_size("audio samples", len(array), channels, int(rate))
    if np.issubdtype(array.dtype, np.floating):
        return array.astype(np.float32, copy=False), int(rate)
    if array.dtype == np.uint8:  # unsigned 8-bit audio is centred at 128
        centred: NDArray[np.float32] = array.astype(np.float32) - np.float32(128)
        return centred / np.float32(128), int(rate)
    if array.dtype.kind == "i":
        scaled: NDArray[np.float32] = array.astype(np.float32) / np.float32(-float(np.iinfo(array.dtype).min))
        return scaled, int(rate)
    raise MediaError(f"audio samples: expected floats or signed integers, got {array.dtype}")
