"""Sizes come from the tensors; the config fills the gaps, and disagreement is noted or refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from muomni.errors import CheckpointError
from muomni_export.modules.audio_encoder import AudioEncoder, AudioSizes
from muomni_export.modules.decoder import DecoderSizes
from muomni_export.modules.talker import Talker, TalkerSizes
from muomni_export.modules.thinker import Thinker, ThinkerSizes
from muomni_export.modules.vision import VisionEncoder, VisionSizes
from muomni_export.modules.vocoder import Vocoder, VocoderSizes
from muomni_export.notes import Note
from muomni_export.stages.audio import audio_sizes
from muomni_export.stages.audio import front_end as audio_front_end
from muomni_export.stages.talker.sizes import talker_sizes
from muomni_export.stages.thinker import thinker_sizes
from muomni_export.stages.vision import vision_sizes
from muomni_export.stages.vocoder.hifigan import vocoder_sizes
from muomni_export.stages.vocoder.stage import SpeechFrontEnd, speech_front_end
from muomni_export.stages.weights import StageWeights

DECODER = DecoderSizes(width=64, layers=2, heads=4, kv_heads=2, hidden=96)
AUDIO = AudioSizes(mel_bins=128, downsampling=8, channels=4, width=24, layers=1, heads=3, hidden=32)
VISION = VisionSizes(image_size=48, patch=16, width=32, layers=1, heads=2, hidden=48)
VOCODER = VocoderSizes(128, 32, (8, 8, 2, 2), (16, 16, 4, 4), (3, 7), ((1, 3, 5),) * 2)
VOCODER_CONFIG = {
    "upsample_rates": [8, 8, 2, 2],
    "resblock_dilation_sizes": [[1, 3, 5], [1, 3, 5]],
    "hop_length": 256,
}


def weights(module: nn.Module, **config: Any) -> StageWeights:
    source = Path("run/stage.pt")
    return StageWeights(dict(module.state_dict()), config, source, "model.", {}, Path("configs/stage.json"))


def texts(notes: list[Note]) -> list[str]:
    return [str(note) for note in notes]


@pytest.mark.parametrize(
    "decoder",
    [
        DECODER,
        DecoderSizes(64, 1, 4, 4, 96, fused_qkv=True),
        DecoderSizes(64, 1, 4, 1, 96, activation="gelu"),
        DecoderSizes(64, 2, 2, 1, 96, experts=4, experts_per_token=3),
        DecoderSizes(64, 1, 4, 2, 96, activation="gelu", experts=3, experts_per_token=1, rope_theta=5e5),
    ],
    ids=["gqa", "fused", "gelu", "experts", "gelu experts"],
)
def test_decoders(decoder: DecoderSizes) -> None:
    sizes = ThinkerSizes(decoder, 50, 128)
    said = {
        "n_heads": decoder.heads,
        "num_experts_per_tok": decoder.experts_per_token,
        "rope_theta": decoder.rope_theta,
    }
    notes: list[Note] = []
    assert thinker_sizes(weights(Thinker(sizes), **said), 128, notes) == sizes
    assert notes == []


def test_tensors_win_over_the_config_with_a_note() -> None:
    notes: list[Note] = []
    said = weights(
        Thinker(ThinkerSizes(DECODER, 50, 128)),
        n_heads=4,
        n_layers=9,
        d_model=512,
        vocab_size=32000,
        d_ff=1,
        kv_groups=1,
        use_gqa=False,
        use_swiglu=False,
        use_moe=True,
    )
    assert thinker_sizes(said, 128, notes).decoder == DECODER
    assert "thinker: n_layers is 9 in the config, 2 in the tensors; used 2" in texts(notes)
    named = {note.split()[1] for note in texts(notes)}
    assert named == {
        "n_layers",
        "d_model",
        "vocab_size",
        "d_ff",
        "kv_groups",
        "use_gqa",
        "use_swiglu",
        "use_moe",
    }


def test_heads_of_the_reference_only_at_its_width() -> None:
    notes: list[Note] = []
    tiny = ThinkerSizes(DecoderSizes(256, 1, 4, 2, 8), 50, 512)
    assert thinker_sizes(weights(Thinker(tiny)), 512, notes) == tiny
    assert texts(notes) == ["thinker: n_heads is not in the config; used the reference's 4"]
    with pytest.raises(CheckpointError, match=r"configs/stage.json: n_heads is missing.*width 64.*--config"):
        thinker_sizes(weights(Thinker(ThinkerSizes(DECODER, 50, 128))), 128, [])


@pytest.mark.parametrize(
    ("heads", "message"),
    [
        (3, "n_heads: expected a divisor of the width 64 .*got 3"),
        (8, r"multiple of 16, got 8 \(width 64 / 8 heads"),
        (1, r"model.blocks.0.attn.k.weight: expected .*whole heads of 64 .*got 32 rows"),
        (0, "n_heads of the thinker: expected a positive whole number, got 0"),
        (True, "expected a positive whole number, got True"),
        ("4", "expected a positive whole number, got '4'"),
        (2.5, "expected a positive whole number, got 2.5"),
    ],
)
def test_heads_that_do_not_work(heads: Any, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        thinker_sizes(weights(Thinker(ThinkerSizes(DECODER, 50, 128)), n_heads=heads), 128, [])


def test_key_heads_must_divide_the_heads() -> None:
    thinker = Thinker(ThinkerSizes(DecoderSizes(64, 1, 4, 3, 96), 50, 128))
    with pytest.raises(CheckpointError, match="as many as divide 4, got 48 rows"):
        thinker_sizes(weights(thinker, n_heads=4), 128, [])


def test_experts_per_token() -> None:
    made = Thinker(ThinkerSizes(DecoderSizes(64, 1, 4, 2, 96, experts=3), 50, 128))
    notes: list[Note] = []
    assert thinker_sizes(weights(made, n_heads=4), 128, notes).decoder.experts_per_token == 2
    assert texts(notes) == ["thinker: num_experts_per_tok is not in the config; used the reference's 2"]
    with pytest.raises(CheckpointError, match="at most the 3 experts there are, got 4"):
        thinker_sizes(weights(made, n_heads=4, num_experts_per_tok=4), 128, [])


@pytest.mark.parametrize(
    ("said", "rate", "noted"),
    [
        ({"frame_ms": 80}, 12.5, False),
        ({"frame_rate": 25}, 25.0, False),
        ({"frame_ms": 16, "frame_rate": 62.5}, 62.5, False),
        ({"frame_ms": 40, "frame_rate": 12.5}, 25.0, True),
        ({}, 12.5, True),
    ],
)
def test_frame_rate(said: dict[str, Any], rate: float, noted: bool) -> None:
    notes: list[Note] = []
    talker = Talker(TalkerSizes(DECODER, 32, 12.5))
    assert talker_sizes(weights(talker, n_heads=4, **said), notes).frame_rate_hz == rate
    assert bool(notes) == noted


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), "80", False])
def test_frame_rate_must_be_a_positive_number(value: Any) -> None:
    with pytest.raises(CheckpointError, match="frame_ms of the talker: expected a positive number"):
        talker_sizes(weights(Talker(TalkerSizes(DECODER, 32, 12.5)), n_heads=4, frame_ms=value), [])


def test_vision() -> None:
    notes: list[Note] = []
    assert vision_sizes(weights(VisionEncoder(VISION), n_heads=2, img_size=224, patch=16), notes) == VISION
    assert texts(notes) == ["vision: img_size is 224 in the config, 48 in the tensors; used 48"]


def test_vision_positions_make_a_square() -> None:
    made = weights(VisionEncoder(VISION), n_heads=2)
    made.state["pos"] = torch.zeros(1, 9, 32)
    with pytest.raises(CheckpointError, match=r"model.pos: expected .*square of patches, got 9 positions"):
        vision_sizes(made, [])


@pytest.mark.parametrize("downsampling", [4, 8])
@pytest.mark.parametrize("mel_bins", [80, 128])
def test_audio(downsampling: int, mel_bins: int) -> None:
    sizes = AudioSizes(mel_bins, downsampling, 4, 24, 2, 3, 32)
    notes: list[Note] = []
    assert audio_sizes(weights(AudioEncoder(sizes), n_heads=3, downsample_time=8), notes) == sizes
    assert bool(notes) == (downsampling == 4)


def test_audio_front_end() -> None:
    made = weights(AudioEncoder(AUDIO), sample_rate=8000, frame_hop=80)
    front = audio_front_end(made, [])
    assert (front.sample_rate_hz, front.n_fft, front.window_samples, front.hop_samples) == (
        8000,
        1024,
        400,
        80,
    )
    with pytest.raises(CheckpointError, match=r"frame_win of the audio: expected at most n_fft \(256\)"):
        audio_front_end(weights(AudioEncoder(AUDIO), n_fft=256), [])


def test_vocoder() -> None:
    notes: list[Note] = []
    assert vocoder_sizes(weights(Vocoder(VOCODER), **VOCODER_CONFIG), notes) == VOCODER
    assert notes == []


def test_vocoder_without_a_config_takes_hifigans() -> None:
    notes: list[Note] = []
    assert vocoder_sizes(weights(Vocoder(VOCODER)), notes) == VOCODER
    assert texts(notes) == [
        "vocoder: resblock_dilation_sizes is not in the config; used the reference's [[1, 3, 5], [1, 3, 5]]"
    ]


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"hop_length": 200}, "hop_length of the vocoder: expected .*8 · 8 · 2 · 2 = 256, got 200"),
        ({"upsample_rates": [8, 8, 4]}, "upsample_rates of the vocoder: expected 4 rates"),
        ({"upsample_rates": [8, 8, 2, 0]}, "list of positive whole numbers"),
        ({"upsample_rates": [5, 8, 2, 2]}, "model.ups.0.weight: expected a kernel .*rate 5 .*got 16"),
        ({"resblock_dilation_sizes": [[1, 3, 5]]}, "a list for each of the 2 kernels"),
        ({"resblock_dilation_sizes": [[1, 3, 5, 7]] * 2}, r"expected \[3, 3\] dilations"),
        ({"resblock_dilation_sizes": [[1, 3]] * 2}, r"expected \[3, 3\] dilations"),
        ({"resblock_dilation_sizes": [1, 3]}, "list of positive whole numbers"),
    ],
)
def test_vocoder_config_that_does_not_fit(said: dict[str, Any], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        vocoder_sizes(weights(Vocoder(VOCODER), **{**VOCODER_CONFIG, **said}), [])


def test_two_dilated_convolutions_are_the_references() -> None:
    two = VocoderSizes(128, 32, (8, 8, 2, 2), (16, 16, 4, 4), (3, 5), ((1, 2),) * 2)
    notes: list[Note] = []
    assert vocoder_sizes(weights(Vocoder(two)), notes) == two
    assert [note.code for note in notes] == ["default_used"]


@pytest.mark.parametrize(("hop", "noted"), [(64, False), (None, True)])
def test_rates_are_half_of_each_kernel_and_a_known_hop_confirms_them(hop: int | None, noted: bool) -> None:
    other = VocoderSizes(128, 32, (8, 4, 2), (16, 8, 4), (3,), ((1, 2),))
    notes: list[Note] = []
    said = {"resblock_dilation_sizes": [[1, 2]]} | ({} if hop is None else {"hop_length": hop})
    assert vocoder_sizes(weights(Vocoder(other), **said), notes) == other
    assert [note.values["key"] for note in notes] == (["upsample_rates"] if noted else [])


def test_dilations_cannot_be_guessed() -> None:
    two = VocoderSizes(128, 32, (8, 8, 2, 2), (16, 16, 4, 4), (3,), ((1, 2, 4, 8),))
    with pytest.raises(CheckpointError, match="resblock_dilation_sizes is missing"):
        vocoder_sizes(weights(Vocoder(two)), [])


def test_speech_front_end() -> None:
    made = weights(Vocoder(VOCODER), sample_rate=22050)
    assert speech_front_end(made, "vocoder", SpeechFrontEnd(), []) == SpeechFrontEnd(22050, 1024, 256)
