"""The training loop and what it feeds: masks, labels, resuming."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from muomni_export.modules.decoder import CausalAttend, DecoderSizes
from recipe.perception.attention import HalfAttention
from recipe.perception.loop import Plan, Run, optimizers
from recipe.perception.prompts import IGNORED, LENGTH_STEP, tokens_of, with_slips
from recipe.perception.seeing import centre_labels
from recipe.seeds import generator
from recipe.tokenizer import BOS, EOS
from recipe.world.scene import draw_scene

from .letters import Letters


def test_only_replies_are_learned() -> None:
    tokens = tokens_of([[("ab", "c"), ("d", "ef")], [("a", "b")]], Letters(), limit=50)
    assert tokens.ids.shape == tokens.targets.shape == (2, LENGTH_STEP)
    assert tokens.ids[0, :10].tolist() == [BOS, 97, 98, 99, EOS, BOS, 100, 101, 102, EOS]
    assert tokens.targets[0, :9].tolist() == [IGNORED, IGNORED, 99, EOS, IGNORED, IGNORED, 101, 102, EOS]
    assert tokens.ids[1, :4].tolist() == [BOS, 97, 98, EOS]
    assert tokens.targets[1, :3].tolist() == [IGNORED, 98, EOS]
    assert tokens.ids[0, 10:].unique().tolist() == tokens.ids[1, 4:].unique().tolist() == [EOS]
    assert tokens.targets[0, 9:].unique().tolist() == tokens.targets[1, 3:].unique().tolist() == [IGNORED]


def test_turns_that_do_not_fit_are_left_out() -> None:
    tokens = tokens_of([[("ab", "c"), ("d", "ef")]], Letters(), limit=8)
    assert tokens.ids[0].tolist() == [BOS, 97, 98, 99, EOS, EOS, EOS, EOS]


def test_slips_change_what_is_fed_and_not_what_is_learned() -> None:
    tokens = tokens_of([[("ab" * 20, "c" * 200)], [("a", "b" * 20)]], Letters(), limit=400)
    slipped = with_slips(tokens, 0.25, 1000, np.random.default_rng(0))
    assert torch.equal(slipped.targets, tokens.targets)
    changed = slipped.ids != tokens.ids
    replied = torch.zeros_like(changed)
    replied[0, 41:241] = replied[1, 2:22] = True
    assert not changed[~replied].any()  # questions, marks and padding stay
    assert 0.18 < changed[replied].float().mean() < 0.32


def test_matrices_inside_blocks_are_muons_and_the_rest_adams() -> None:
    module = torch.nn.ModuleDict(
        {"blocks": torch.nn.ModuleList([torch.nn.Linear(4, 3)]), "emb": torch.nn.Embedding(5, 4)}
    )
    adam, muon = optimizers(dict(module.named_parameters()), Plan(steps=1, rate=0.1))
    assert [p.shape for g in muon.param_groups for p in g["params"]] == [(3, 4)]
    assert sorted(p.numel() for g in adam.param_groups for p in g["params"]) == [3, 20]


def test_centres_are_labelled_in_their_patch() -> None:
    scenes = [draw_scene(generator("dev", 0, "labels", i)) for i in range(20)]
    labels = centre_labels(scenes, side=12)
    flat = [(b, t) for b, scene in enumerate(scenes) for t in scene.things]
    assert flat
    for patch, (b, thing) in zip(labels["patch"].tolist(), flat, strict=True):
        index, cell = divmod(patch, 144)
        row, column = divmod(cell, 12)
        assert index == b and column <= thing.x * 12 <= column + 1 and row <= thing.y * 12 <= row + 1


def run(folder: Path, until: int) -> torch.nn.Module:
    torch.manual_seed(0)
    # Matrices for Muon, biases for AdamW: both must resume.
    blocks = torch.nn.ModuleList([torch.nn.Linear(4, 4), torch.nn.Linear(4, 2)])
    module = torch.nn.ModuleDict({"blocks": blocks})

    def loss(step: int) -> tuple[torch.Tensor, dict[str, float]]:
        x = torch.from_numpy(generator("train", 0, "loop", step).standard_normal((8, 4), dtype=np.float32))
        return (blocks[1](blocks[0](x)) - x[:, :2]).square().mean(), {}

    run = Run("test", folder, module, Plan(steps=10, rate=0.1, warm_up=2))
    run.train(loss, dict, log_every=5, until_step=until)
    return module


def test_a_resumed_run_ends_where_an_unbroken_one_does(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole", 10)
    run(tmp_path / "parts", 4)
    parts = run(tmp_path / "parts", 10)
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), parts.parameters(), strict=True))


@pytest.mark.parametrize("kv_heads", [6, 3, 1])
def test_attention_of_training_is_torchs(kv_heads: int) -> None:
    torch.manual_seed(0)
    sizes = DecoderSizes(width=96, layers=1, heads=6, kv_heads=kv_heads, hidden=8)
    query, key, value = (torch.randn(2, 33, 16 * n, requires_grad=True) for n in (6, kv_heads, kv_heads))
    plain = CausalAttend()(0, query, key, value, sizes)
    wanted = torch.autograd.grad(plain.square().sum(), (query, key, value))
    with HalfAttention():
        half = CausalAttend()(0, query, key, value, sizes)
    assert half.dtype == torch.bfloat16  # it was this attention that ran
    got = torch.autograd.grad(half.float().square().sum(), (query, key, value))
    for a, b in ((plain, half), *zip(wanted, got, strict=True)):
        assert (a - b).norm() < 0.02 * a.norm()


def test_attention_with_a_mask_is_left_to_torch() -> None:
    q = torch.randn(1, 2, 5, 8)
    mask = torch.ones(5, 5, dtype=torch.bool).tril()
    plain = torch.nn.functional.scaled_dot_product_attention(q, q, q, attn_mask=mask)
    with HalfAttention():
        assert torch.equal(torch.nn.functional.scaled_dot_product_attention(q, q, q, attn_mask=mask), plain)
