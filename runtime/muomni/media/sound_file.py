"""Sound files, opened to be read block by block.

libsndfile decodes what it can; what it cannot (AAC, M4A, WebM, streams whose header promises nothing) PyAV decodes
where it is installed.
"""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from muomni.errors import MediaError, MissingPackageError

from .pyav import decoded, import_av, opened, require_decoder
from .source import VIA_PYAV, first_line, recognise
from .whole import STREAMED_LENGTH, mp3_frames, ogg_ends, require_whole

BLOCK_VALUES = 1 << 20  # samples of all channels that are read at once
UNKNOWN_FRAMES = 1 << 50  # what libsndfile says of a FLAC that was streamed
MP3_DELAY = 3 * 1152  # samples that decoders may drop at the ends
COUNTED = ("asf", "caf", "tta", "wv", "ape")
"""FFmpeg's readers that know a length; others estimate it, or cut at edits."""

CUT_SECONDS = 0.5
SIZES = re.compile(r"(?m)^\s*(?:data|SSND|BODY|riff|Riff size|Data Size)\s*: (\d+) \(should be (\d+)\)")
"""libsndfile's log, where a file is not as long as its header says: promised bytes, and those that are there."""


@dataclass
class Sound:
    """A sound that is open: ``blocks`` of (n, channels), ``frames`` that are promised (None: unknown)."""

    rate: int
    channels: int
    frames: int | None
    blocks: Iterator[NDArray[np.float32]]


@contextlib.contextmanager
def open_sound(stream: BinaryIO, name: str, notes: list[str]) -> Generator[Sound]:
    """The sound in an open file; ``name`` is for messages, and what there is to tell is appended to ``notes``.

    Raises:
        MediaError: truncated, damaged or foreign files; also while the blocks are read.
    """
    require_whole(stream, name)
    with contextlib.ExitStack() as stack:
        try:
            sound = stack.enter_context(_libsndfile(_without_empty_length(stream), name, notes))
        except _Unsure as reason:
            sound = stack.enter_context(_ffmpeg(stream, name, notes, str(reason)))
        yield sound


class _Unsure(Exception):
    """libsndfile does not read this, or not to its end; says why."""


@contextlib.contextmanager
def _libsndfile(stream: BinaryIO, name: str, notes: list[str]) -> Generator[Sound]:
    import soundfile  # 30 ms to import: not for those who only chat

    class Forward(soundfile.SoundFile):  # type: ignore[misc]
        """Read without going back: soundfile seeks after every read, which GSM and a streamed FLAC refuse."""

        def seekable(self) -> bool:
            return False

    try:
        file = Forward(stream)
    except (soundfile.SoundFileError, TypeError, ValueError, RuntimeError) as error:
        raise _Unsure(f"libsndfile says: {first_line(error)}") from error
    with file:
        frames: int | None = int(file.frames)
        sizes = SIZES.search(file.extra_info)
        promised, there = map(int, sizes.groups()) if sizes else (0, 0)
        if there < promised < STREAMED_LENGTH:
            raise MediaError(
                f"{name}: the file is truncated: its header promises {promised} bytes of sound, {there} are there"
            )
        if frames == 0 and there:
            raise _Unsure("its header does not tell its length")
        if sizes or file.frames >= UNKNOWN_FRAMES:
            frames = frames if sizes else None
            notes.append(f"{name}: its header does not tell its length; it was read to the end")
        if file.format in ("MP3", "OGG"):
            position = stream.tell()  # libsndfile reads on from here
            if file.format == "MP3":
                frames = _mp3_length(stream, name, file.frames, notes)
            elif not ogg_ends(stream):
                notes.append(f"{name}: it has no end mark, and may have been cut")
            stream.seek(position)
        yield Sound(int(file.samplerate), int(file.channels), frames, _read(file, name))


