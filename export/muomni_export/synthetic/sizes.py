"""Sizes of random checkpoint sets, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from muomni.errors import InputError
from muomni_export.modules.audio_encoder import AudioSizes
from muomni_export.modules.codec import CodecSizes
from muomni_export.modules.decoder import DecoderSizes
from muomni_export.modules.ocr import OcrSizes
from muomni_export.modules.talker import TalkerSizes
from muomni_export.modules.thinker import ThinkerSizes
from muomni_export.modules.vision import VisionSizes
from muomni_export.modules.vocoder import VocoderSizes

FRAME_MS = 80


@dataclass(frozen=True)
class SetSizes:
    """Sizes of every stage; vary one with :func:`dataclasses.replace`."""

    name: str
    thinker: ThinkerSizes
    vision: VisionSizes
    audio: AudioSizes
    talker: TalkerSizes
    codec: CodecSizes
    vocoder: VocoderSizes
    ocr: OcrSizes


def _tiny(name: str, width: int = 256, layers: int = 4) -> SetSizes:
    """The reference's sizes (20 million parameters in the Thinker); the Thinker alone can be larger."""
    heads = width // 64
    thinker = DecoderSizes(width=width, layers=layers, heads=heads, kv_heads=heads // 2, hidden=4 * width)
    talker = DecoderSizes(width=192, layers=4, heads=3, kv_heads=1, hidden=768)
    return SetSizes(
        name,
        ThinkerSizes(thinker, vocabulary=32_000, context_length=512),
        VisionSizes(image_size=224, patch=16, width=128, layers=4, heads=2, hidden=512),
        AudioSizes(mel_bins=128, downsampling=8, channels=64, width=192, layers=4, heads=3, hidden=768),
        TalkerSizes(talker, codebook_size=128, frame_rate_hz=1000 / FRAME_MS),
        CodecSizes(codebooks=2, codebook_size=128, width=64, mel_bins=128),
        VocoderSizes(128, 512, (8, 8, 2, 2), (16, 16, 4, 4), (3, 7, 11), ((1, 3, 5),) * 3),
        OcrSizes(
            VisionSizes(image_size=224, patch=16, width=128, layers=4, heads=2, hidden=512),
            DecoderSizes(width=256, layers=4, heads=4, kv_heads=2, hidden=1024),
            vocabulary=64,
        ),
    )


def _micro() -> SetSizes:
    """As small as the format allows: everything exports in seconds."""
    thinker = DecoderSizes(width=64, layers=2, heads=4, kv_heads=2, hidden=96)
    talker = DecoderSizes(width=48, layers=2, heads=3, kv_heads=1, hidden=64)
    return SetSizes(
        "micro",
        ThinkerSizes(thinker, vocabulary=512, context_length=128),
        VisionSizes(image_size=32, patch=16, width=32, layers=1, heads=2, hidden=48),
        AudioSizes(mel_bins=128, downsampling=8, channels=4, width=24, layers=1, heads=3, hidden=32),
        TalkerSizes(talker, codebook_size=32, frame_rate_hz=1000 / FRAME_MS),
        CodecSizes(codebooks=2, codebook_size=32, width=16, mel_bins=128),
        VocoderSizes(128, 32, (8, 8, 2, 2), (16, 16, 4, 4), (3, 7), ((1, 3, 5),) * 2),
        OcrSizes(
            VisionSizes(image_size=32, patch=16, width=32, layers=1, heads=2, hidden=48),
            DecoderSizes(width=64, layers=2, heads=4, kv_heads=2, hidden=96),
            vocabulary=48,
        ),
    )


SIZES: Mapping[str, Callable[[], SetSizes]] = {
    "tiny": lambda: _tiny("tiny"),
    "micro": _micro,
    "x4": lambda: _tiny("x4", width=512, layers=12),  # 80 million parameters in the Thinker
    "x16": lambda: _tiny("x16", width=1024, layers=16),  # 317 million
}


def set_sizes(name: str) -> SetSizes:
    """Sizes by name: tiny (the reference's), micro, x4 and x16 (times the parameters of tiny's Thinker).

    Raises:
        InputError: another name.
    """
    if name not in SIZES:
        raise InputError(f"size: expected one of {', '.join(SIZES)}, got {name!r}")
    return SIZES[name]()
