"""Was a sound file cut short? libsndfile plays what is left without a word, which would shorten the input unsaid.

* WAV, RF64, AIFF and AU: the length of the sample data against the size of the file. Lengths that a program writes
  while streaming ("unknown": 0, or nearly 2**31 or 2**32) promise nothing and are accepted (of 0, libsndfile then
  reads nothing).
* Ogg: its last page must be whole (a cut exactly between two pages is not seen).
* MP3: its last frame must be whole; with a Xing header there must be as many frames as it says, and without one
  all of them must have been played.
* FLAC has libsndfile's own errors. W64 and CAF are refused: a cut would not be seen.
"""

from __future__ import annotations

import os
import struct
from typing import BinaryIO

from muomni.errors import MediaError

STREAMED_LENGTH = 0x7FFF_0000
"""32-bit lengths from here on mean "unknown": written by programs that could not go back to the header."""

MPEG1_KBITS = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
MPEG2_KBITS = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
"""Layer III bit rates by their index in the frame header, for 32 kHz and above, and below."""


def require_whole(stream: BinaryIO, name: str) -> None:
    """Leaves the stream at its beginning.

    Raises:
        MediaError: a WAV, RF64, AIFF, AU or Ogg file is shorter than its headers promise.
    """
    size = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    magic = stream.read(4)
    end = None
    if magic in (b"RIFF", b"RF64", b"BW64", b"FORM", b"RIFX"):
        end = _chunks_end(stream, size, ">" if magic in (b"FORM", b"RIFX") else "<")
    elif magic == b".snd" and size >= 12:
        offset, length = struct.unpack(">II", stream.read(8))
        end = offset + length if length < STREAMED_LENGTH else None
    elif magic == b"OggS":
        end = _ogg_end(stream, size)
    elif magic in (b"riff", b"caff"):
        kind = "W64" if magic == b"riff" else "CAF"
        raise MediaError(f"{name}: {kind} files are not read; write it anew as WAV or FLAC")
    stream.seek(0)
    if end is not None and end > size:
        raise MediaError(f"{name}: the file is truncated: its headers promise {end} bytes, {size} are there")


def require_whole_mp3(stream: BinaryIO, name: str, decoded: int) -> None:
    """Follow the frames of an MP3 of which ``decoded`` samples per channel were read.

    Frame headers: ISO/IEC 11172-3, section 2.4.2.3, and 13818-3 for the lower rates.

    Raises:
        MediaError: the last frame is cut, or libsndfile stopped early (it estimates the length of a variable
            bit rate without a Xing header).
    """
    stream.seek(0)
    data = stream.read()
    position = 0
    while data[position : position + 3] == b"ID3" and position + 10 <= len(data):
        a, b, c, d = data[position + 6 : position + 10]  # 7 bits each
        position += 10 + (a << 21 | b << 14 | c << 7 | d) + (10 if data[position + 5] & 0x10 else 0)
    total = largest = frames = promised = 0
    counted = False
    while (frame := _mp3_frame(data[position : position + 4])) is not None:
        length, samples = frame
        if position + length > len(data):
            raise MediaError(f"{name}: the file is truncated: its last MP3 frame is not whole")
        head = data[position : position + 48]
        if total == 0 and not counted and (b"Xing" in head or b"Info" in head):
            counted = True  # this frame holds the number of frames, no sound; libsndfile trusts it
            tag = max(head.find(b"Xing"), head.find(b"Info"))
            if len(head) >= tag + 12 and head[tag + 7] & 1:  # the first flag: the number of frames follows
                promised = int.from_bytes(head[tag + 8 : tag + 12], "big")
        else:
            total, largest, frames = total + samples, samples, frames + 1
        position += length
    if frames < promised:
        raise MediaError(
            f"{name}: the file is truncated: its header promises {promised} MP3 frames, {frames} are there"
        )
    # Decoders may drop their own delay, at most a frame, at either end.
    if not counted and total - decoded > 2 * largest:
        raise MediaError(
            f"{name}: an MP3 of variable bit rate without a length in its header, of which libsndfile reads {decoded} "
            f"of {total} samples; convert it to WAV or FLAC"
        )


def _chunks_end(file: BinaryIO, size: int, order: str) -> int | None:
    """Where the sample data of a RIFF or FORM file should end; None where the file does not say."""
    position = 12
    length_64 = 0
    length: int
    while position + 8 <= size:
        file.seek(position)
        kind, length = struct.unpack(order + "4sI", file.read(8))
        start = file.read(16)
        if kind == b"ds64" and len(start) == 16:  # of RF64: the lengths that do not fit in 32 bits
            length_64 = int.from_bytes(start[8:16], "little")
        data = kind in (b"data", b"SSND") or (kind == b"LIST" and start[:4] == b"movi")
        if data and length == 0xFFFF_FFFF and length_64:
            length = length_64
        elif data and (length == 0 or length >= STREAMED_LENGTH):
            return None
        position += 8 + length
        if data or position > size:
            return position
        position += length % 2  # chunks start at even places
    return None


def _ogg_end(file: BinaryIO, size: int) -> int | None:
    """Where the last Ogg page should end (RFC 3533, section 6: 27 bytes, then a table of segment lengths)."""
    tail_start = max(0, size - (1 << 17))  # a page has at most 65,307 bytes
    file.seek(tail_start)
    tail = file.read()
    page = tail.rfind(b"OggS\0")
    if page < 0:
        return None
    header = tail[page : page + 27]
    if len(header) < 27:
        return tail_start + page + 27
    table = tail[page + 27 : page + 27 + header[26]]
    end = page + 27 + header[26] + sum(table)
    rest = tail[end:]
    cut_header = 0 < len(rest) < 5 and b"OggS\0".startswith(rest)
    return tail_start + end + (27 if cut_header else 0)


def _mp3_frame(header: bytes) -> tuple[int, int] | None:
    """(bytes, samples per channel) of the layer III frame with this header, None if it is no such header."""
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE6 != 0xE2:
        return None
    version, rate, bits, padding = header[1] >> 3 & 3, header[2] >> 2 & 3, header[2] >> 4, header[2] >> 1 & 1
    if version == 1 or rate == 3 or bits in (0, 15):
        return None
    table = MPEG1_KBITS if version == 3 else MPEG2_KBITS
    rate_hz = (44100, 48000, 32000)[rate] >> {3: 0, 2: 1, 0: 2}[version]
    samples = 1152 if version == 3 else 576
    return samples // 8 * table[bits] * 1000 // rate_hz + padding, samples
