"""Recordings as clients send them: what libsndfile reads, and what browsers and phones make (WebM, MP4, AAC)."""

from __future__ import annotations

import asyncio
import io
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from muomni.engine.thread import QueueFullError
from muomni.errors import MediaError, MissingPackageError
from muomni.media.audio import MAX_SECONDS, load_audio

READERS = "mov,matroska,aac,asf"
"""FFmpeg's readers that are used: of containers that libsndfile does not know, and none that opens other files."""


AT_A_TIME = 2
"""Recordings are decoded: half a megabyte of silence becomes an hour of it, which takes a gigabyte on the way."""


class Recordings:
    """Decodes recordings, a few at a time, and takes no more while those that are held are too much.

    Example:
        >>> recordings = Recordings(most_bytes=1 << 30)
        >>> samples = await recordings.load(data, 16_000)
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._threads = ThreadPoolExecutor(AT_A_TIME, "muomni recordings")
        self._lock = threading.Lock()
        self._given: list[tuple[weakref.ref[NDArray[np.float32]], int]] = []  # with their bytes

    async def load(self, data: bytes, rate_hz: int) -> NDArray[np.float32]:
        """As :func:`load_recording`; it is counted until nobody holds it.

        Raises:
            QueueFullError: too much is held.
        """
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._load, data, rate_hz)

    def load_now(self, data: bytes, rate_hz: int) -> NDArray[np.float32]:
        """The same, for a thread that can wait."""
        return self._threads.submit(self._load, data, rate_hz).result()

    def _load(self, data: bytes, rate_hz: int) -> NDArray[np.float32]:
        with self._lock:
            self._given = [(given, size) for given, size in self._given if given() is not None]
            if sum(size for _, size in self._given) > self._most_bytes:
                raise QueueFullError("too many long recordings are listened to; try again later")
        samples = load_recording(data, rate_hz)
        with self._lock:
            self._given.append((weakref.ref(samples), samples.nbytes))
        return samples

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


def load_recording(data: bytes, rate_hz: int) -> NDArray[np.float32]:
    """Samples (n,) of an encoded recording.

    Raises:
        MediaError: it cannot be read, or is longer than an hour.
        MissingPackageError: PyAV is needed and not installed.
    """
    return load_audio(_by_ffmpeg(data) if is_for_ffmpeg(data) else data, rate_hz)


def is_for_ffmpeg(data: bytes) -> bool:
    """Whether it is MP4, WebM, AAC or WMA, by its first bytes."""
    adts = data[:1] == b"\xff" and len(data) > 1 and data[1] & 0xF6 == 0xF0
    return data[4:8] == b"ftyp" or data[:4] in (b"\x1aE\xdf\xa3", b"0&\xb2u") or adts


def _by_ffmpeg(data: bytes) -> tuple[NDArray[np.float32], int]:
    try:
        import av
    except ImportError as error:
        raise MissingPackageError(
            "this recording (MP4, WebM or AAC) needs PyAV, which this server lacks; install it with\n  pip install "
            '"muomni[video]"\nor send WAV, FLAC, OGG or MP3'
        ) from error
    av.logging.set_level(None)  # FFmpeg's remarks would land on stderr beside our own
    pieces: list[NDArray[np.float32]] = []
    taken = 0
    try:
        with av.open(io.BytesIO(data), "r", options={"format_whitelist": READERS}) as container:
            if not container.streams.audio:
                raise MediaError("the recording holds no sound")
            stream = container.streams.audio[0]
            rate = int(stream.rate)
            resampler = av.AudioResampler(format="flt", layout="mono", rate=rate)
            for frame in container.decode(stream):
                for part in resampler.resample(frame):
                    samples = part.to_ndarray().reshape(-1).astype(np.float32, copy=False)
                    taken += len(samples)
                    if taken > MAX_SECONDS * rate:
                        raise MediaError(f"the recording lasts more than {MAX_SECONDS} s; cut it")
                    pieces.append(samples)
    except MediaError:
        raise
    except (av.FFmpegError, OSError, ValueError, EOFError) as error:
        raise MediaError(
            f"the recording cannot be decoded; it may be damaged or cut short ({type(error).__name__})"
        ) from error
    if not pieces:
        raise MediaError("the recording holds no samples")
    return np.concatenate(pieces), rate
