"""The weights between two saved models."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")

import torch

from recipe.perception.averaging import average
from recipe.perception.continuing import load_checkpoints
from recipe.perception.model import Perception
from recipe.perception.saving import AUDIO_FILE, save_checkpoints


def saved(seed: int, folder: Path, dtype: torch.dtype = torch.float32) -> Perception:
    torch.manual_seed(seed)
    model = Perception()
    tokenizer = folder.parent / "tokenizer.model"
    tokenizer.write_bytes(b"any")
    save_checkpoints(model, tokenizer, folder, dtype)
    return model


def test_a_quarter_of_the_way(tmp_path: Path) -> None:
    old, new = saved(0, tmp_path / "old"), saved(1, tmp_path / "new")
    average(tmp_path / "old", tmp_path / "new", 0.25, tmp_path / "out")
    between = Perception()
    load_checkpoints(between, tmp_path / "out")
    for part in ("thinker", "vision", "audio", "proj_a", "proj_v"):
        models = [dict(getattr(m, part).named_parameters()) for m in (old, new, between)]
        for name, weights in models[2].items():
            assert torch.allclose(weights, 0.75 * models[0][name] + 0.25 * models[1][name], atol=1e-6), name
    assert (tmp_path / "out/configs/omni_sft_tiny.json").is_file()


def test_halves_stay_halves_and_the_same_stays_the_same(tmp_path: Path) -> None:
    saved(0, tmp_path / "old", torch.float16)
    average(tmp_path / "old", tmp_path / "old", 0.3, tmp_path / "out")
    first, second = (torch.load(tmp_path / f / AUDIO_FILE, weights_only=True)["enc"] for f in ("old", "out"))
    assert all(torch.equal(first[name], weights) for name, weights in second.items())
    assert {weights.dtype for weights in second.values()} == {torch.float16}


def test_models_of_other_sizes_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    saved(0, tmp_path / "old")
    saved(1, tmp_path / "new")
    torch.save({"enc": {"a": torch.zeros(2)}}, tmp_path / "new" / AUDIO_FILE)
    with pytest.raises(ValueError, match="other weights"):
        average(tmp_path / "old", tmp_path / "new", 0.5, tmp_path / "out")
    assert not (tmp_path / "out").exists()
