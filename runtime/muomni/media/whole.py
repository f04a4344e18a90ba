"""Does a file end before its own headers say? Decoders play what is left without a word, which would shorten it unsaid.

Checked here: AVI, MP4 and MOV, Matroska and WebM, Ogg, MP3. Of WAV and its like libsndfile itself tells (audio.py).
A header that promises nothing (a stream, a recorder that was killed) is no reason to refuse.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import BinaryIO

from muomni.errors import MediaError

STREAMED_LENGTH = 0x7FFF_0000
"""32-bit lengths from here on mean "unknown": written by programs that could not go back to the header."""

OGG_PAGE_BYTES = 65_307  # at most

MPEG1_KBITS = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
MPEG2_KBITS = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
"""Layer III bit rates by their index in the frame header, for 32 kHz and above, and below."""


def require_whole(stream: BinaryIO, name: str) -> None:
    """Leaves the stream at its beginning.

    Raises:
        MediaError: an AVI, MP4, MOV, Matroska, WebM or Ogg file is shorter than its headers promise.
    """
    size = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    head = stream.read(4096)
    end = 0
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        end = _chunks_end(stream, size, 12, "little", (b"LIST",))
    elif head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
        end = _chunks_end(stream, size, 0, "big", (b"mdat", b"moov", b"moof"))
    elif head[:4] == b"\x1aE\xdf\xa3":
        end = _matroska_end(head)
    elif head[:4] == b"OggS":
        end, _ = _last_ogg_page(stream, size)
    stream.seek(0)
    if end > size:
        raise MediaError(f"{name}: the file is truncated: its headers promise {end} bytes, {size} are there")


def ogg_ends(stream: BinaryIO) -> bool:
    """Is the last page of an Ogg file marked as the last? Leaves the stream at its beginning."""
    _, marked = _last_ogg_page(stream, stream.seek(0, os.SEEK_END))
    stream.seek(0)
    return marked


def gif_end(data: bytes) -> int | None:
    """Where the end mark of a GIF stands; its length where only that mark is missing; None where it is cut."""
    try:
        at = 13 + _colours(data[10])
        while at < len(data):
            if data[at] == 0x3B:
                return at
            if data[at] == 0x2C:  # an image: place, own colours, size of its codes
                at += 11 + _colours(data[at + 9])
            elif data[at] == 0x21:  # an extension
                at += 2
            else:  # passed over by every viewer
                at += 1
                continue
            while data[at]:
                at += 1 + data[at]
            at += 1
        return len(data)
    except IndexError:
        return None


def _colours(flags: int) -> int:
    """Bytes of the table of colours."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


@dataclass(frozen=True)
class Mp3Frames:
    """What the frames of an MP3 say, followed to the end.

    Attributes:
        samples: per channel, of the frames that are whole.
        promised: frames of which the first one tells (Xing, Info), 0 where it does not.
        found: frames that are whole, without that first one.
        cut: the last one is not whole.
    """

    samples: int
    promised: int
    found: int
    cut: bool


def mp3_frames(data: bytes) -> Mp3Frames:
    """Headers of frames: ISO/IEC 11172-3, section 2.4.2.3, and 13818-3 for the lower rates."""
    at = samples = promised = found = 0
    cut = False
    first = True
    while True:
        if data[at : at + 3] == b"ID3" and at + 10 <= len(data):  # also between files that were joined
            a, b, c, d = data[at + 6 : at + 10]  # 7 bits each
            at += 10 + (a << 21 | b << 14 | c << 7 | d) + (10 if data[at + 5] & 0x10 else 0)
            first = True
            continue
        frame = _mp3_frame(data[at : at + 4])
        if frame is None:
            break
        length, of_frame = frame
        tag = max(data.find(b"Xing", at, at + 48), data.find(b"Info", at, at + 48)) if first else -1
        if at + length > len(data):
            cut = True
        elif tag >= 0:  # holds no sound; its first flag: the number of frames follows
            promised += int.from_bytes(data[tag + 8 : tag + 12], "big") if data[tag + 7] & 1 else 0
        else:
            found, samples = found + 1, samples + of_frame
        first = False
        at += length
    return Mp3Frames(samples, promised, found, cut)


def _mp3_frame(header: bytes) -> tuple[int, int] | None:
    """(bytes, samples per channel) of the layer III frame with this header, None if it is no such header."""
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE6 != 0xE2:
        return None
    version, rate, bits, padding = header[1] >> 3 & 3, header[2] >> 2 & 3, header[2] >> 4, header[2] >> 1 & 1
    if version == 1 or rate == 3 or bits in (0, 15):
        return None
    kbits = (MPEG1_KBITS if version == 3 else MPEG2_KBITS)[bits]
    rate_hz = (44100, 48000, 32000)[rate] >> {3: 0, 2: 1, 0: 2}[version]
    samples = 1152 if version == 3 else 576
    return samples // 8 * kbits * 1000 // rate_hz + padding, samples


def _chunks_end(file: BinaryIO, size: int, at: int, order: str, media: tuple[bytes, ...]) -> int:
    """Where the last chunk ends that holds media. Other bytes may follow it, cut or not."""
    end = 0
    while at + 8 <= size:
        file.seek(at)
        header = file.read(16)
        if order == "little":  # RIFF: kind, length, data padded to even places
            kind, length = header[:4], int.from_bytes(header[4:8], "little")
            if kind in media and (length == 0 or length >= STREAMED_LENGTH):
                return 0
            length += 8 + length % 2
        else:  # ISO/IEC 14496-12, section 4.2: length with the header, kind
            kind, length = header[4:8], int.from_bytes(header[:4], "big")
            if length == 1:
                length = int.from_bytes(header[8:16], "big")
            if length < 8:  # 0: up to the end of the file, wherever that is
                return end
        at += length
        if kind in media:
            end = at - (order == "little" and at == size + 1)  # the padding may be missing
    return end


def _matroska_end(head: bytes) -> int:
    """Where the segment of a Matroska or WebM file should end (RFC 8794, section 6); 0 where it is unknown."""
    at = head.find(b"\x18\x53\x80\x67") + 4
    if at < 4 or len(head) <= at or head[at] == 0:
        return 0
    width = 9 - head[at].bit_length()
    unknown = (1 << 7 * width) - 1
    length = int.from_bytes(head[at : at + width], "big") & unknown
    return 0 if length == unknown else at + width + length


def _last_ogg_page(file: BinaryIO, size: int) -> tuple[int, bool]:
    """Where the last page should end, and whether it is marked as the last (RFC 3533, section 6)."""
    start = max(0, size - 2 * OGG_PAGE_BYTES)
    file.seek(start)
    tail = file.read()
    page = tail.rfind(b"OggS\0")
    header = tail[page : page + 27]
    if page < 0 or len(header) < 27:
        return size + (page >= 0), False
    segments = tail[page + 27 : page + 27 + header[26]]
    return start + page + 27 + header[26] + sum(segments), bool(header[5] & 4)
