"""Training that goes on from a saved model."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from recipe.perception import __main__ as command_line
from recipe.perception import continuing
from recipe.perception.hearing import Recordings
from recipe.perception.model import Perception
from recipe.perception.saving import save_checkpoints
from recipe.seeds import generator
from recipe.world.lines import Line
from recipe.world.scene import Scene, draw_scene

HEADS = ("ctc_head.", "sound_head.", "centre_head.")


class Letters:
    """A tokenizer of single letters."""

    def encode(self, texts: list[str]) -> list[list[int]]:
        return [[ord(c) for c in text] for text in texts]


class SameRecordings:
    """The same two recordings at every step."""

    def __init__(self, pool: object, first: int) -> None:
        pass

    def draw(self, rng: np.random.Generator, step: int, count: int) -> Recordings:
        mel = torch.from_numpy(np.random.default_rng(0).random((2, 80, 128), dtype=np.float32))
        return Recordings(mel, [Line("words", "one two"), Line("words", "red")], torch.full((2, 80), 3))


def same_pictures(
    pool: object, rng: np.random.Generator, step: int, count: int
) -> tuple[torch.Tensor, list[Scene]]:
    scenes = [draw_scene(generator("dev", 0, "continuing", i)) for i in range(2)]
    return torch.from_numpy(np.random.default_rng(1).integers(0, 256, (2, 3, 96, 96), np.uint8)), scenes


def model_of(seed: int) -> Perception:
    torch.manual_seed(seed)
    return Perception()


def test_what_was_saved_is_loaded_and_the_heads_are_left(tmp_path: Path) -> None:
    saved, model, before = model_of(0), model_of(1), model_of(1).state_dict()
    tokenizer = tmp_path / "tokenizer.model"
    tokenizer.write_bytes(b"any")
    save_checkpoints(saved, tokenizer, tmp_path / "out", torch.float32)
    continuing.load_checkpoints(model, tmp_path / "out")
    for name, value in model.state_dict().items():
        wanted = before[name] if name.startswith(HEADS) else saved.state_dict()[name]
        assert torch.equal(value, wanted), name


def test_a_folder_that_lacks_a_file_is_named_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "vision_tiny").mkdir()
    (tmp_path / "vision_tiny/vision.pt").write_bytes(b"any")
    command = ["perception", "--stage", "answering", "--state", str(tmp_path), "--start-from", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit, match="2"):
        command_line.main()
    message = capsys.readouterr().err
    assert "omni_sft_tiny/omni.pt" in message and "tokenizer.model" in message
    assert "vision_tiny/vision.pt" not in message


def test_only_heads_are_fitted_and_they_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(continuing, "SpeechBatches", SameRecordings)
    monkeypatch.setattr(continuing, "picture_batch", same_pictures)
    model = model_of(0)
    before = {name: value.clone() for name, value in model.state_dict().items()}

    class Pool:
        seed = 0

    def fitted(steps: int) -> dict[str, float]:
        monkeypatch.setattr(continuing, "FIT_STEPS", steps)
        return continuing.fit_heads(model, Letters(), Pool(), Pool(), "cpu")  # type: ignore[arg-type]

    first, last = fitted(1), fitted(20)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]) != name.startswith(HEADS), name
    for figure in ("found", "shape", "ctc", "sound"):
        assert last[figure] < first[figure], figure
