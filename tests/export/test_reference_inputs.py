"""Where the reference prepares its input otherwise (docs/status.md): given what it makes of a file, its ids come."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray
from PIL import Image

import muomni

DATA = Path(__file__).parents[1] / "data" / "parity"
EXPECTED: dict[str, Any] = json.loads((DATA / "expected" / "expected.json").read_text())
PICTURE, SPEECH = DATA / "inputs" / "image0.png", DATA / "inputs" / "speech_16k.wav"
ORIENTATION = 0x0112


@pytest.fixture(scope="module")
def omni(parity_bundle: Path) -> muomni.Omni:
    return muomni.Omni.load(parity_bundle, device="cpu")


def ids_of(omni: muomni.Omni, case: str, text: str | None = None, **media: Any) -> list[int]:
    wanted = EXPECTED[case]
    reply = omni.generate(text or wanted["text"], max_new_tokens=len(wanted["greedy"]), **media)
    return list(reply.token_ids)


def reference_pixels(path: Path) -> NDArray[np.uint8]:
    """As the reference opens a picture: EXIF's orientation is not looked at, and alpha is dropped."""
    return np.asarray(Image.open(path).convert("RGB"))


def reference_samples(path: Path) -> tuple[NDArray[np.float32], int]:
    """As the reference takes a recording: its first channel."""
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return samples[:, 0], rate


def reference_text(omni: muomni.Omni, text: str, tokens: int) -> str:
    """As the reference shortens a text beside an image: its first tokens stay."""
    return omni.tokenizer.decode(omni.tokenizer.encode(text)[:tokens])


def test_of_a_stereo_recording_the_reference_hears_the_left_channel(
    omni: muomni.Omni, tmp_path: Path
) -> None:
    left, rate = reference_samples(SPEECH)
    right = np.random.default_rng(0).uniform(-0.3, 0.3, len(left)).astype(np.float32)
    soundfile.write(tmp_path / "stereo.wav", np.stack((left, right), axis=1), rate, subtype="PCM_16")
    prepared = reference_samples(tmp_path / "stereo.wav")
    assert ids_of(omni, "mm_audio", audio=prepared) == EXPECTED["mm_audio"]["greedy"]
    ours = omni.audio_encoder.load(tmp_path / "stereo.wav")
    assert np.abs(ours - (prepared[0] + right) / 2).max() < 1e-4  # the mean of both


def test_the_reference_does_not_turn_a_picture_as_exif_says(omni: muomni.Omni, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    Image.open(PICTURE).save(tmp_path / "turned.png", exif=exif)
    prepared = reference_pixels(tmp_path / "turned.png")
    assert ids_of(omni, "mm_image0", images=[prepared]) == EXPECTED["mm_image0"]["greedy"]
    turned = np.rot90(prepared, -1)
    ours = omni.vision.embed([tmp_path / "turned.png"])
    assert np.abs(ours - omni.vision.embed([np.ascontiguousarray(turned)])).max() < 1e-5
    assert np.abs(ours - omni.vision.embed([prepared])).max() > 1e-3


def test_the_reference_drops_alpha(omni: muomni.Omni, tmp_path: Path) -> None:
    picture = Image.open(PICTURE).convert("RGB")
    alpha = np.random.default_rng(0).integers(0, 256, (picture.height, picture.width), dtype=np.uint8)
    picture.putalpha(Image.fromarray(alpha))
    picture.save(tmp_path / "clear.png")
    prepared = reference_pixels(tmp_path / "clear.png")
    assert ids_of(omni, "mm_image0", images=[prepared]) == EXPECTED["mm_image0"]["greedy"]
    ours, theirs = (omni.vision.embed([picture]) for picture in (tmp_path / "clear.png", prepared))
    assert np.abs(ours - theirs).max() > 1e-3  # shown on white


def test_the_reference_keeps_the_start_of_a_long_text_beside_an_image(omni: muomni.Omni) -> None:
    case = EXPECTED["mm_image0"]
    long = case["text"] + " And then once more, and again." * 100
    prepared = reference_text(omni, long, len(case["ids"]) - 1)
    assert ids_of(omni, "mm_image0", prepared, images=[PICTURE]) == case["greedy"]
    reply = omni.generate(long, images=[PICTURE], truncate=True, max_new_tokens=4)
    assert any("shortened to its last" in note for note in reply.notes)
