"""A PNG, JPEG, AVIF or HEIC without its metadata, for decoders that stumble over them."""

from __future__ import annotations

import re
import zlib

PNG = b"\x89PNG\r\n\x1a\n"
PNG_KEPT = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"acTL", b"fcTL", b"fdAT", b"eXIf")
"""Chunks that make the picture; eXIf says which way up it is."""


def without_metadata(data: bytes) -> bytes | None:
    """The same picture; None where the file is of another kind, or has nothing to leave out."""
    if data.startswith(PNG):
        rest = _png(data)
    elif data.startswith(b"\xff\xd8\xff"):
        rest = _jpeg(data)
    elif data[4:8] == b"ftyp":  # ISO/IEC 23008-12: items have a kind; what is of no known one is left alone
        rest = re.sub(rb"(?s)(infe.{8})(?:Exif|mime)", rb"\1skip", data)
    else:
        return None
    return None if rest == data else rest


def _png(data: bytes) -> bytes:
    kept, at = [PNG], len(PNG)
    while at + 12 <= len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        kind, sum_right = data[at + 4 : at + 8], zlib.crc32(data[at + 4 : end - 4]).to_bytes(4, "big")
        if kind in PNG_KEPT and (kind != b"eXIf" or data[end - 4 : end] == sum_right):
            kept.append(data[at:end])
        at = end
    return b"".join(kept)


def _jpeg(data: bytes) -> bytes:
    """APP1 (which way up) and APP14 (the colours) stay, the other APPs and comments go."""
    kept, at = [data[:2]], 2
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != 0xDA:
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if not (0xE0 <= data[at + 1] <= 0xEF or data[at + 1] == 0xFE) or data[at + 1] in (0xE1, 0xEE):
            kept.append(data[at:end])
        at = end
    return b"".join((*kept, data[at:]))
