"""Video containers: which are opened, and was the file cut short?"""

from __future__ import annotations

import os
from typing import BinaryIO

from muomni.errors import MediaError

READERS = (
    "mov,matroska,avi,mpegts,mpeg,mpegvideo,flv,asf,ogg,ivf,h264,hevc,m4v,mjpeg,yuv4mpegpipe,mxf,nut,dv,rm,"
    "mp3,wav,flac,aac"
)
"""FFmpeg's readers that are used; the last four to say "only sound". Playlists (HLS, DASH, concat) are left out,
because they make FFmpeg open the files and addresses that are written in them."""


def require_whole_video(file: BinaryIO, name: str) -> None:
    """Raise ``MediaError`` for an MP4, MOV, Matroska or WebM file shorter than its boxes or segment promise."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    start = file.read(64)
    end = 0
    if start[:4] == b"\x1aE\xdf\xa3":
        end = _matroska_end(start)
    elif start[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
        end = _boxes_end(file, size)
    file.seek(0)
    if end > size:
        raise MediaError(f"{name}: the video is truncated: its headers promise {end} bytes, {size} are there")


def _boxes_end(file: BinaryIO, size: int) -> int:
    """Where the last box of an MP4 or MOV file should end (ISO/IEC 14496-12, section 4.2)."""
    position = 0
    while position < size:
        file.seek(position)
        header = file.read(16)
        length = int.from_bytes(header[:4], "big")
        if length == 0:  # up to the end of the file, wherever that is
            return size
        if length == 1:
            length = int.from_bytes(header[8:16], "big")
        if (
            length < 8 or not header[4:8].isalnum()
        ):  # no box: some programs leave other data behind the last one
            return size
        position += length
    return position


def _matroska_end(start: bytes) -> int:
    """Where the segment of a Matroska or WebM file should end (RFC 8794, sections 4 to 6); 0 where unknown."""

    def number(position: int) -> tuple[int | None, int]:
        """(value, next position) of the size at this place; None for the reserved "unknown"."""
        width = 9 - start[position].bit_length()
        value = int.from_bytes(start[position : position + width], "big") & ((1 << 7 * width) - 1)
        return (None if value == (1 << 7 * width) - 1 else value), position + width

    if len(start) < 64:
        return 0
    header, position = number(4)
    if header is None or position + header + 12 > len(start):
        return 0
    position += header
    if start[position : position + 4] != b"\x18\x53\x80\x67":
        return 0
    segment, position = number(position + 4)
    return 0 if segment is None else position + segment
