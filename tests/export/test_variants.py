"""Every variant of the format, from checkpoint to reply, against torch without a cache.

Variants that do not touch each other share an export; together the sets hold each one. The Thinker is also
computed from the checkpoint file with plain torch operations, so that neither the loader nor the modules are
taken on trust.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F

import muomni
import muomni.media.image
from muomni.errors import StageError
from muomni.models.vocoder import normalise_mel
from muomni_export.checkpoint.checkpoint_set import read_checkpoint
from muomni_export.checkpoint.load import Modules, load_modules
from muomni_export.export import export_bundle
from muomni_export.modules.vocoder import VocoderSizes
from muomni_export.synthetic.checkpoint_set import SetSizes, set_sizes, write_random_set

pytestmark = pytest.mark.slow

IMAGES = [np.random.default_rng(i).integers(0, 256, (50, 40, 3), dtype=np.uint8) for i in range(2)]
SOUND = (np.random.default_rng(7).standard_normal(16_000).astype(np.float32) * 0.1, 16_000)
TEXTS = ("hi", "What do you see?", "the quick brown fox " * 4)
CLOSE = 1e-4

# Two convolutions where the smallest named size has 48: tracing it takes most of an export.
SMALL_VOCODER = VocoderSizes(128, 8, (16, 16), (32, 32), (3,), ((1, 3),))

Resize = Callable[[SetSizes], SetSizes]


def sizes(
    image_size: int = 32, patch: int = 16, width: int = 64, heads: int = 4, kv_heads: int = 2
) -> SetSizes:
    micro = set_sizes("micro")
    decoder = replace(micro.thinker.decoder, width=width, heads=heads, kv_heads=kv_heads)
    return replace(
        micro,
        vision=replace(micro.vision, image_size=image_size, patch=patch),
        thinker=replace(micro.thinker, decoder=decoder),
        vocoder=SMALL_VOCODER,
    )


@dataclass(frozen=True)
class Variant:
    name: str
    sizes: SetSizes
    options: dict[str, Any] = field(default_factory=dict)


VARIANTS = [
    Variant("GQA, SwiGLU, 8x audio, HiFi-GAN", sizes()),
    Variant(
        "fused qkv, GELU, 4x audio, Griffin-Lim, patch 8, bare files",
        sizes(image_size=24, patch=8),
        {"gqa": False, "activation": "gelu", "downsampling": 4, "without": ("vocoder",), "bare": True},
    ),
    Variant(
        "experts of SwiGLU, old audio attention, compiled, step files, weight norm, 3 heads over 1",
        sizes(image_size=30, patch=15, width=48, heads=3, kv_heads=1),
        {
            "experts": 4,
            "old_audio_attention": True,
            "compiled": True,
            "step_files": True,
            "weight_norm": "weight_g",
        },
    ),
    Variant(
        "experts of GELU, merged, float16 weights, heads of 32, patch 7, old 4x audio",
        sizes(image_size=35, patch=7, heads=2, kv_heads=1),
        {
            "experts": 3,
            "activation": "gelu",
            "merged": True,
            "dtype": torch.float16,
            "downsampling": 4,
            "old_audio_attention": True,
        },
    ),
]


@dataclass(frozen=True)
class Case:
    variant: Variant
    checkpoint: Path
    modules: Modules
    omni: muomni.Omni


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Small stages are faster on one thread, by far where the machine is busy."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module", params=VARIANTS, ids=lambda variant: variant.name)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    variant: Variant = request.param
    folder = tmp_path_factory.mktemp("variant")
    checkpoint = write_random_set(folder / "set", variant.sizes, seed=5, **variant.options)
    export_bundle(checkpoint, folder / "bundle")
    modules = load_modules(read_checkpoint(checkpoint))
    return Case(variant, checkpoint, modules, muomni.Omni.load(folder / "bundle", device="cpu", threads=1))


def greedy(modules: Modules, media: list[Tensor], ids: list[int], count: int, eos: int) -> list[int]:
    """The reference's loop without its cache: everything is computed anew for each token."""
    thinker = modules.thinker
    assert thinker is not None
    made: list[int] = []
    with torch.no_grad():
        while len(made) < count and eos not in made:
            text = thinker.tok_emb(torch.tensor([[*ids, *made]]))
            logits = thinker(torch.cat([*media, text], dim=1))
            made.append(int(logits[0, -1].argmax()))
    return made


