"""Pictures, sounds and films."""

from __future__ import annotations

import contextlib
import io
import tempfile
import zlib
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tests.fuzz.kind import Kind

from muomni.errors import MuomniError

PICTURES = [np.random.default_rng(i).integers(0, 256, (24, 32, 3), dtype=np.uint8) for i in range(4)]
TONE = (0.4 * np.sin(np.arange(6000) / 6)).astype(np.float32)


def _pictures(kind: str) -> list[bytes]:
    from PIL import Image, PngImagePlugin

    images = [Image.fromarray(picture) for picture in PICTURES]
    exif = Image.Exif()
    exif[0x0112] = 6
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "a picture")
    text.add_text("Description", "a picture" * 9, zip=True)
    text.add_itxt("Title", "Bild", lang="de", zip=True)
    ways: list[tuple[Image.Image, dict[str, Any]]] = [
        (images[0], {}),
        (images[0].convert("L"), {}),
        (images[0].convert("P"), {}),
        (images[0].convert("CMYK"), {}),
        (images[0].convert("RGBA"), {}),
        (images[0].convert("I;16") if kind == "PNG" else images[0], {"exif": exif.tobytes()}),
        (images[0], {"pnginfo": text, "comment": b"a picture", "icc_profile": bytes(99)}),
        (images[0], {"progressive": True, "lossless": True, "interlace": 1}),
        (images[0], {"save_all": True, "append_images": images[1:], "duration": 50}),
    ]
    encoded = []
    for image, options in ways:
        stream = io.BytesIO()
        try:
            image.save(stream, kind, **options)
        except (OSError, ValueError, KeyError):  # no such mode in this kind
            continue
        encoded.append(stream.getvalue())
    return encoded


def _sounds(kind: str, subtypes: Sequence[str]) -> list[bytes]:
    import soundfile

    encoded = []
    for subtype in subtypes:
        for samples in (TONE, np.stack((TONE, -TONE), axis=1)):
            stream = io.BytesIO()
            with contextlib.suppress(soundfile.LibsndfileError):  # GSM has one channel
                soundfile.write(stream, samples, 16_000, format=kind, subtype=subtype)
                encoded.append(stream.getvalue())
    return encoded


def _films(container: str, video: str, audio: str, options: Sequence[dict[str, str]]) -> list[bytes]:
    import av

    encoded = []
    for option in ({"fflags": "bitexact", **option} for option in options):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "film")  # a real file: "faststart" reads back what it wrote
            with av.open(str(path), "w", format=container, options=option) as out:
                pictures = out.add_stream(video, rate=Fraction(10))
                pictures.width, pictures.height, pictures.pix_fmt = 32, 24, "yuv420p"
                sound = out.add_stream(audio, rate=48_000)
                sound.layout = "mono"
                for picture in PICTURES * 3:
                    out.mux(pictures.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
                out.mux(pictures.encode())
                frame = av.AudioFrame.from_ndarray(TONE[None], format="fltp", layout="mono")
                frame.sample_rate = 48_000
                for piece in av.AudioResampler(
                    format=sound.format, frame_size=sound.frame_size or 960
                ).resample(frame):
                    out.mux(sound.encode(piece))
                out.mux(sound.encode())
            encoded.append(path.read_bytes())
    return encoded


def _each(path: Path, *readers: Callable[[Path], object]) -> None:
    """All of them; refused is what every one refuses."""
    refusals = []
    for read in readers:
        try:
            read(path)
        except MuomniError as error:
            refusals.append(error)
    if len(refusals) == len(readers):
        raise refusals[0]


def _look(path: Path) -> None:
    from muomni.media.image import pixels
    from muomni.media.video import load_frames

    _each(path, lambda file: pixels(file, 32), lambda file: load_frames(file, 3, size=32))


def _listen(path: Path) -> None:
    from muomni.media.audio import duration_seconds, load_audio

    _each(
        path,
        lambda file: load_audio(file, 16_000),
        duration_seconds,
        lambda file: load_audio(file.read_bytes(), 8_000),
    )


def _watch(path: Path) -> None:
    from muomni.media.audio import load_audio
    from muomni.media.video import load_frames

    _each(path, lambda file: load_frames(file, 3), lambda file: load_audio(file, 16_000, max_seconds=5))


def _png_checksums(data: bytes) -> bytes:
    fixed, at = bytearray(data), 8
    while at + 12 <= len(fixed):
        end = at + 12 + int.from_bytes(fixed[at : at + 4], "big")
        if end <= len(fixed):
            fixed[end - 4 : end] = zlib.crc32(fixed[at + 4 : end - 4]).to_bytes(4, "big")
        at = end
    return bytes(fixed)


def _ogg_checksums(data: bytes) -> bytes:
    fixed, at = bytearray(data), 0
    while (at := fixed.find(b"OggS", at)) >= 0 and at + 27 <= len(fixed):
        end = at + 27 + fixed[at + 26] + sum(fixed[at + 27 : at + 27 + fixed[at + 26]])
        fixed[at + 22 : at + 26] = bytes(4)
        value = 0
        for byte in fixed[at:end]:
            value ^= byte << 24
            for _ in range(8):
                value = (value << 1 ^ (0x04C11DB7 if value & 0x80000000 else 0)) & 0xFFFFFFFF
        fixed[at + 22 : at + 26] = value.to_bytes(4, "little")
        at += 4
    return bytes(fixed)


WAV_SUBTYPES = ("PCM_U8", "PCM_16", "PCM_24", "FLOAT", "ULAW", "IMA_ADPCM", "MS_ADPCM", "GSM610")
FRAGMENTED = {"movflags": "frag_keyframe+empty_moov"}
MEDIA = {
    "png": Kind(partial(_pictures, "PNG"), _look, _png_checksums),
    "jpeg": Kind(partial(_pictures, "JPEG"), _look),
    "gif": Kind(partial(_pictures, "GIF"), _look),
    "webp": Kind(partial(_pictures, "WEBP"), _look),
    "wav": Kind(partial(_sounds, "WAV", WAV_SUBTYPES), _listen),
    "flac": Kind(partial(_sounds, "FLAC", ("PCM_16", "PCM_24")), _listen),
    "ogg": Kind(partial(_sounds, "OGG", ("VORBIS", "OPUS")), _listen, _ogg_checksums),
    "mp3": Kind(partial(_sounds, "MP3", ("MPEG_LAYER_III",)), _listen),
    "mp4": Kind(
        partial(_films, "mp4", "libx264", "aac", ({}, {"movflags": "faststart"}, FRAGMENTED)),
        _watch,
        needs=("av",),
    ),
    "webm": Kind(partial(_films, "webm", "libvpx", "libopus", ({},)), _watch, needs=("av",)),
}
