"""The model in training: what a step feeds it, what it replies, and what is saved of it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("soxr")

import torch

from muomni_export.modules.audio_encoder import AudioEncoder, compress_mel
from muomni_export.modules.thinker import Thinker
from muomni_export.modules.vision import VisionEncoder
from recipe.abilities import ABILITIES
from recipe.cases import Case
from recipe.evaluate import measure
from recipe.perception.hearing import Recordings, ctc_loss, hearing_loss
from recipe.perception.model import Perception
from recipe.perception.prompts import reply_loss, tokens_of
from recipe.perception.replying import Replier
from recipe.perception.saving import save_checkpoints
from recipe.pictures import picture
from recipe.seeds import generator
from recipe.sound import NO_SOUND
from recipe.tokenizer import EOS
from recipe.world.lines import Line
from recipe.world.scene import draw_scene

from .letters import Letters


@pytest.fixture(scope="module")
def model() -> Perception:
    torch.manual_seed(0)
    return Perception().eval()


def test_a_picture_is_thirty_six_embeddings(model: Perception) -> None:
    media, grid = model.see(torch.zeros(2, 3, 96, 96, dtype=torch.uint8))
    assert media.shape == (2, model.sizes.image_embeddings, 192) == (2, 36, 192)
    assert grid.shape == (2, 144, 128)


def test_what_a_moment_sounds_like_hangs_on_nothing_that_comes_later(model: Perception) -> None:
    """So sound can be looked through as it comes: no loudest moment of the whole has to be known."""
    mel = torch.from_numpy(np.random.default_rng(0).gamma(1, 1, (1, 160, 128)).astype(np.float32))
    louder = mel.clone()
    louder[:, 80:] *= 300
    kind = model.sizes.audio.mel_compression
    one, other = (compress_mel(sound, kind) for sound in (mel, louder))
    assert torch.equal(one[:, :80], other[:, :80]) and not torch.allclose(one, other)
    assert model.audio(mel).shape == (1, 20, 160)


def test_the_loss_is_of_the_reply_after_the_media(model: Perception) -> None:
    tokens = tokens_of([[("ab", "c")], [("b", "de")]], Letters(), limit=50)
    media = torch.randn(2, 3, 192)
    loss, _ = reply_loss(model, media, tokens)
    x = torch.cat((media, model.thinker.tok_emb(tokens.ids)), dim=1)
    logs = model.thinker(x).log_softmax(-1)
    first = [logs[0, 5, 99], logs[0, 6, EOS]]
    second = [logs[1, 4, 100], logs[1, 5, 101], logs[1, 6, EOS]]
    assert torch.isclose(loss, -torch.stack(first + second).mean(), atol=1e-5)


def test_replies_are_the_greedy_ones(model: Perception) -> None:
    rng = generator("dev", 0, "model test", 0)
    case = Case("x", "x", ("ab",), "", image=picture(draw_scene(rng), rng))
    replier = Replier(model, Letters())  # type: ignore[arg-type]
    got = replier(case)
    media = replier._media(case)
    ids = [1, 97, 98]
    with torch.no_grad():
        for _ in range(5):
            x = torch.cat((media, model.thinker.tok_emb(torch.tensor([ids]))), dim=1)
            ids.append(int(model.thinker(x)[0, -1].argmax()))
    assert got.startswith(Letters().decode(ids[3:]))


def test_unknown_sounds_do_not_teach(model: Perception) -> None:
    features = torch.randn(1, 20, 160)
    losses = []
    for sound in (NO_SOUND, 5):
        batch = Recordings(torch.zeros(1, 160, 128), [Line("words", "ab")], torch.full((1, 160), sound))
        _, parts = hearing_loss(model, Letters(), features, batch)  # type: ignore[arg-type]
        losses.append(parts["sound"])
    assert losses[0] == 0 < losses[1]


def test_ctc_is_per_piece() -> None:
    logits = torch.zeros(2, 10, 50)
    short, both = ctc_loss(logits[:1], [[3, 4]]), ctc_loss(logits, [[3, 4], [3, 4]])
    assert torch.isclose(short, both)


def test_saved_checkpoints_load_into_the_stages(model: Perception, tmp_path: Path) -> None:
    tokenizer = tmp_path / "tokenizer.model"
    tokenizer.write_bytes(b"pieces")
    save_checkpoints(model, tokenizer, tmp_path / "out", torch.float16)
    folder = tmp_path / "out"
    load = {p.name: torch.load(p, weights_only=True) for p in folder.glob("*/*.pt")}
    sizes = model.sizes
    Thinker(sizes.thinker).load_state_dict(load["omni.pt"]["thinker"], strict=True)
    VisionEncoder(sizes.vision).load_state_dict(load["vision.pt"]["vit"], strict=True)
    AudioEncoder(sizes.audio).load_state_dict(load["audio_enc.pt"]["enc"], strict=True)
    omni = json.loads((tmp_path / "out/configs/omni_sft_tiny.json").read_text())
    assert omni["image_embeddings"] == {"source": "grid", "pool": 2}
    assert (folder / "omni_sft_tiny" / "tokenizer.model").read_bytes() == b"pieces"
    assert load["omni.pt"]["proj_v"]["weight"].dtype == torch.float16


def test_measuring_counts_what_is_right() -> None:
    class Maker:
        pass

    always = {"toy": (lambda maker, i: Case("toy", "k", ("q",), "yes." if i % 4 else "no."), 0.5)}
    original = dict(ABILITIES)
    ABILITIES.update(always)  # type: ignore[arg-type]
    try:
        result = measure(lambda case: "Yes", Maker(), "toy", 40)  # type: ignore[arg-type]
    finally:
        ABILITIES.clear()
        ABILITIES.update(original)
    assert result.value == 0.75 and result.low < 0.75 < result.high and result.reached
    assert result.wrong_by_kind == {"k": 10}
