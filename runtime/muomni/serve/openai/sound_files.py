"""Speech in the formats of sound files, whole or as it is made."""

from __future__ import annotations

import io
import struct
from typing import Any, Protocol

import numpy as np
import soundfile
from numpy.typing import NDArray

from muomni.errors import MissingPackageError
from muomni.live.rate import RateStream
from muomni.media.wav import wav_bytes
from muomni.serve.sound import PCM_RATE_HZ, PcmChunks, pcm16

Samples = NDArray[np.float32]
MEDIA_TYPES = {
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",
    "aac": "audio/aac",
    "flac": "audio/flac",
    "wav": "audio/wav",
    "pcm": "audio/pcm",
    "pcm16": "audio/pcm",
}
MP3_RATES_HZ = (16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
OPUS_RATES_HZ = (8_000, 12_000, 16_000, 24_000, 48_000)
UNKNOWN_LENGTH = 0xFFFF_FFFF
"""Of a WAV file that is sent while it is made."""


class Encoder(Protocol):
    """Samples in, bytes of a file out."""

    def feed(self, samples: Samples) -> bytes:
        """The next samples (n,) in -1…1; may give nothing yet."""
        ...

    def finish(self) -> bytes:
        """The rest of the file."""
        ...

    def close(self) -> None:
        """Give back what an encoder holds whose file nobody wants any more."""
        ...


def encoder(kind: str, rate_hz: int) -> Encoder:
    """An encoder of a stream of samples at ``rate_hz``; ``kind`` is a key of :data:`MEDIA_TYPES`.

    FLAC gives all of its file at the end, because the length stands at its beginning.

    Raises:
        MissingPackageError: aac, and PyAV is not installed.
    """
    if kind == "wav":
        return _Wav(rate_hz)
    if kind == "mp3":
        return _Mp3(rate_hz)
    if kind == "opus":
        return _SoundFile(rate_hz, "OGG", "OPUS", OPUS_RATES_HZ)
    if kind == "flac":
        return _Flac(rate_hz)
    if kind == "aac":
        return _Aac(rate_hz)
    return PcmChunks(rate_hz)


def encoded(samples: Samples, rate_hz: int, kind: str) -> bytes:
    """Samples (n,) as a whole file."""
    if kind == "wav":  # with its length
        return wav_bytes(np.clip(samples, -1, 1), rate_hz)
    making = encoder(kind, rate_hz)
    return making.feed(samples) + making.finish()


class _Wav:
    """16-bit PCM in a WAV file that does not know its length."""

    def __init__(self, rate_hz: int) -> None:
        sizes = struct.pack(
            "<4sI4s4sIHHIIHH",
            b"RIFF",
            UNKNOWN_LENGTH,
            b"WAVE",
            b"fmt ",
            16,
            1,
            1,
            rate_hz,
            2 * rate_hz,
            2,
            16,
        )
        self._header = sizes + struct.pack("<4sI", b"data", UNKNOWN_LENGTH)

    def feed(self, samples: Samples) -> bytes:
        header, self._header = self._header, b""
        return header + pcm16(samples)

    def finish(self) -> bytes:
        return self._header

    def close(self) -> None:
        """Nothing is held."""


class _SoundFile:
    """What libsndfile writes, as far as it is settled."""

    def __init__(
        self, rate_hz: int, kind: str, subtype: str, rates: tuple[int, ...] = (), **options: Any
    ) -> None:
        to_hz = rate_hz if not rates or rate_hz in rates else PCM_RATE_HZ
        self._rate = RateStream(rate_hz, to_hz)
        self._buffer, self._given = io.BytesIO(), 0
        self._file = soundfile.SoundFile(self._buffer, "w", to_hz, 1, format=kind, subtype=subtype, **options)

    def feed(self, samples: Samples) -> bytes:
        self._file.write(np.clip(self._rate.push(samples), -1, 1))
        return self._new()

    def finish(self) -> bytes:
        self._file.write(np.clip(self._rate.finish(), -1, 1))
        self._file.close()
        return self._new()

    def close(self) -> None:
        self._file.close()

    def _new(self) -> bytes:
        made = self._buffer.getbuffer()[self._given :].tobytes()
        self._given += len(made)
        return made


class _Mp3(_SoundFile):
    """MP3 of a constant bit rate: decoders know its length and places from that.

    The first frame is a place for a table that is written at the end, when it has been sent already; it is left out.
    """

    def __init__(self, rate_hz: int) -> None:
        options = {"bitrate_mode": "CONSTANT", "compression_level": 0.5}
        super().__init__(rate_hz, "MP3", "MPEG_LAYER_III", MP3_RATES_HZ, **options)
        self._table = b""
        self._table_is_gone = False

    def _new(self) -> bytes:
        made = super()._new()
        if self._table_is_gone:
            return made
        self._table += made
        # Frames begin with eleven set bits; the next one's header is as the first's, but for its padding bit.
        start = self._table.find(self._table[:2], 4)
        if start < 0:
            return b""
        self._table_is_gone = True
        return self._table[start:]


class _Flac(_SoundFile):
    def __init__(self, rate_hz: int) -> None:
        super().__init__(rate_hz, "FLAC", "PCM_16")

    def feed(self, samples: Samples) -> bytes:
        self._file.write(np.clip(samples, -1, 1))
        return b""


class _Aac:
    """AAC in an ADTS stream, by PyAV."""

    def __init__(self, rate_hz: int) -> None:
        try:
            import av
        except ImportError as error:
            raise MissingPackageError(
                'aac needs PyAV, which this server lacks; install it with\n  pip install "muomni[video]"\nor ask for '
                "mp3, opus, flac, wav or pcm"
            ) from error
        self._av, self._rate_hz = av, rate_hz
        self._buffer = io.BytesIO()
        self._container = av.open(self._buffer, "w", format="adts")
        self._stream = self._container.add_stream("aac", rate=rate_hz, layout="mono")
        self._samples = 0

    def feed(self, samples: Samples) -> bytes:
        if len(samples):
            clipped = np.ascontiguousarray(np.clip(samples, -1, 1), dtype=np.float32)
            frame = self._av.AudioFrame.from_ndarray(clipped[None], format="fltp", layout="mono")
            frame.sample_rate, frame.pts = self._rate_hz, self._samples
            self._samples += len(samples)
            self._container.mux(self._stream.encode(frame))
        return self._new()

    def finish(self) -> bytes:
        self._container.mux(self._stream.encode(None))
        self._container.close()
        return self._new()

    def close(self) -> None:
        self._container.close()

    def _new(self) -> bytes:
        made = self._buffer.getvalue()
        self._buffer.seek(0)
        self._buffer.truncate()
        return made
