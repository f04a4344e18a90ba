"""What telephones and the internet do to speech: real codecs, by libsndfile and FFmpeg."""

from __future__ import annotations

import io
from collections.abc import Callable

import av
import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

Array = NDArray[np.float32]

RATE_HZ = 16_000
TELEPHONE_HZ = 8_000


def through_mu_law(samples: Array) -> Array:
    """Samples at 8 kHz through G.711."""
    return _through_file(samples, "WAV", "ULAW")


def through_gsm(samples: Array) -> Array:
    """Samples at 8 kHz through GSM 06.10, 13 kbit/s."""
    return _through_file(samples, "WAV", "GSM610")


def _through_file(samples: Array, container: str, subtype: str) -> Array:
    file = io.BytesIO()
    soundfile.write(file, np.clip(samples, -1, 1), TELEPHONE_HZ, format=container, subtype=subtype)
    file.seek(0)
    out, _ = soundfile.read(file, dtype="float32")
    return _as_long_as(samples, out)


def through_opus(samples: Array, bits_per_s: int) -> Array:
    """Samples at 16 kHz through Opus as voice; at low rates it cuts the treble off by itself."""
    return _through_ffmpeg(samples, RATE_HZ, "libopus", "ogg", bits_per_s, {"application": "voip"})


def through_amr(samples: Array, bits_per_s: int = 12_200) -> Array:
    """Samples at 8 kHz through AMR, what mobile telephones use."""
    return _through_ffmpeg(samples, TELEPHONE_HZ, "libopencore_amrnb", "amr", bits_per_s, {})


def through_mp3(samples: Array, bits_per_s: int) -> Array:
    """Samples at 16 kHz through MP3."""
    return _through_ffmpeg(samples, RATE_HZ, "libmp3lame", "mp3", bits_per_s, {})


def _through_ffmpeg(
    samples: Array, rate_hz: int, codec: str, container: str, bits_per_s: int, options: dict[str, str]
) -> Array:
    file = io.BytesIO()
    with av.open(file, "w", format=container) as out:
        stream = out.add_stream(codec, rate=rate_hz, options=options)
        stream.bit_rate = bits_per_s
        stream.layout = "mono"
        pcm = (np.clip(samples, -1, 1) * 32767).astype(np.int16)[None]
        frame = av.AudioFrame.from_ndarray(pcm, format="s16", layout="mono")
        frame.sample_rate = rate_hz
        resampler = av.AudioResampler(format=stream.format, layout="mono", rate=rate_hz)
        fifo = av.AudioFifo()
        for converted in (*resampler.resample(frame), *resampler.resample(None)):
            fifo.write(converted)
        size = stream.codec_context.frame_size or 1024
        while block := fifo.read(size, partial=True):
            for packet in stream.encode(block):
                out.mux(packet)
        for packet in stream.encode(None):
            out.mux(packet)
    file.seek(0)
    with av.open(file) as source:
        rate = source.streams.audio[0].rate
        to_float = av.AudioResampler(format="flt", layout="mono", rate=rate)
        blocks = [
            converted.to_ndarray()[0]
            for decoded in source.decode(audio=0)
            for converted in to_float.resample(decoded)
        ]
    heard = np.concatenate(blocks)
    if rate != rate_hz:
        heard = soxr.resample(heard, rate, rate_hz, "MQ")
    return _as_long_as(samples, heard)


def _as_long_as(samples: Array, out: Array) -> Array:
    """Codecs add some frames; they delay by up to 65 ms, which does not matter here."""
    return np.pad(out, (0, max(0, len(samples) - len(out))))[: len(samples)].astype(np.float32)


def by_telephone(samples: Array, rng: np.random.Generator) -> Array:
    """Samples at 16 kHz as they arrive through a telephone: 8 kHz, its band, and one of its codecs."""
    level = float(np.abs(samples).max()) or 1.0
    narrow = soxr.resample(samples / level * rng.uniform(0.3, 0.9), RATE_HZ, TELEPHONE_HZ, "MQ").astype(
        np.float32
    )
    if rng.random() < 0.6:  # no line carries the lowest tones
        spectrum = np.fft.rfft(narrow)
        hz = np.fft.rfftfreq(len(narrow), 1 / TELEPHONE_HZ)
        spectrum *= 1 / (1 + (rng.uniform(100, 300) / np.maximum(hz, 1)) ** 6)
        narrow = np.fft.irfft(spectrum, len(narrow)).astype(np.float32)
    kinds: tuple[Callable[[Array], Array], ...] = (
        through_mu_law,
        through_gsm,
        through_amr,
        lambda x: soxr.resample(
            through_opus(soxr.resample(x, TELEPHONE_HZ, RATE_HZ, "MQ"), 8_000), RATE_HZ, TELEPHONE_HZ, "MQ"
        ),
        lambda x: x,
    )
    heard = kinds[int(rng.integers(len(kinds)))](narrow)
    out = soxr.resample(heard, TELEPHONE_HZ, RATE_HZ, "MQ") * level
    return _as_long_as(samples, np.asarray(out, np.float32))


def by_internet(samples: Array, rng: np.random.Generator) -> Array:
    """Samples at 16 kHz through Opus or MP3 at a low rate."""
    level = float(np.abs(samples).max()) or 1.0
    scaled = samples / level * np.float32(0.8)
    if rng.random() < 0.75:
        heard = through_opus(scaled, int(rng.choice((6_000, 8_000, 12_000, 16_000, 24_000))))
    else:
        heard = through_mp3(scaled, int(rng.choice((16_000, 24_000, 32_000))))
    return heard * np.float32(level / 0.8)
