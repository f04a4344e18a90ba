"""Audio: file, bytes or samples -> mono float32 at the rate a model takes.

The sound is averaged block by block as it is decoded, so that memory is bounded by its length in mono.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from muomni.dsp.resample import resample
from muomni.errors import InputError, MediaError

from .sound_file import BLOCK_VALUES, Sound, open_sound
from .source import FILE_TYPES, FileSource, describe, first_line, is_pipe, open_source

if TYPE_CHECKING:
    AudioSource = FileSource | tuple[NDArray[Any], int]
else:
    AudioSource = Any

LOWEST_RATE_HZ, HIGHEST_RATE_HZ = 1_000, 768_000
MAX_SECONDS = 3600
MAX_SAMPLES = MAX_SECONDS * 48_000  # of one channel: 700 MB as floats
MAX_CHANNELS = 64
LOUDEST = 100.0  # of floats, which are meant to lie in -1…1; integers given as floats are beyond it
QUIET = 2e-4  # between the highest and the lowest sample: -80 dB, the noise of a converter of 16 bits
CANCELLED = 1e-4  # energy of the average of the channels against theirs: -40 dB


def load_audio(
    source: AudioSource,
    sample_rate: int,
    *,
    max_seconds: float | None = None,
    notes: list[str] | None = None,
) -> NDArray[np.float32]:
    """Decode audio, average its channels and resample it.

    Args:
        source: path or encoded bytes (WAV, FLAC, OGG, MP3: what libsndfile reads; with PyAV M4A, AAC, WebM as well), or
            ``(samples, rate)`` with samples (n,) or (n, channels), floats in -1…1 or integers of any width.
        sample_rate: Hz of the result.
        max_seconds: decode little more than this. A result that lasts longer says that the sound does; its first
            ``max_seconds`` are those of the whole.
        notes: what there is to tell is appended here: a length that is not known, a sound that cannot be heard.

    Returns:
        Samples (n,).

    Raises:
        MediaError: missing, empty, truncated or foreign files; no samples, NaN, an absurd rate, length or level.

    Example:
        >>> load_audio((np.zeros(8000, np.int16), 8000), 16000).shape
        (16000,)
    """
    if max_seconds is not None and not (isinstance(max_seconds, (int, float)) and max_seconds > 0):
        raise InputError(f"max_seconds: expected a number above 0, got {max_seconds!r}")
    notes = [] if notes is None else notes
    name = _name(source)
    with _open(source, name, notes) as sound:
        mono = _average(sound, name, max_seconds, notes)
        return resample(mono, sound.rate, sample_rate)


def duration_seconds(source: AudioSource) -> float | None:
    """How long a sound lasts, by its header and without decoding it; None where no header can be trusted.

    A pipe can be read only once, and is not read here.

    Raises:
        MediaError: as :func:`load_audio`, as far as the header shows it.

    Example:
        >>> duration_seconds((np.zeros(4000, np.float32), 16000))
        0.25
    """
    if is_pipe(source):
        return None
    with _open(source, _name(source), []) as sound:
        return None if sound.frames is None else sound.frames / sound.rate


def _name(source: object) -> str:
    return "audio samples" if isinstance(source, (tuple, list)) else describe(source)


@contextlib.contextmanager
def _open(source: Any, name: str, notes: list[str]) -> Generator[Sound]:
    with contextlib.ExitStack() as stack:
        if isinstance(source, (tuple, list)):
            if len(source) != 2:
                raise MediaError(f"{name}: expected (samples, rate), got {len(source)} values")
            sound = _from_array(*source)
        elif isinstance(source, FILE_TYPES):
            stream = stack.enter_context(open_source(source, "audio"))
            sound = stack.enter_context(open_sound(stream, name, notes))
        else:
            raise MediaError(f"audio: expected a path, bytes or (samples, rate), got {type(source).__name__}")
        if not LOWEST_RATE_HZ <= sound.rate <= HIGHEST_RATE_HZ:
            raise MediaError(
                f"{name}: expected a rate from {LOWEST_RATE_HZ} to {HIGHEST_RATE_HZ} Hz, got {sound.rate}"
            )
        if not 1 <= sound.channels <= MAX_CHANNELS:
            raise MediaError(f"{name}: expected 1 to {MAX_CHANNELS} channels, got {sound.channels}")
        yield sound


def _average(sound: Sound, name: str, max_seconds: float | None, notes: list[str]) -> NDArray[np.float32]:
    """The mean of the channels (n,), checked; of a sound longer than ``max_seconds`` one second more than that."""
    longest = min(MAX_SECONDS * sound.rate, MAX_SAMPLES)
    stop = longest + 1
    if max_seconds is not None:
        stop = min(stop, math.ceil((max_seconds + 1) * sound.rate))
    elif sound.frames is not None and sound.frames > longest:
        raise _too_long(name, f"{sound.frames / sound.rate:.0f} s", sound.rate)
    mono = np.empty(min(sound.frames or BLOCK_VALUES, stop), np.float32)
    count = bad = 0
    peak = energy = of_mono = 0.0
    for block in sound.blocks:
        block = block[: stop - count]
        end = count + len(block)
        if end > len(mono):
            mono.resize(max(end, min(2 * len(mono), stop)), refcheck=False)
        with np.errstate(invalid="ignore", over="ignore"):  # NaN and infinity are counted
            mean = block.mean(axis=1, dtype=np.float32)
        mono[count:end] = mean
        bad += int(block.size - np.isfinite(block).sum())
        if block.size and not bad:
            peak = max(peak, float(np.abs(block).max()))
            energy += float(np.vdot(block, block)) / sound.channels
            of_mono += float(np.vdot(mean, mean))
        count = end
        if count >= stop:
            break
    mono = mono[:count]
    if count == 0:
        raise MediaError(f"{name}: the audio holds no samples")
    if bad:
        total = count * sound.channels
        raise MediaError(f"{name}: {bad} of {total} samples are NaN or infinite, expected finite values")
    if peak > LOUDEST:
        raise MediaError(
            f"{name}: expected floats in -1…1, got up to {peak:.6g}; give integers as integers, or divide them "
            "(16 bits: by 32768)"
        )
    if count > longest:
        raise _too_long(name, f"more than {longest / sound.rate:.0f} s", sound.rate)
    if energy > QUIET**2 * count and of_mono < CANCELLED * energy:
        notes.append(
            f"{name}: nothing can be heard: its channels cancel each other (opposite phase); give one of them"
        )
    elif float(mono.max()) - float(mono.min()) < QUIET:
        notes.append(f"{name}: nothing can be heard: the sound is silent")
    return mono


def _too_long(name: str, length: str, rate: int) -> MediaError:
    most = min(MAX_SECONDS, MAX_SAMPLES // rate)
    return MediaError(f"{name}: {length} of audio, at most {most} s at {rate} Hz can be read; cut it")


def _from_array(samples: Any, rate: Any) -> Sound:
    if isinstance(rate, np.ndarray) and np.ndim(samples) == 0:
        raise MediaError("audio samples: expected (samples, rate), got (rate, samples); swap them")
    try:
        array = np.asarray(samples)
    except ValueError as error:  # a list of lists of different lengths
        raise MediaError(f"audio samples: expected (n,) or (n, channels) ({first_line(error)})") from error
    if array.ndim not in (1, 2) or (array.ndim == 2 and array.shape[1] == 0):
        raise MediaError(f"audio samples: expected (n,) or (n, channels), got {array.shape}")
    if isinstance(rate, bool) or not isinstance(rate, (int, np.integer)):
        raise MediaError(f"audio samples: expected a whole number of Hz, got {rate!r}")
    if array.ndim == 2 and array.shape[1] > MAX_CHANNELS >= len(array):
        raise MediaError(
            f"audio samples: expected (n, channels), got {array.shape}; transpose it, channels come last"
        )
    if array.dtype.kind not in "fi" and array.dtype != np.uint8:
        raise MediaError(f"audio samples: expected floats or signed integers, got {array.dtype}")
    array = array[:, None] if array.ndim == 1 else array
    rows = max(1, BLOCK_VALUES // array.shape[1])
    blocks = (_as_floats(array[start : start + rows]) for start in range(0, len(array), rows))
    return Sound(int(rate), array.shape[1], len(array), blocks)


def _as_floats(block: NDArray[Any]) -> NDArray[np.float32]:
    floats: NDArray[np.float32] = block.astype(np.float32, copy=False)
    if block.dtype.kind == "f":
        return floats
    if block.dtype == np.uint8:  # unsigned 8-bit audio is centred at 128
        return (floats - np.float32(128)) / np.float32(128)
    return floats / np.float32(-float(np.iinfo(block.dtype).min))
