"""Writes the trained model as μOmni checkpoints: what ``muomni-export`` reads.

The additions to the reference's format are config keys: ``mel_compression`` and ``convolution_kernel`` (audio),
``stem_channels`` (vision), ``image_embeddings`` (omni: which features go through ``proj_v``, and how many patches a
side are averaged into one), ``video_frames`` and ``spoken_question`` (omni: what is asked when a picture comes with a
recording and no text). Without them a config means what it means to the reference. The Thinker is in ``omni.pt``.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from recipe import DEFAULT_STATE
from recipe.world.film import FILM_FRAMES

from .model import Perception

TALKER = "talker_tiny"
SPOKEN_QUESTION = "Answer the question."
VISION_FILE, AUDIO_FILE, THINKER_FILE = (
    "vision_tiny/vision.pt",
    "audio_enc_tiny/audio_enc.pt",
    "omni_sft_tiny/omni.pt",
)
TOKENIZER_FILE = "omni_sft_tiny/tokenizer.model"


def configs(model: Perception) -> dict[str, dict[str, Any]]:
    """Config file name -> content, with the reference's keys."""
    sizes = model.sizes
    decoder = sizes.thinker.decoder
    thinker = {
        "vocab_size": sizes.thinker.vocabulary,
        "n_layers": decoder.layers,
        "d_model": decoder.width,
        "n_heads": decoder.heads,
        "d_ff": decoder.hidden,
        "rope_theta": decoder.rope_theta,
        "ctx_len": sizes.thinker.context_length,
        "dropout": 0.0,
        "use_gqa": True,
        "kv_groups": decoder.kv_heads,
        "use_swiglu": True,
        "use_moe": False,
    }
    audio = {
        "mel_bins": sizes.audio.mel_bins,
        "sample_rate": 16_000,
        "frame_hop": 160,
        "frame_win": 400,
        "downsample_time": sizes.audio.downsampling,
        "d_model": sizes.audio.width,
        "n_layers": sizes.audio.layers,
        "n_heads": sizes.audio.heads,
        "d_ff": sizes.audio.hidden,
        "mel_compression": sizes.audio.mel_compression,
        "convolution_kernel": sizes.audio.convolution_kernel,
    }
    vision = {
        "img_size": sizes.vision.image_size,
        "patch": sizes.vision.patch,
        "d_model": sizes.vision.width,
        "n_layers": sizes.vision.layers,
        "n_heads": sizes.vision.heads,
        "d_ff": sizes.vision.hidden,
        "stem_channels": sizes.vision.stem_channels,
    }
    omni = {
        "audio_ckpt": "audio_enc_tiny",
        "vision_ckpt": "vision_tiny",
        "ctx_len": sizes.thinker.context_length,
        "thinker": thinker,
        "image_embeddings": {"source": "grid", "pool": sizes.image_pool},
        "video_frames": FILM_FRAMES,
        "spoken_question": SPOKEN_QUESTION,
        "save_dir": "omni_sft_tiny",
    }
    return {"audio_enc_tiny": audio, "vision_tiny": vision, "omni_sft_tiny": omni}


def save_checkpoints(model: Perception, tokenizer: Path, out: Path, dtype: torch.dtype) -> None:
    """``out/<stage>/…`` and ``out/configs/<stage>.json``; files of other stages are left alone."""

    def write(name: str, content: dict[str, dict[str, Tensor]]) -> None:
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(content, path)

    def weights(module: nn.Module) -> dict[str, Tensor]:
        return {k: v.detach().to("cpu", dtype).contiguous() for k, v in module.state_dict().items()}

    write(VISION_FILE, {"vit": weights(model.vision)})
    write(AUDIO_FILE, {"enc": weights(model.audio)})
    write(
        THINKER_FILE,
        {"thinker": weights(model.thinker), "proj_a": weights(model.proj_a), "proj_v": weights(model.proj_v)},
    )
    shutil.copyfile(tokenizer, out / TOKENIZER_FILE)
    folder = out / "configs"
    folder.mkdir(parents=True, exist_ok=True)
    content_by_name = configs(model)
    if (out / TALKER).is_dir():  # written by the recipe of speaking; without it the model is silent
        content_by_name["omni_sft_tiny"]["talker_ckpt"] = TALKER
    for name, content in content_by_name.items():
        (folder / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m recipe.perception.saving", description=__doc__)
    parser.add_argument("--state", type=Path, default=DEFAULT_STATE)
    parser.add_argument(
        "--out", type=Path, required=True, help="folder that gets a folder a stage, and configs/"
    )
    parser.add_argument("--half", action="store_true", help="weights in float16, as they ship")
    args = parser.parse_args()
    state = args.state.expanduser()
    model = Perception()
    saved = torch.load(state / "perception/answering.pt", map_location="cpu", weights_only=True)
    model.load_state_dict(saved["average"])
    dtype = torch.float16 if args.half else torch.float32
    save_checkpoints(model, state / "tokenizer.model", args.out, dtype)
    print(f"wrote step {saved['step']} to {args.out}")


if __name__ == "__main__":
    main()
