"""The training loop and what it feeds: masks, labels, resuming."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from recipe.perception.loop import Plan, Run
from recipe.perception.prompts import IGNORED, tokens_of
from recipe.perception.seeing import centre_labels
from recipe.seeds import generator
from recipe.tokenizer import BOS, EOS
from recipe.world.scene import draw_scene


class Letters:
    """A tokenizer of single letters."""

    def encode(self, text: str) -> list[int]:
        return [ord(c) for c in text]


def test_only_replies_are_learned() -> None:
    tokens = tokens_of([[("ab", "c"), ("d", "ef")], [("a", "b")]], Letters(), limit=50)
    assert tokens.ids[0].tolist() == [BOS, 97, 98, 99, EOS, BOS, 100, 101, 102, EOS]
    assert tokens.targets[0].tolist() == [IGNORED, IGNORED, 99, EOS, IGNORED, IGNORED, 101, 102, EOS, IGNORED]
    assert tokens.ids[1].tolist() == [BOS, 97, 98, EOS] + [EOS] * 6
    assert tokens.targets[1].tolist() == [IGNORED, 98, EOS] + [IGNORED] * 7


def test_turns_that_do_not_fit_are_left_out() -> None:
    tokens = tokens_of([[("ab", "c"), ("d", "ef")]], Letters(), limit=8)
    assert tokens.ids[0].tolist() == [BOS, 97, 98, 99, EOS]


def test_centres_are_labelled_in_their_patch() -> None:
    scenes = [draw_scene(generator("dev", 0, "labels", i)) for i in range(20)]
    labels = centre_labels(scenes, side=12)
    flat = [(b, t) for b, scene in enumerate(scenes) for t in scene.things]
    for patch, (b, thing) in zip(labels["patch"].tolist(), flat, strict=True):
        index, cell = divmod(patch, 144)
        row, column = divmod(cell, 12)
        assert index == b and column <= thing.x * 12 <= column + 1 and row <= thing.y * 12 <= row + 1


def run(folder: Path, until: int) -> torch.nn.Module:
    torch.manual_seed(0)
    module = torch.nn.Linear(4, 2)

    def loss(step: int) -> tuple[torch.Tensor, dict[str, float]]:
        x = torch.from_numpy(generator("train", 0, "loop", step).standard_normal((8, 4), dtype=np.float32))
        return (module(x) - x[:, :2]).square().mean(), {}

    run = Run("test", folder, module, Plan(steps=10, rate=0.1, warm_up=2))
    run.train(loss, dict, log_every=5, until_step=until)
    return module


def test_a_resumed_run_ends_where_an_unbroken_one_does(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole", 10)
    run(tmp_path / "parts", 4)
    parts = run(tmp_path / "parts", 10)
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), parts.parameters(), strict=True))
