"""Recordings as clients send them: what libsndfile reads, and what browsers and phones make (WebM, MP4, AAC)."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray

from muomni.errors import MediaError, MissingPackageError
from muomni.media.audio import MAX_SECONDS, load_audio

READERS = "mov,matroska,aac,asf"
"""FFmpeg's readers that are used: of containers that libsndfile does not know, and none that opens other files."""


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
