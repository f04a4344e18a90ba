"""What muomni's own recipe adds to the reference's format, from checkpoint to embeddings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import muomni
from muomni.errors import CheckpointError
from muomni_export.export import export_bundle
from muomni_export.modules.audio_encoder import AudioEncoder, AudioSizes
from muomni_export.modules.vision import VisionEncoder, VisionSizes
from muomni_export.synthetic.checkpoint_set import write_random_set

VISION = VisionSizes(image_size=48, patch=8, width=16, layers=1, heads=2, hidden=16, stem_channels=4)
AUDIO = AudioSizes(
    mel_bins=128,
    downsampling=8,
    channels=4,
    width=16,
    layers=1,
    heads=2,
    hidden=16,
    mel_compression="log_peak",
    convolution_kernel=5,
)
POOL = 2


def modules(width: int) -> tuple[VisionEncoder, nn.Linear, AudioEncoder, nn.Linear]:
    torch.manual_seed(3)
    made = (VisionEncoder(VISION), nn.Linear(16, width), AudioEncoder(AUDIO), nn.Linear(16, width))
    for module in made:
        module.eval().requires_grad_(False)
        for parameter in module.parameters():
            parameter.normal_(std=0.2)
    return made


def edit(path: Path, **values: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("set")
    omni = write_random_set(root, "micro", without=("talker", "ocr"))
    config = root / "configs" / f"{omni.name}.json"
    folders = {kind: root / json.loads(config.read_text())[f"{kind}_ckpt"] for kind in ("vision", "audio")}
    weights = torch.load(omni / "omni.pt", weights_only=True)
    width = weights["thinker"]["norm.weight"].shape[0]
    vision, proj_v, audio, proj_a = modules(width)
    weights |= {"proj_v": proj_v.state_dict(), "proj_a": proj_a.state_dict()}
    torch.save(weights, omni / "omni.pt")
    torch.save({"vit": vision.state_dict()}, folders["vision"] / "vision.pt")
    torch.save({"enc": audio.state_dict()}, folders["audio"] / "audio_enc.pt")
    edit(root / "configs" / f"{folders['vision'].name}.json", img_size=48, patch=8, d_model=16, n_heads=2)
    edit(
        root / "configs" / f"{folders['audio'].name}.json", d_model=16, n_heads=2, mel_compression="log_peak"
    )
    edit(config, image_embeddings={"source": "grid", "pool": POOL}, video_frames=3)
    return omni


@pytest.fixture(scope="module")
def omni(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> muomni.Omni:
    bundle = tmp_path_factory.mktemp("bundle") / "b"
    export_bundle(checkpoint, bundle)
    return muomni.Omni.load(bundle, device="cpu", threads=1)


def test_an_image_is_several_embeddings_of_pooled_patches(omni: muomni.Omni) -> None:
    vision, proj_v, _, _ = modules(omni.thinker.stage.width)
    image = np.random.default_rng(0).integers(0, 256, (48, 48, 3), dtype=np.uint8)
    embeds = omni.vision.encode(image).embeds
    with torch.no_grad():
        _, grid = vision(torch.from_numpy(image).permute(2, 0, 1)[None] / 255)
        squares = grid[0].reshape(3, POOL, 3, POOL, 16).mean(dim=(1, 3)).reshape(9, 16)
        expected = proj_v(squares).numpy()
    assert embeds is not None and embeds.shape == expected.shape
    assert np.abs(embeds - expected).max() < 1e-5
    assert omni.generate("hi", images=[image], max_new_tokens=1).prompt_tokens == 9 + 1 + len(
        omni.tokenizer.encode("hi")
    )


def test_compressed_mel_does_not_depend_on_loudness(omni: muomni.Omni) -> None:
    *_, audio, proj_a = modules(omni.thinker.stage.width)
    mel = np.exp(2 * np.random.default_rng(1).standard_normal((50, 128), dtype=np.float32))
    features = omni.audio_encoder.encode_mel(mel)
    with torch.no_grad():
        expected = proj_a(audio(torch.from_numpy(mel)[None]))[0].numpy()
    assert features.embeds is not None
    assert np.abs(features.embeds - expected).max() < 1e-5
    louder = omni.audio_encoder.encode_mel(mel * 37)
    assert np.abs(louder.features - features.features).max() < 1e-4


def test_the_number_of_video_frames_is_the_configs(omni: muomni.Omni) -> None:
    assert omni.manifest.prompt.video_frames == 3


@pytest.mark.parametrize(
    "value",
    [
        {"source": "grid", "pool": 4},
        {"source": "grid"},
        {"source": "all"},
        "grid",
        {"source": "grid", "pool": 0},
    ],
)
def test_impossible_image_embeddings_are_refused(checkpoint: Path, tmp_path: Path, value: Any) -> None:
    config = checkpoint.parent.parent / "configs" / f"{checkpoint.name}.json"
    before = config.read_text()
    try:
        edit(config, image_embeddings=value)
        with pytest.raises(CheckpointError, match="image_embeddings"):
            export_bundle(checkpoint, tmp_path / "b")
    finally:
        config.write_text(before)
