"""Training that goes on from a saved model."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from recipe.perception import __main__ as command_line
from recipe.perception import continuing, hearing
from recipe.perception.hearing import Recordings
from recipe.perception.model import Perception
from recipe.perception.saving import save_checkpoints
from recipe.seeds import generator
from recipe.world.lines import Line
from recipe.world.scene import Scene, draw_scene

from .letters import Letters

HEADS = ("ctc_head.", "sound_head.", "centre_head.")
STAGES_HEADS = {"seeing": HEADS[2:], "hearing": HEADS[:2]}
FIGURES = {"seeing": ("found", "shape"), "hearing": ("ctc", "sound")}


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


@pytest.mark.parametrize("stages", [("seeing",), ("hearing",), ("seeing", "hearing")])
def test_only_the_heads_asked_for_are_fitted_and_they_learn(
    stages: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(continuing, "SpeechBatches", SameRecordings)
    monkeypatch.setattr(continuing, "picture_batch", same_pictures)
    model = model_of(0)
    before = {name: value.clone() for name, value in model.state_dict().items()}

    class Pool:
        seed = 0

    def fitted(steps: int) -> dict[str, float]:
        monkeypatch.setattr(continuing, "FIT_STEPS", steps)
        return continuing.fit_heads(model, Letters(), Pool(), Pool(), stages, "cpu")  # type: ignore[arg-type]

    first, last = fitted(1), fitted(20)
    heads = tuple(head for stage in stages for head in STAGES_HEADS[stage])
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]) != name.startswith(heads), name
    for stage in stages:
        for figure in FIGURES[stage]:
            assert last[figure] < first[figure], figure


def test_stages_that_the_state_has_are_named(tmp_path: Path) -> None:
    model = model_of(0)
    torch.save({"average": hearing.trained_part(model).state_dict()}, tmp_path / "hearing.pt")
    assert continuing.load_stages(model_of(1), tmp_path, all_of_them=False) == {"hearing"}
    with pytest.raises(FileNotFoundError, match=r"seeing\.pt"):
        continuing.load_stages(model, tmp_path)