def _read(file: Any, name: str) -> Iterator[NDArray[np.float32]]:
    import soundfile

    count, total = max(1, BLOCK_VALUES // file.channels), 0
    try:
        while len(block := file.read(count, dtype="float32", always_2d=True)):
            total += len(block)
            yield block
    except soundfile.SoundFileError as error:
        raise MediaError(f"{name}: the audio is damaged or truncated ({first_line(error)})") from error
    if total < file.frames < UNKNOWN_FRAMES and not file.subtype.startswith(
        "MPEG"
    ):  # of which it is estimated
        raise MediaError(
            f"{name}: the file is truncated: its header promises {file.frames} samples, {total} can be decoded"
        )


def _without_empty_length(stream: BinaryIO) -> BinaryIO:
    """A WAV whose recorder was killed before it wrote the lengths, with "unknown" for 0: libsndfile takes 0 as told."""
    head = bytearray(stream.read(4096))
    stream.seek(0)
    at = head.find(b"data") + 8
    length = int.from_bytes(head[4:8], "little")
    if at < 8 or head[8:12] != b"WAVE":
        return stream
    if (
        head[:4] == b"RF64" and head[12:16] == b"ds64" and not any(head[20:36])
    ):  # lengths of 64 bits: none told
        head[:4], head[12:16] = b"RIFF", b"JUNK"
    elif not (
        head[:4] == b"RIFF" and not any(head[at - 4 : at]) and (length <= at - 8 or length >= STREAMED_LENGTH)
    ):
        return stream
    head[at - 4 : at] = b"\xff\xff\xff\xff"
    data = stream.read()
    stream.seek(0)
    return io.BytesIO(head + data[len(head) :]) if len(data) > at else stream


def _mp3_length(stream: BinaryIO, name: str, estimate: int, notes: list[str]) -> int | None:
    """Samples of an MP3, of which libsndfile would read ``estimate``."""
    stream.seek(0)
    frames = mp3_frames(stream.read())
    if frames.found < frames.promised:
        raise MediaError(
            f"{name}: the file is truncated: its header promises {frames.promised} MP3 frames, {frames.found} are there"
        )
    if frames.samples - estimate > MP3_DELAY:
        raise _Unsure(
            f"its header does not tell its length, and libsndfile would read {estimate} of {frames.samples} samples"
        )
    if frames.cut:
        notes.append(f"{name}: it ends in the middle of a frame, and may have been cut")
    return frames.samples or None


@contextlib.contextmanager
def _ffmpeg(stream: BinaryIO, name: str, notes: list[str], reason: str) -> Generator[Sound]:
    stream.seek(0)
    head = stream.read(64)
    try:
        av = import_av(name, "recording")
    except MissingPackageError as error:
        raise MediaError(
            f"{name}: not audio, damaged, or sound that needs another decoder: {reason.rstrip('.')}"
            f"{recognise(head, '--audio-in')}. {VIA_PYAV}"
        ) from error
    with opened(av, stream, name, "audio", "--audio-in") as container:
        track = next(iter(container.streams.audio), None)
        if track is None:
            raise MediaError(f"{name}: no sound in this file; if it is a film, give it with --video")
        require_decoder(track, name)
        frames, kind = None, container.format.name.split(",")[0]
        if track.duration and kind in (*COUNTED, "mov"):
            frames = round(track.duration * track.time_base * track.rate)
        elif container.duration and kind == "matroska" and len(container.streams) == 1:
            frames = round(container.duration / av.time_base * track.rate)
        yield Sound(track.rate or 0, track.channels, frames, _read_track(av, container, track, notes, name))


def _read_track(
    av: Any, container: Any, track: Any, notes: list[str], name: str
) -> Iterator[NDArray[np.float32]]:
    rate, channels, samples = track.rate, track.channels, 0  # as they are now: a stream may change them
    promised = float((track.duration or 0) * track.time_base)
    # Packed: of planar sound PyAV reads past the eighth channel.
    converter = av.AudioResampler(format="flt", layout=track.layout, rate=rate)
    for frame in decoded(av, container, track, notes, name):
        for piece in converter.resample(frame):
            samples += piece.samples
            yield piece.to_ndarray().reshape(-1, channels)
    there = samples / rate
    if container.format.name in COUNTED and there < promised - CUT_SECONDS:
        raise MediaError(
            f"{name}: the file is truncated: its header promises {promised:.1f} s, {there:.1f} s can be decoded"
        )
