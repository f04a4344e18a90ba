"""A small checkpoint set with random weights whose Talker is text-conditioned."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

from muomni.speech.letters import SIZE, SLOTS
from muomni.speech.phonemes import Phonemes
from muomni_export.modules.codec import Codec, CodecSizes
from muomni_export.modules.decoder import DecoderSizes
from muomni_export.modules.phonemizer import Phonemizer, PhonemizerSizes
from muomni_export.modules.talker import TalkerSizes, TextSizes, TextTalker
from muomni_export.modules.vocoder import SpectralSizes, SpectralVocoder
from muomni_export.synthetic.checkpoint_set import write_random_set

PHONEMES = Phonemes(tuple("abcdefg"))
DECODER = DecoderSizes(width=32, layers=2, heads=2, kv_heads=1, hidden=48)
CODES, BINS, RATE_HZ, HOP = 16, 8, 16_000, 16
TALKER = TalkerSizes(
    DECODER, CODES, RATE_HZ / HOP, TextSizes(PHONEMES.size, kernel=3, dilations=(1, 2), elapsed=8)
)
LETTERS = PhonemizerSizes(DECODER, SIZE, SLOTS, 1 + len(PHONEMES.symbols))
VOCODER = SpectralSizes(BINS, width=16, hidden=24, layers=2, n_fft=64, hop_samples=HOP)


def random_module(module: nn.Module, seed: int) -> nn.Module:
    """Weights large enough that the likeliest codes change from frame to frame."""
    torch.manual_seed(seed)
    for parameter in module.parameters():
        parameter.requires_grad_(False).normal_(std=0.4)
    return module.eval()


def speaking_modules() -> tuple[TextTalker, Phonemizer, Codec, SpectralVocoder]:
    return (
        random_module(TextTalker(TALKER), 1),
        random_module(Phonemizer(LETTERS), 2),
        random_module(Codec(CodecSizes(2, CODES, 12, BINS)), 3),
        random_module(SpectralVocoder(VOCODER), 4),
    )  # type: ignore[return-value]


def decoder_config() -> dict[str, Any]:
    return {"d_model": 32, "n_layers": 2, "n_heads": 2, "d_ff": 48, "use_gqa": True, "use_swiglu": True}


def write_text_talker_set(root: Path) -> Path:
    """Give the omni folder of a new set in ``root``."""
    omni = write_random_set(root, "micro", without=("talker",))
    talker, letters, codec, vocoder = speaking_modules()
    folder, voice = root / "checkpoints" / "talker_micro", root / "checkpoints" / "vocoder_micro"
    folder.mkdir()
    voice.mkdir()
    torch.save({"rvq": codec.state_dict(), "talker": talker.state_dict()}, folder / "talker.pt")
    torch.save({"letters": letters.state_dict()}, folder / "letters.pt")
    torch.save({"generator": vocoder.state_dict()}, voice / "vocoder.pt")
    (folder / "sounds.json").write_text(json.dumps(list(PHONEMES.symbols)))
    configs = root / "configs"
    assert TALKER.text is not None
    talker_config = decoder_config() | {
        "frame_rate": TALKER.frame_rate_hz,
        "spoken_text": {"dilations": list(TALKER.text.dilations)},
        "letters": decoder_config(),
    }
    (configs / "talker_micro.json").write_text(json.dumps(talker_config))
    (configs / "vocoder_micro.json").write_text(
        json.dumps({"sample_rate": RATE_HZ, "n_fft": 64, "hop_length": HOP, "n_mels": BINS})
    )
    config = configs / f"{omni.name}.json"
    said = json.loads(config.read_text()) | {
        "talker_ckpt": "checkpoints/talker_micro",
        "spoken_question": "Answer the question.",
    }
    config.write_text(json.dumps(said))
    return omni
