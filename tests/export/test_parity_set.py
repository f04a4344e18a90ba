"""The parity set: what the reference computed, through muomni's public API."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import muomni
from muomni.models.vocoder import normalise_mel

DATA = Path(__file__).parents[1] / "data" / "parity"
EXPECTED: dict[str, Any] = json.loads((DATA / "expected" / "expected.json").read_text())
ABSOLUTE = 1e-4
MEL_RELATIVE = 1e-3


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    with np.load(DATA / "expected" / "arrays.npz") as file:
        return {name: file[name] for name in file.files}


@pytest.fixture(scope="module")
def omni(parity_bundle: Path) -> muomni.Omni:
    return muomni.Omni.load(parity_bundle, device="cpu")


def media_of(name: str) -> dict[str, Any]:
    media: dict[str, Any] = {}
    for index in range(2):
        if f"image{index}" in name:
            media["images"] = [DATA / "inputs" / f"image{index}.png"]
    if "audio" in name:
        media["audio"] = DATA / "inputs" / "speech_16k.wav"
    return media


@pytest.mark.parametrize("name", [name for name in EXPECTED if "greedy" in EXPECTED[name]])
def test_greedy_ids(omni: muomni.Omni, name: str) -> None:
    case = EXPECTED[name]
    assert [omni.tokenizer.bos_id, *omni.tokenizer.encode(case["text"])] == case["ids"]
    media = media_of(case.get("media", ""))
    reply = omni.generate(case["text"], max_new_tokens=len(case["greedy"]), **media)
    assert list(reply.token_ids) == case["greedy"]
    assert reply.finish_reason == "length"
    positions = len(case["ids"]) + len(media.get("images", ())) + (38 if "audio" in media else 0)
    assert reply.prompt_tokens == positions


@pytest.mark.parametrize("name", ["prompt0", "prompt1", "prompt2"])
def test_logits(omni: muomni.Omni, arrays: dict[str, np.ndarray], name: str) -> None:
    logits = omni.thinker.logits(EXPECTED[name]["ids"])
    assert np.abs(logits - arrays[f"{name}_logits"]).max() < ABSOLUTE


@pytest.mark.parametrize("name", [name for name in EXPECTED if name.startswith("mm_")])
def test_logits_after_media(omni: muomni.Omni, arrays: dict[str, np.ndarray], name: str) -> None:
    media = media_of(EXPECTED[name]["media"])
    parts = [omni.vision.embed(media["images"])] if "images" in media else []
    if "audio" in media:
        embeds = omni.audio_encoder.encode(media["audio"]).embeds
        assert embeds is not None
        parts.append(embeds)
    logits = omni.thinker.feed(omni.thinker.start(), EXPECTED[name]["ids"], np.concatenate(parts))
    assert np.abs(logits - arrays[f"{name}_last_logits"]).max() < ABSOLUTE


@pytest.mark.parametrize("index", [0, 1])
def test_images(omni: muomni.Omni, arrays: dict[str, np.ndarray], index: int) -> None:
    features = omni.vision.encode(DATA / "inputs" / f"image{index}.png")
    assert features.embeds is not None
    for got, name in ((features.cls, "cls"), (features.grid, "grid"), (features.embeds, "embeds")):
        assert got.shape == arrays[f"image{index}_{name}"].shape
        assert np.abs(got - arrays[f"image{index}_{name}"]).max() < ABSOLUTE


def test_audio(omni: muomni.Omni, arrays: dict[str, np.ndarray]) -> None:
    features = omni.audio_encoder.encode(DATA / "inputs" / "speech_16k.wav")
    assert features.embeds is not None
    assert relative(features.mel, arrays["mel_16k"]) < MEL_RELATIVE
    assert np.abs(features.features - arrays["audio_features"]).max() < ABSOLUTE
    assert np.abs(features.embeds - arrays["audio_embeds"]).max() < ABSOLUTE


def test_resampled_audio(omni: muomni.Omni, arrays: dict[str, np.ndarray]) -> None:
    mel = omni.audio_encoder.mel(DATA / "inputs" / "speech_22k.wav")
    assert relative(mel, arrays["mel_22k_resampled"]) < MEL_RELATIVE


def relative(got: np.ndarray, expected: np.ndarray) -> float:
    """Largest difference of a bin, relative to the bin; bins 60 dB below the loudest count as that loud."""
    assert got.shape == expected.shape
    floor = expected.max() * 1e-6
    return float((np.abs(got - expected) / np.maximum(np.abs(expected), floor)).max())


def test_talker_codes_and_logits(omni: muomni.Omni, arrays: dict[str, np.ndarray]) -> None:
    codes = EXPECTED["talker"]["greedy_codes"]
    reply = omni.generate("hi", max_new_tokens=1, speech=True, speech_temperature=0, speech_frames=len(codes))
    assert reply.speech is not None
    assert reply.speech.codes.tolist() == codes
    base, residual = omni.reference_talker.logits(reply.speech.codes)
    assert np.abs(base - arrays["talker_base_logits"]).max() < ABSOLUTE
    assert np.abs(residual - arrays["talker_res_logits"]).max() < ABSOLUTE


def test_codec_and_vocoder(omni: muomni.Omni, arrays: dict[str, np.ndarray]) -> None:
    mel = omni.codec.decode(np.array(EXPECTED["talker"]["greedy_codes"]))
    assert np.abs(mel - arrays["rvq_mel"]).max() < ABSOLUTE
    assert (omni.codec.encode(mel) == arrays["rvq_codes_of_mel"]).all()
    assert np.abs(normalise_mel(mel) - arrays["mel_normalized"]).max() < ABSOLUTE
    samples = omni.vocoder.samples(arrays["mel_normalized"])
    assert np.abs(samples - arrays["vocoder_audio"]).max() < ABSOLUTE


def test_speech_lasts_as_long_as_its_frames(omni: muomni.Omni) -> None:
    """80 ms frames must sound for 80 ms: the reference plays them five times too fast."""
    reply = omni.generate("hi", max_new_tokens=1, speech=True, speech_frames=25, seed=1)
    assert reply.speech is not None
    assert reply.speech.seconds == pytest.approx(25 / omni.manifest.talker.frame_rate_hz)  # type: ignore[union-attr]
    assert any("cannot say the reply" in note for note in reply.notes)