def stored_thinker(checkpoint: Path) -> dict[str, Tensor]:
    """The fine-tuned Thinker's tensors as the file holds them, read without the exporter."""
    merged = checkpoint / "model.safetensors"
    if merged.exists():
        stored = load_file(merged)
    else:
        newest = max(checkpoint.glob("omni*.pt"), key=lambda file: len(file.name))  # …_9000 beats …_800
        payload = torch.load(newest, weights_only=True)
        stored = {f"thinker.{name}": tensor for name, tensor in payload["thinker"].items()}
    plain = {name.replace("_orig_mod.", ""): tensor.float() for name, tensor in stored.items()}
    return {name.removeprefix("thinker."): t for name, t in plain.items() if name.startswith("thinker.")}


def plain_logits(weights: dict[str, Tensor], ids: list[int], head: int) -> Tensor:
    """Ids (T) -> logits (T, V) of a Thinker with heads of that size, one operation after the other."""

    def norm(x: Tensor, name: str) -> Tensor:
        return x / (x.square().mean(-1, keepdim=True) + 1e-5).sqrt() * weights[f"{name}.weight"]

    def linear(x: Tensor, name: str) -> Tensor:
        return F.linear(x, weights[f"{name}.weight"], weights.get(f"{name}.bias"))

    def rotated(x: Tensor) -> Tensor:  # (T, heads, head)
        frequencies = 10_000.0 ** (-torch.arange(0, head, 2, dtype=torch.float64) / head)
        angles = torch.arange(len(x), dtype=torch.float64)[:, None] * torch.cat((frequencies, frequencies))
        first, second = x[..., : head // 2], x[..., head // 2 :]
        return (x * angles.cos()[:, None] + torch.cat((-second, first), -1) * angles.sin()[:, None]).float()

    def mlp(x: Tensor, name: str) -> Tensor:
        if f"{name}.fc1.weight" in weights:
            inner = linear(x, f"{name}.fc1")
            return linear(inner * (1 + torch.erf(inner / math.sqrt(2))) / 2, f"{name}.fc2")
        gate = linear(x, f"{name}.gate_proj")
        return linear(gate * gate.sigmoid() * linear(x, f"{name}.up_proj"), f"{name}.down_proj")

    def mixture(x: Tensor, name: str) -> Tensor:
        best, chosen = linear(x, f"{name}.router").softmax(-1).topk(2)
        rows = []
        for token, probabilities, experts in zip(x, best, chosen.tolist(), strict=True):
            parts = [
                p * mlp(token, f"{name}.experts.{e}") for p, e in zip(probabilities, experts, strict=True)
            ]
            rows.append((parts[0] + parts[1]) / probabilities.sum())
        return torch.stack(rows)

    def attention(x: Tensor, name: str) -> Tensor:
        if f"{name}.qkv.weight" in weights:
            q, k, v = linear(x, f"{name}.qkv").chunk(3, -1)
        else:
            q, k, v = (linear(x, f"{name}.{part}") for part in "qkv")
        q, k, v = (part.reshape(len(x), -1, head) for part in (q, k, v))
        q, k = rotated(q), rotated(k)
        shared = q.shape[1] // k.shape[1]
        outs = []
        for h in range(q.shape[1]):
            scores = q[:, h] @ k[:, h // shared].T / math.sqrt(head)
            scores = scores.masked_fill(torch.ones_like(scores).triu(1).bool(), -torch.inf)
            outs.append(scores.softmax(-1) @ v[:, h // shared])
        return linear(torch.cat(outs, -1), f"{name}.o")

    x = weights["tok_emb.weight"][ids]
    layer = 0
    while f"blocks.{layer}.norm1.weight" in weights:
        block = f"blocks.{layer}"
        x = x + attention(norm(x, f"{block}.norm1"), f"{block}.attn")
        y = norm(x, f"{block}.norm2")
        x = x + (
            mixture(y, f"{block}.moe") if f"{block}.moe.router.weight" in weights else mlp(y, f"{block}.mlp")
        )
        layer += 1
    assert layer
    return linear(norm(x, "norm"), "lm_head")


def test_the_variant_is_what_its_name_says(case: Case) -> None:
    modules, options = case.modules, case.variant.options
    assert modules.thinker is not None and modules.audio is not None and modules.vision is not None
    decoder, wanted = modules.thinker.sizes.decoder, case.variant.sizes
    assert decoder.fused_qkv != options.get("gqa", True)
    assert decoder.activation == options.get("activation", "swiglu")
    assert decoder.experts == options.get("experts", 0)
    assert modules.audio.sizes.downsampling == (options.get("downsampling") or 8)
    assert (modules.vocoder is not None) == ("vocoder" not in options.get("without", ()))
    assert modules.vision.sizes == wanted.vision
    assert decoder.head_size == wanted.thinker.decoder.head_size


def test_logits_are_those_of_the_stored_tensors(case: Case) -> None:
    ids = [1, *np.random.default_rng(3).integers(3, 500, 20).tolist()]
    head = case.variant.sizes.thinker.decoder.head_size
    expected = plain_logits(stored_thinker(case.checkpoint), ids, head)
    assert np.abs(case.omni.thinker.logits(ids) - expected.numpy()).max() < CLOSE


def test_text_is_the_references(case: Case) -> None:
    tokenizer = case.omni.tokenizer
    for text in TEXTS:
        reply = case.omni.generate(text, max_new_tokens=24)
        ids = [tokenizer.bos_id, *tokenizer.encode(text)]
        assert list(reply.token_ids) == greedy(case.modules, [], ids, 24, tokenizer.eos_id)


def test_images_and_sound_enter_the_prompt_in_the_references_order(case: Case) -> None:
    modules, omni = case.modules, case.omni
    assert modules.vision is not None and modules.vision_projector is not None
    assert modules.audio is not None and modules.audio_projector is not None
    media: list[Tensor] = []
    with torch.no_grad():
        for image in IMAGES:
            pixels = torch.from_numpy(muomni.media.image.pixels(image, modules.vision.sizes.image_size))[None]
            cls, grid = modules.vision(pixels)
            features = omni.vision.encode(image)
            assert np.abs(features.cls - cls[0].numpy()).max() < CLOSE
            assert np.abs(features.grid - grid[0].numpy()).max() < CLOSE
            media.append(modules.vision_projector(cls))
        mel = torch.from_numpy(omni.audio_encoder.mel(SOUND))[None]
        media.append(modules.audio_projector(modules.audio(mel)))
    downsampling = modules.audio.sizes.downsampling
    assert media[-1].shape[1] == -(-mel.shape[1] // downsampling)
    reply = omni.generate("What is it?", images=IMAGES, audio=SOUND, max_new_tokens=12)
    tokenizer = omni.tokenizer
    ids = [tokenizer.bos_id, *tokenizer.encode("What is it?")]
    assert list(reply.token_ids) == greedy(modules, media, ids, 12, tokenizer.eos_id)
    assert reply.prompt_tokens == 2 + media[-1].shape[1] + len(ids)


def test_speech_is_the_references(case: Case) -> None:
    modules, omni = case.modules, case.omni
    assert modules.talker is not None and modules.codec is not None
    codes = torch.zeros(1, 1, 2, dtype=torch.int64)
    with torch.no_grad():
        for _ in range(20):
            base, residual = modules.talker(modules.talker.embed(codes))
            frame = torch.stack((base[0, -1].argmax(), residual[0, -1].argmax()))
            codes = torch.cat((codes, frame[None, None]), dim=1)
        mel = modules.codec.decode(codes[:, 1:])[0].numpy()
    speech = omni.generate("hi", max_new_tokens=1, speech=True, speech_temperature=0, speech_frames=20).speech
    assert speech is not None
    assert speech.codes.tolist() == codes[0, 1:].tolist()
    assert np.abs(omni.codec.decode(speech.codes) - mel).max() < CLOSE
    assert (omni.codec.encode(mel) == modules.codec.encode(torch.from_numpy(mel)[None])[0].numpy()).all()
    assert speech.seconds == pytest.approx(20 * 0.08)
    if modules.vocoder is None:
        assert omni.manifest.vocoder is not None and omni.manifest.vocoder.kind == "griffin_lim"
        assert np.abs(speech.samples).max() == pytest.approx(0.95, abs=1e-3)
    else:
        with torch.no_grad():
            expected = modules.vocoder(torch.from_numpy(normalise_mel(mel))[None])[0].numpy()
        assert np.abs(omni.vocoder.samples(normalise_mel(mel)) - expected).max() < CLOSE


def test_a_batch_is_the_references_too(case: Case) -> None:
    texts = ["hi", "What do you see?", "one two three four five"]
    replies = case.omni.generate_batch([muomni.Request(text, max_new_tokens=15) for text in texts], slots=2)
    tokenizer = case.omni.tokenizer
    for text, reply in zip(texts, replies, strict=True):
        assert isinstance(reply, muomni.Reply)
        ids = [tokenizer.bos_id, *tokenizer.encode(text)]
        assert list(reply.token_ids) == greedy(case.modules, [], ids, 15, tokenizer.eos_id)


@pytest.fixture(scope="module")
def stage_folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``checkpoints`` of a set whose stages are exported one by one."""
    return write_random_set(tmp_path_factory.mktemp("stages") / "set", sizes(), seed=6).parent


def export_alone(folder: Path, out: Path) -> tuple[Modules, muomni.Omni]:
    export_bundle(folder, out)
    omni = muomni.Omni.load(out, device="cpu", threads=1)
    return load_modules(read_checkpoint(folder)), omni


def stages_of(omni: muomni.Omni) -> set[str]:
    names = ("tokenizer", "thinker", "vision", "audio", "talker", "codec", "vocoder")
    return {name for name in names if getattr(omni.manifest, name) is not None}


def test_a_thinker_folder_makes_a_bundle_that_answers_text_and_refuses_the_rest(
    stage_folders: Path, tmp_path: Path
) -> None:
    modules, omni = export_alone(stage_folders / "thinker_micro", tmp_path / "bundle")
    assert stages_of(omni) == {"tokenizer", "thinker"}
    ids = [1, *omni.tokenizer.encode("hi")]
    reply = omni.generate("hi", max_new_tokens=10)
    assert list(reply.token_ids) == greedy(modules, [], ids, 10, omni.tokenizer.eos_id)
    for stage, request in (
        ("vision", {"images": IMAGES}),
        ("vision", {"video": IMAGES}),
        ("audio", {"audio": SOUND}),
        ("talker", {"speech": True}),
    ):
        with pytest.raises(StageError, match=f"no {stage}"):
            omni.generate("hi", **request)  # type: ignore[arg-type]


def test_a_vision_folder_makes_a_bundle_that_encodes_images(stage_folders: Path, tmp_path: Path) -> None:
    modules, omni = export_alone(stage_folders / "vision_micro", tmp_path / "bundle")
    assert stages_of(omni) == {"vision"} and modules.vision is not None
    features = omni.vision.encode(IMAGES[0])
    with torch.no_grad():
        cls, grid = modules.vision(torch.from_numpy(muomni.media.image.pixels(IMAGES[0], 32))[None])
    assert np.abs(features.cls - cls[0].numpy()).max() < CLOSE
    assert np.abs(features.grid - grid[0].numpy()).max() < CLOSE
    assert features.embeds is None
    with pytest.raises(StageError, match="no projector"):
        omni.vision.embed(IMAGES)
    with pytest.raises(StageError, match="no tokenizer"):
        omni.generate("hi")


def test_an_audio_folder_makes_a_bundle_that_encodes_sound(stage_folders: Path, tmp_path: Path) -> None:
    modules, omni = export_alone(stage_folders / "audio_enc_micro", tmp_path / "bundle")
    assert stages_of(omni) == {"audio"} and modules.audio is not None
    features = omni.audio_encoder.encode(SOUND)
    with torch.no_grad():
        expected = modules.audio(torch.from_numpy(features.mel)[None])[0].numpy()
    assert np.abs(features.features - expected).max() < CLOSE
    assert features.embeds is None
    with pytest.raises(StageError, match="no tokenizer"):
        omni.generate(audio=SOUND)


def test_a_talker_folder_makes_a_bundle_that_speaks(stage_folders: Path, tmp_path: Path) -> None:
    modules, omni = export_alone(stage_folders / "talker_micro", tmp_path / "bundle")
    assert stages_of(omni) == {"talker", "codec", "vocoder"} and modules.talker is not None
    frames = np.array(list(omni.reference_talker.frames(6, muomni.SamplingOptions())))
    with torch.no_grad():
        codes = torch.from_numpy(np.concatenate(([[0, 0]], frames[:-1])))[None]
        base, residual = modules.talker(modules.talker.embed(codes))
    assert base[0, 1:].argmax(-1).tolist() == frames[:, 0].tolist()
    assert residual[0, 1:].argmax(-1).tolist() == frames[:, 1].tolist()
    assert len(omni.vocoder.samples(normalise_mel(omni.codec.decode(frames)))) == 6 * 256
