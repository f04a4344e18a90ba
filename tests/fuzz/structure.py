"""Mutations that keep the form: JSON stays JSON, text stays text, checksums of a ZIP archive are right."""

from __future__ import annotations

import copy
import io
import json
import random
import struct
import warnings
import zipfile
import zlib
from typing import Any

ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2, 3.5, -0.0, 1e-320, 1e308, float("nan"), float("inf"), 2**31, 2**63, -(2**63) - 1,
    10**400, "", " ", "\0", "a\nb", "\u2028", "\ud800", "\U0001f600", "../x", "/dev/zero", "/", "x" * 5000, "http://a/b",
    [], {}, [[]], [None], {"": None}, [0] * 300, {"id": 1},
)  # fmt: skip
"""Values that a field is not expected to have, or only just."""

FRAGMENTS = (
    "\0", "\u00ad", "\u200b", "\u200d", "\ufeff", "\u202e", "\u0301" * 40, "\ud800", "\udc00\ud800",
    "\U0001f468\u200d\U0001f469", "\uff11\uff12", "\u0663", "\u2167", "\u00bd", "\u2028", "\r", "\t\t", "  ", "\n\n",
    "。", "؟", "日本語", "Привет",
    "ﬃ", "№", "$", "€5", "5€", "£.5", "-", "--", "—", "…", "...", "?!", "'", "''", "\"", "“", "(", ")", "[", "](",
    "http://", "www.", "@", "#", "##", "**", "_", "`", "```", "|", "<b>", "&amp;", "&", "%", "°", "°C",
    "/", "\\", ":", "12:60", "99:99", "1/0", "0/0", "1e999", "1,2,3", "1.2.3.4", "0" * 60, "9" * 400, "1900s", "'90s",
    "30th", "21rd", "MCMXCIX", "Henry VIII", "U.S.", "Ph.D.", "Mr.", "a.m.", "+1 (555) 010-9999", "2024-02-30",
    "31/31/2031", "km/h", "m²", "10^-5", "x" * 300, "e.g.", "1-2-3", "3-", "-3", "½-¾", "10:30-11",
)  # fmt: skip
"""Text that is read in ways of its own."""


def vary_json(text: str, draw: random.Random) -> str:
    """JSON with some values replaced, removed, moved or repeated, and now and then a key twice."""
    value = json.loads(text)
    for _ in range(draw.choice((1, 1, 2, 3))):
        places = list(_places(value))
        if not places:
            break
        holder, key = draw.choice(places)
        match draw.randrange(6):
            case 0 | 1 | 2:
                holder[key] = copy.deepcopy(draw.choice(ODD))
            case 3:
                del holder[key]
            case 4:
                other, theirs = draw.choice(places)
                holder[key] = copy.deepcopy(other[theirs])
            case 5 if type(holder[key]) in (int, float):
                holder[key] = draw.choice(
                    (holder[key] + 1, holder[key] - 1, -holder[key], holder[key] * 1000)
                )
            case 5 if isinstance(holder, dict):
                holder[draw.choice(("id", "text", "x", ""))] = holder[key]
            case 5:
                holder.insert(key, copy.deepcopy(holder[key]))
    made = json.dumps(value, ensure_ascii=draw.random() < 0.5)
    if draw.random() < 0.05:
        made = made.replace("{", '{"id": 1, ', 1)
    if draw.random() < 0.02:
        made = '{"a":' * 5000 + made + "}" * 5000
    return made


def _places(value: Any) -> Any:
    """All (object or list, key or index) below a value."""
    if isinstance(value, dict | list):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from _places(value[key])


def vary_lines(data: bytes, draw: random.Random) -> bytes:
    """JSON Lines with some lines changed, doubled, moved or joined."""
    lines = data.decode().splitlines()
    for _ in range(draw.choice((1, 1, 2, 4))):
        at = draw.randrange(len(lines))
        match draw.randrange(8):
            case 0:
                lines.insert(at, draw.choice(lines))
            case 1:
                lines.insert(
                    at, draw.choice(("", " ", "\t", "null", "[]", "1", '"', "\ufeff", "{}", "NaN", "\r"))
                )
            case 2 if len(lines) > 1:
                lines[at - 1] += lines.pop(at)
            case _:
                try:
                    lines[at % len(lines)] = vary_json(lines[at % len(lines)], draw)
                except (ValueError, RecursionError):  # a line that was changed already
                    continue
    ending = draw.choice(("\n", "\n", "\r\n", "\n\n"))
    return (ending.join(lines) + draw.choice(("\n", ""))).encode("utf-8", "surrogatepass")


