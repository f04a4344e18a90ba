"""A step of the last stage: which parts of the model it teaches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from recipe.perception import answering
from recipe.perception.hearing import Recordings
from recipe.perception.model import Perception
from recipe.shards import PicturePool
from recipe.speech_pool import SpeechPool
from recipe.tokenizer import load_tokenizer
from recipe.world.lines import Line, LineKind, spoken_line
from recipe.world.scene import Scene, draw_scene

TOKENIZER = Path(__file__).parents[2] / "checkpoints/demo/omni_sft_tiny/tokenizer.model"
FEW = answering.Mixture(2, 3, 4, 8, 1, 3, 2, 2)


class Recorded:
    """Noise, of which lines of the kinds asked for are said to be spoken in it."""

    def __init__(
        self,
        pool: object,
        shards: int,
        every: int,
        first: int,
        kinds: tuple[LineKind, ...] = ("chat", "picture", "words"),
        patched: tuple[LineKind, ...] = ("words",),
    ) -> None:
        self.kinds = kinds

    def draw(self, rng: np.random.Generator, step: int, count: int) -> Recordings:
        lines: list[Line] = []
        while len(lines) < count:
            line = spoken_line("train", 0, int(rng.integers(1000)))
            lines += [line] if line.kind in self.kinds else []
        mel = torch.from_numpy(rng.random((count, 80, 128), dtype=np.float32))
        return Recordings(mel, lines, torch.full((count, 80), 3))


def pictures(
    pool: object, rng: np.random.Generator, step: int, count: int, shards: int, unknown: int
) -> tuple[torch.Tensor, list[Scene]]:
    images = rng.integers(0, 256, (count, 3, 96, 96), np.uint8)
    return torch.from_numpy(images), [draw_scene(rng) for _ in range(count)]


@pytest.mark.parametrize("frozen", [(), ("vision",), ("audio",), ("vision", "audio")])
def test_a_step_teaches_all_but_the_frozen_encoders(
    frozen: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answering, "SpeechBatches", Recorded)
    monkeypatch.setattr(answering, "picture_batch", pictures)
    torch.manual_seed(0)
    model = Perception()
    speech = SpeechPool(tmp_path, 0, tmp_path)
    stage = answering.Answering(
        model, load_tokenizer(TOKENIZER), PicturePool(tmp_path, 0, 96), speech, FEW, frozen=frozen
    )
    loss, figures = stage.loss(0)
    loss.backward()
    assert set(figures) == {*answering.PARTS, *(f"{part}_right" for part in answering.PARTS)}
    still = tuple(f"{name}." for part in frozen for name in (part, *answering.HEADS[part]))
    for name, parameter in model.named_parameters():
        learns = parameter.grad is not None and bool(parameter.grad.any())
        if name.startswith(still):
            assert not learns, name
        elif name.startswith(("thinker.blocks", "proj_", "audio.blocks", "vision.blocks", *stage_heads())):
            assert learns, name


def stage_heads() -> tuple[str, ...]:
    return tuple(f"{head}." for heads in answering.HEADS.values() for head in heads)
