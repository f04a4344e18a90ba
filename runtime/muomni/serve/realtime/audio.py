"""What comes and goes over the wire: 24 kHz PCM16 and G.711 at 8 kHz, to and from samples at any rate."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from muomni.errors import InputError
from muomni.live.silero import Samples

PCM_RATE_HZ, G711_RATE_HZ = 24_000, 8_000


@dataclass(frozen=True)
class AudioFormat:
    """One of the formats that OpenAI's Realtime API knows.

    Attributes:
        name: ``audio/pcm`` (16 bits, little-endian, mono), ``audio/pcmu`` (G.711 µ-law) or ``audio/pcma`` (A-law).
        pcm_rate_hz: of ``audio/pcm``; the Live API knows 16 kHz as well.

    Example:
        >>> AudioFormat("audio/pcmu").seconds(4000)
        0.5
    """

    name: str
    pcm_rate_hz: int = PCM_RATE_HZ

    @property
    def rate_hz(self) -> int:
        return self.pcm_rate_hz if self.name == "audio/pcm" else G711_RATE_HZ

    @property
    def bytes_per_sample(self) -> int:
        return 2 if self.name == "audio/pcm" else 1

    def seconds(self, size: int) -> float:
        """Of so many bytes."""
        return size / (self.rate_hz * self.bytes_per_sample)

    def silence(self, size: int) -> bytes:
        """So many bytes of it."""
        return {"audio/pcm": b"\x00", "audio/pcmu": b"\xff", "audio/pcma": b"\xd5"}[self.name] * size

    def check(self, data: bytes | memoryview) -> None:
        """Raises InputError for half a sample."""
        if len(data) % self.bytes_per_sample:
            raise InputError(f"audio: expected 16-bit samples, got an odd number of bytes ({len(data)})")

    def decode(self, data: bytes | memoryview) -> Samples:
        """Bytes to samples (n,) in -1…1.

        Raises:
            InputError: half a sample.
        """
        self.check(data)
        if self.name == "audio/pcm":
            return np.frombuffer(data, "<i2").astype(np.float32) / np.float32(32768)
        return _expanded(self.name)[np.frombuffer(data, np.uint8)]

    def encode(self, samples: Samples) -> bytes:
        """Samples (n,) in -1…1 to bytes; what is louder is clipped."""
        wide = to_int16(samples)
        if self.name == "audio/pcm":
            return wide.astype("<i2").tobytes()
        return _compressed(self.name)[wide.astype(np.int32) + 32768].tobytes()


def to_int16(samples: Samples) -> NDArray[np.int16]:
    """Samples in -1…1 as 16-bit integers; what is louder is clipped."""
    return (samples * np.float32(32768)).round().clip(-32768, 32767).astype(np.int16)


def from_base64(text: str, most_bytes: int) -> bytes:
    """Decode base64.

    Raises:
        InputError: it is not base64, or decodes to more than ``most_bytes``.
    """
    if len(text) > most_bytes * 4 // 3 + 4:
        raise InputError(
            f"audio: at most {most_bytes} bytes are taken at once, got about {len(text) * 3 // 4}"
        )
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InputError(f"audio: expected base64, got something else ({error})") from None


def to_base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


@cache
def _expanded(name: str) -> Samples:
    """Samples of the 256 codes of G.711."""
    codes = np.arange(256)
    if name == "audio/pcmu":
        inverted = ~codes & 0xFF
        magnitude = (((inverted & 0x0F) << 3) + 0x84 << ((inverted >> 4) & 7)) - 0x84
        values = np.where(inverted & 0x80, -magnitude, magnitude)
    else:
        toggled = codes ^ 0x55
        exponent, mantissa = (toggled >> 4) & 7, toggled & 0x0F
        magnitude = np.where(
            exponent == 0, (mantissa << 4) + 8, ((mantissa << 4) + 0x108) << np.maximum(exponent - 1, 0)
        )
        values = np.where(toggled & 0x80, magnitude, -magnitude)
    out: Samples = (values / 32768).astype(np.float32)
    return out


@cache
def _compressed(name: str) -> NDArray[np.uint8]:
    """The nearest code of each of the 65,536 values of 16 bits, -32768 first."""
    values = np.round(_expanded(name) * 32768).astype(np.int32)
    order = np.argsort(values, kind="stable")
    middles = (values[order][1:] + values[order][:-1]) / 2
    nearest: NDArray[np.uint8] = order[np.searchsorted(middles, np.arange(-32768, 32768))].astype(np.uint8)
    return nearest
