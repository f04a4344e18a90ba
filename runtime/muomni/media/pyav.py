"""PyAV, which the extra ``video`` brings: FFmpeg's readers for films, and for sound that libsndfile does not read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

from muomni.errors import MediaError, MissingPackageError, MuomniError

from .source import first_line, recognise

READERS = (
    "mov,matroska,avi,mpegts,mpeg,mpegvideo,flv,asf,ogg,ivf,h264,hevc,m4v,mjpeg,yuv4mpegpipe,mxf,nut,dv,rm,"
    "mp3,wav,w64,aiff,au,caf,flac,aac,ac3,eac3,amr,ape,tta,wv"
)
"""FFmpeg's readers that are used. Playlists (HLS, DASH, concat) are left out, because they make FFmpeg open the files
and addresses that are written in them."""


def import_av(name: str, what: str) -> Any:
    """PyAV, silenced.

    Raises:
        MissingPackageError: it is not installed; with the install line.
    """
    try:
        import av
    except ImportError as error:
        raise MissingPackageError(
            f'{name}: reading this {what} needs PyAV; install it with\n  pip install "muomni[video]"'
        ) from error
    av.logging.set_level(None)  # FFmpeg's remarks would land on stderr beside our own
    return av


@contextmanager
def opened(av: Any, stream: BinaryIO, name: str, what: str, option: str) -> Iterator[Any]:
    """The open container; what FFmpeg raises meanwhile comes as ``MediaError``.

    Args:
        what: what was expected, for messages: "audio", "a video".
        option: the command line's option that it was given for.
    """
    stream.seek(0)
    try:
        with av.open(stream, options={"format_whitelist": READERS}, metadata_errors="replace") as container:
            yield container
    except MuomniError:
        raise
    except MemoryError as error:
        raise MediaError(f"{name}: too little memory for it; scale it down or cut it") from error
    except (av.FFmpegError, OSError, ValueError) as error:
        reason = first_line(error)
        stream.seek(0)
        head = stream.read(64)
        if head[4:8] == b"ftyp" and b"moov" not in head + stream.read():
            reason = "its index, moov, is not there: the recording was not finished, or the file is cut"
        said = f"not {what}, damaged or truncated ({reason}){recognise(head, option)}"
        raise MediaError(f"{name}: {said}") from error


def require_decoder(track: Any, name: str) -> None:
    """Raise ``MediaError`` for a track whose codec this PyAV does not know."""
    if track.codec_context is None:
        raise MediaError(f"{name}: of a codec that PyAV cannot decode, or damaged; convert it with ffmpeg")


def packets(av: Any, container: Any, track: Any, notes: list[str], name: str) -> Iterator[Any]:
    """The packets of a track, up to the first place that cannot be read; a note tells of it, if not the first is one.

    The last packet is empty, and has the decoder give what it holds back.
    """
    count = 0
    demuxed = container.demux(track)
    while True:
        try:
            packet = next(demuxed)
        except StopIteration:
            return
        except av.FFmpegError as error:
            if count == 0:
                raise
            notes.append(f"{name}: what follows after {count} packets cannot be read ({first_line(error)})")
            yield av.Packet()
            return
        count += packet.size > 0
        yield packet


def decoded(av: Any, container: Any, track: Any, notes: list[str], name: str) -> Iterator[Any]:
    """The frames of a track that can be decoded; a note tells of the packets that cannot."""
    bad = 0
    for packet in packets(av, container, track, notes, name):
        try:
            yield from track.codec_context.decode(packet if packet.size else None)
        except av.error.EOFError:  # the decoder was told twice that there is no more
            break
        except av.FFmpegError:
            bad += 1
    if bad:
        notes.append(f"{name}: {bad} of its packets are damaged, and were passed over")