def vary_text(data: bytes, draw: random.Random) -> bytes:
    """Text with pieces put in, taken out, doubled, in other cases, and parted anew."""
    text = data.decode("utf-8", "replace")
    for _ in range(draw.choice((1, 2, 3, 8, 20))):
        at = draw.randrange(len(text) + 1)
        span = draw.choice((1, 1, 2, 5, 20))
        match draw.randrange(6):
            case 0 | 1 | 2:
                text = text[:at] + draw.choice(("", " ")) + draw.choice(FRAGMENTS) + text[at:]
            case 3:
                text = text[:at] + text[at + span :]
            case 4:
                text = (
                    text[:at] + text[at : at + span].swapcase() * draw.choice((1, 2, 30)) + text[at + span :]
                )
            case 5:
                text = (
                    text[:at]
                    + chr(draw.choice((draw.randrange(0x250), draw.randrange(0x110000))))
                    + text[at:]
                )
    return text.encode("utf-8", "surrogatepass")


def vary_zip(data: bytes, draw: random.Random) -> bytes:
    """An archive with a member changed, emptied, missing, twice, under another name, or packed."""
    if not data.startswith(b"PK"):
        return data[: draw.randrange(len(data))]  # what torch saved before it took ZIP archives
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [(name, bytearray(archive.read(name))) for name in archive.namelist()]
    for _ in range(draw.choice((1, 1, 2, 3))):
        at = draw.randrange(len(members))
        name, content = members[at]
        match draw.randrange(8):
            case 0 if len(members) > 1:
                del members[at]
            case 1:
                members.append((name, bytearray(draw.choice(members)[1])))
            case 2:
                members[at] = draw.choice(("", "../x", "/x", "archive/../../x", name + "x")), content
            case 3:
                members[at] = name, content[: draw.randrange(len(content) + 1)]
            case 4:
                members[at] = name, content + bytes(draw.choice((1, 4, 4096)))
            case _ if content:
                for _ in range(draw.choice((1, 2, 8))):
                    content[draw.randrange(min(len(content), draw.choice((128, 4096, 1 << 30))))] = (
                        draw.choice((0, 1, 0x7F, 0x80, 0xFF, draw.randrange(256)))
                    )
    made = io.BytesIO()
    packed = zipfile.ZIP_DEFLATED if draw.random() < 0.2 else zipfile.ZIP_STORED
    with warnings.catch_warnings(), zipfile.ZipFile(made, "w", packed) as archive:
        warnings.simplefilter("ignore")  # of a name that is there twice
        for name, content in members:
            # The time is fixed, so that a number and a seed make the same file.
            archive.writestr(zipfile.ZipInfo(name), bytes(content), packed)
    return made.getvalue()


def zip_checksums(data: bytes) -> bytes:
    """The CRC of every stored member set right, where the archive's directory can still be followed."""
    fixed, at = bytearray(data), 0
    while (at := fixed.find(b"PK\x01\x02", at)) >= 0 and at + 46 <= len(fixed):
        size, local = struct.unpack_from("<I", fixed, at + 20)[0], struct.unpack_from("<I", fixed, at + 42)[0]
        method = struct.unpack_from("<H", fixed, at + 10)[0]
        if method == 0 and fixed[local : local + 4] == b"PK\x03\x04" and local + 30 <= len(fixed):
            begin = local + 30 + sum(struct.unpack_from("<HH", fixed, local + 26))
            checksum = zlib.crc32(fixed[begin : begin + size]).to_bytes(4, "little")
            fixed[at + 16 : at + 20] = checksum
            if not fixed[local + 6] & 8:  # else it stands behind the data, and readers take the directory's
                fixed[local + 14 : local + 18] = checksum
        at += 4
    return bytes(fixed)
