"""Random sets are complete, deterministic and readable in every form."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
import torch
from torch import nn

from muomni.errors import InputError, OutputError
from muomni_export.checkpoint.checkpoint_set import read_checkpoint
from muomni_export.checkpoint.load import Modules, load_modules
from muomni_export.synthetic.checkpoint_set import set_sizes, write_random_set
from muomni_export.synthetic.tokenizer import SMALLEST, tokenizer_model

STAGES = (
    "thinker",
    "vision",
    "vision_projector",
    "audio",
    "audio_projector",
    "talker",
    "codec",
    "vocoder",
    "ocr",
)
ENGLISH = (
    "It's 3.5 o'clock; the quick (brown) fox jumps \"over\"  a lazy dog - 100% sure?\nYes: [a] {b} <c> @d."
)


def load(path: Path) -> Modules:
    return load_modules(read_checkpoint(path))


def same(one: nn.Module | None, other: nn.Module | None) -> bool:
    assert one is not None and other is not None
    first, second = one.state_dict(), other.state_dict()
    return all(torch.allclose(first[name], second[name], atol=1e-5) for name in first)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Modules:
    return load(write_random_set(tmp_path_factory.mktemp("sets") / "plain", "micro"))


def test_plain_set_is_complete_and_needs_no_note(plain: Modules) -> None:
    assert all(getattr(plain, stage) is not None for stage in STAGES)
    assert plain.notes == ()
    sizes = set_sizes("micro")
    assert plain.thinker is not None and plain.thinker.sizes == sizes.thinker
    for stage in ("vision", "audio", "talker", "codec", "vocoder", "ocr"):
        assert getattr(plain, stage).sizes == getattr(sizes, stage)


@pytest.mark.parametrize(
    "form",
    [
        {"merged": True},
        {"bare": True},
        {"compiled": True},
        {"compiled": True, "merged": True, "old_audio_attention": True},
        {"step_files": True},
        {"old_audio_attention": True},
        {"weight_norm": "weight_g"},
        {"weight_norm": "parametrizations", "compiled": True},
    ],
    ids=str,
)
def test_forms_hold_the_same_weights(tmp_path: Path, plain: Modules, form: dict[str, Any]) -> None:
    modules = load(write_random_set(tmp_path / "set", "micro", **form))
    for stage in STAGES:
        assert same(getattr(modules, stage), getattr(plain, stage)), stage
    assert modules.notes == ()


def test_architectures(tmp_path: Path) -> None:
    modules = load(
        write_random_set(tmp_path / "a", "micro", gqa=False, activation="gelu", experts=4, downsampling=4)
    )
    assert modules.thinker is not None and modules.talker is not None and modules.audio is not None
    decoder = modules.thinker.sizes.decoder
    assert (decoder.kv_heads, decoder.fused_qkv, decoder.activation, decoder.experts) == (4, True, "gelu", 4)
    assert modules.talker.sizes.decoder.fused_qkv and modules.talker.sizes.decoder.experts == 0
    assert modules.audio.sizes.downsampling == 4


@pytest.mark.parametrize("merged", [False, True])
def test_stages_left_out(tmp_path: Path, merged: bool) -> None:
    path = write_random_set(
        tmp_path / "a", "micro", without=("vision", "audio", "talker", "ocr"), merged=merged
    )
    modules = load(path)
    assert [stage for stage in STAGES if getattr(modules, stage) is not None] == ["thinker"]
    assert len(modules.notes) == 3


def test_half_precision_and_no_vocoder(tmp_path: Path, plain: Modules) -> None:
    modules = load(write_random_set(tmp_path / "a", "micro", dtype=torch.bfloat16, without=("vocoder",)))
    assert modules.vocoder is None and modules.thinker is not None and plain.thinker is not None
    kept = plain.thinker.lm_head.weight.bfloat16().float()
    torch.testing.assert_close(modules.thinker.lm_head.weight.data, kept.data)


def test_seeds(tmp_path: Path, plain: Modules) -> None:
    assert same(load(write_random_set(tmp_path / "a", "micro", seed=0)).thinker, plain.thinker)
    assert not same(load(write_random_set(tmp_path / "b", "micro", seed=1)).thinker, plain.thinker)


def test_logits_are_of_order_one(plain: Modules) -> None:
    assert plain.thinker is not None and plain.talker is not None
    with torch.no_grad():
        logits = plain.thinker(plain.thinker.tok_emb(torch.arange(50)[None]))
        base, _ = plain.talker(plain.talker.embed(torch.arange(30).reshape(1, 15, 2)))
    assert 0.5 < logits.std() < 2 and 0.5 < base.std() < 2


def test_own_sizes(tmp_path: Path) -> None:
    sizes = set_sizes("micro")
    deeper = replace(
        sizes, name="deep", thinker=replace(sizes.thinker, decoder=replace(sizes.thinker.decoder, layers=5))
    )
    path = write_random_set(tmp_path / "a", deeper)
    assert path == tmp_path / "a" / "checkpoints" / "omni_sft_deep"
    thinker = load(path).thinker
    assert thinker is not None and thinker.sizes == deeper.thinker


@pytest.mark.parametrize(("name", "times"), [("tiny", 1), ("x4", 4), ("x16", 16)])
def test_named_sizes(name: str, times: int) -> None:
    def parameters(name: str) -> int:
        sizes = set_sizes(name).thinker
        d = sizes.decoder
        attention = 2 * d.width**2 + 2 * d.width * d.kv_heads * d.head_size
        return 2 * sizes.vocabulary * d.width + d.layers * (attention + 3 * d.width * d.hidden)

    assert parameters(name) / parameters("tiny") == pytest.approx(times, rel=0.05)
    assert set_sizes(name).thinker.vocabulary == 32_000


def test_refusals(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected one of tiny, micro, x4, x16, got 'huge'"):
        write_random_set(tmp_path / "a", "huge")
    with pytest.raises(InputError, match="expected 4 or 8, got 2"):
        write_random_set(tmp_path / "a", "micro", downsampling=2)
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").touch()
    with pytest.raises(OutputError, match=r"taken: already there"):
        write_random_set(tmp_path / "taken", "micro")
    small = replace(set_sizes("micro"), thinker=replace(set_sizes("micro").thinker, vocabulary=100))
    with pytest.raises(InputError, match="vocabulary"):
        write_random_set(tmp_path / "a", small)
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


@pytest.mark.parametrize("vocabulary", [SMALLEST, 512, 5000, 32_000])
def test_tokenizer(vocabulary: int) -> None:
    model = sentencepiece.SentencePieceProcessor(model_proto=tokenizer_model(vocabulary))
    assert model.get_piece_size() == vocabulary
    assert (model.unk_id(), model.bos_id(), model.eos_id(), model.pad_id()) == (0, 1, 2, -1)
    for text in (ENGLISH, "naïve – 日本語 🙂", " ".join(["mmmm"] * 20)):
        assert model.decode(model.encode(text)) == text
    assert len(model.encode(ENGLISH)) <= len(ENGLISH) + 1
    assert len({model.id_to_piece(i) for i in range(vocabulary)}) == vocabulary
    assert tokenizer_model(vocabulary) == tokenizer_model(vocabulary)
