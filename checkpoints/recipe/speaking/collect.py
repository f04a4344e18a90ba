"""The averaged weights as checkpoints in μOmni's folders and format, with what speaking adds.

=======================  ===============================================================================
``talker_tiny/``         ``talker.pt``: ``{"rvq", "talker"}`` as in the reference; ``letters.pt``:
                         ``{"letters"}``; ``sounds.json``: the list of phonemes
``vocoder_tiny/``        ``vocoder.pt``: ``{"generator"}`` of a spectral vocoder, if one is trained
``configs/``             one JSON a folder: the reference's keys, and ``spoken_text``, ``letters``, ``mel``
                         for what the reference lacks
=======================  ===============================================================================
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from muomni.speech.phonemes import Phonemes

from .corpus import write_json
from .mel import SPEC
from .state import averaged, load, save

TALKER, VOCODER = "talker_tiny", "vocoder_tiny"


def collect(folder: Path, out: Path, phonemes: Phonemes, dtype: torch.dtype) -> None:
    """From a training folder to ``out``, a folder a stage, and ``out/configs``."""

    def write(path: Path, part: dict[str, dict[str, Tensor]]) -> None:
        save(path, {name: {k: v.to(dtype) for k, v in state.items()} for name, state in part.items()})

    configs = out / "configs"
    mel = asdict(SPEC)
    talker, sizes = averaged(folder / "talker.pt")
    letters, letter_sizes = averaged(folder / "letters.pt")
    rvq = load(folder / "codec.pt")["rvq"]
    write(out / TALKER / "talker.pt", {"rvq": rvq, "talker": talker})
    write(out / TALKER / "letters.pt", {"letters": letters})
    write_json(out / TALKER / "sounds.json", list(phonemes.symbols))
    write_json(
        configs / f"{TALKER}.json",
        {
            **decoder_config(sizes["decoder"]),
            "codebooks": rvq_books(rvq),
            "codebook_size": sizes["codebook_size"],
            "frame_rate": sizes["frame_rate_hz"],
            "sample_rate": SPEC.sample_rate_hz,
            "n_mels": SPEC.bins,
            "spoken_text": {"dilations": sizes["text"]["dilations"]},
            "letters": decoder_config(letter_sizes["decoder"]),
            "mel": mel,
        },
    )
    if (folder / "vocoder.pt").is_file():
        vocoder, _ = averaged(folder / "vocoder.pt")
        write(out / VOCODER / "vocoder.pt", {"generator": vocoder})
        write_json(
            configs / f"{VOCODER}.json",
            {
                "sample_rate": SPEC.sample_rate_hz,
                "n_mels": SPEC.bins,
                "n_fft": SPEC.n_fft,
                "hop_length": SPEC.hop_samples,
                "mel": mel,
            },
        )


def decoder_config(sizes: dict[str, Any]) -> dict[str, Any]:
    """The reference's keys for a stack of decoder blocks."""
    return {
        "d_model": sizes["width"],
        "n_layers": sizes["layers"],
        "n_heads": sizes["heads"],
        "kv_groups": sizes["kv_heads"],
        "d_ff": sizes["hidden"],
        "use_gqa": True,
        "use_swiglu": sizes["activation"] == "swiglu",
        "rope_theta": sizes["rope_theta"],
    }


def rvq_books(weights: dict[str, object]) -> int:
    return sum(name.startswith("codebooks.") for name in weights)
