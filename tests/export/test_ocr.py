"""OCR: what the reference read, every variant against torch without a cache, and what is refused."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import muomni
from muomni.bench.stages import stage_actions
from muomni.bundle.folder import open_bundle
from muomni.cli.checks import bundle
from muomni.errors import BundleError, CheckpointError, InputError, StageError
from muomni.media.image import pixels
from muomni.models.registry import Models
from muomni.ort.device_memory import DeviceMemory
from muomni.ort.providers import import_onnxruntime
from muomni.ort.threads import thread_policy
from muomni_export.checkpoint.checkpoint_set import read_checkpoint
from muomni_export.checkpoint.load import Modules, load_modules
from muomni_export.export import export_bundle
from muomni_export.modules.decoder import DecoderSizes
from muomni_export.modules.ocr import Ocr, OcrSizes
from muomni_export.modules.vision import VisionSizes
from muomni_export.stages.ocr import LoadedOcr
from muomni_export.stages.ocr.characters import find_characters
from muomni_export.synthetic.checkpoint_set import set_sizes, write_random_set

DATA = Path(__file__).parents[1] / "data" / "parity"
EXPECTED: dict[str, Any] = json.loads((DATA / "expected" / "expected.json").read_text())["ocr"]
IMAGES = [DATA / "inputs" / f"image{index}.png" for index in range(2)]
PICTURE = np.random.default_rng(3).integers(0, 256, (50, 40, 3), dtype=np.uint8)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Small stages are faster on one thread, by far where the machine is busy."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def load(path: Path) -> Modules:
    return load_modules(read_checkpoint(path))


# The parity set.


@pytest.fixture(scope="module")
def omni(parity_bundle: Path) -> muomni.Omni:
    return muomni.Omni.load(parity_bundle, device="cpu")


def test_the_text_and_the_logits_are_the_references(omni: muomni.Omni) -> None:
    found = omni.ocr.recognise(IMAGES[0])
    made = len(EXPECTED["ids"]) - 1  # the reference was stopped there
    assert list(found.ids[:made]) == EXPECTED["ids"][1:]
    assert found.text[:made] == EXPECTED["text"]
    assert omni.ocr.read(IMAGES[0]) == found.text
    logits = omni.ocr.logits(IMAGES[0], EXPECTED["ids"])
    with np.load(DATA / "expected" / "arrays.npz") as arrays:
        assert np.abs(logits - arrays["ocr_logits"]).max() < 1e-4


def read_uncached(ocr: Ocr, image: Any, most: int = 128) -> list[int]:
    """The reference's loop: everything is computed anew for each character."""
    ids = [1]
    seen = torch.from_numpy(pixels(image, ocr.sizes.vision.image_size))[None]
    with torch.no_grad():
        while len(ids) <= most:
            ids.append(int(ocr(seen, torch.tensor([ids]))[0, -1].argmax()))
            if ids[-1] in (0, 2):
                break
    return ids[1:]


def test_128_characters_are_those_of_the_decoder_without_a_cache(omni: muomni.Omni) -> None:
    found = omni.ocr.recognise(IMAGES[1])
    assert len(found.ids) == 128
    assert list(found.ids) == read_uncached(load(DATA / "checkpoints" / "ocr_tiny").ocr, IMAGES[1])


def test_on_a_device_what_is_read_is_not_of_the_picture_before(
    parity_bundle: Path, omni: muomni.Omni
) -> None:
    """A picture's keys and values go there once a picture; the next one is read in the same memory."""
    memory = DeviceMemory(import_onnxruntime(), "cpu")
    models = Models(open_bundle(parity_bundle), "cpu", thread_policy(1), memory=memory)
    for image in IMAGES:
        assert models.ocr().recognise(image).ids == omni.ocr.recognise(image).ids


def test_it_begins_and_ends_as_the_reference_does(omni: muomni.Omni) -> None:
    stage = omni.ocr.stage
    assert (stage.start_id, stage.end_ids, stage.context_length) == (1, (2, 0), 128)


@pytest.mark.parametrize("end_ids", [(38, 5), (5, 38)])
def test_either_end_ends_the_text_and_is_no_part_of_it(
    omni: muomni.Omni, monkeypatch: pytest.MonkeyPatch, end_ids: tuple[int, int]
) -> None:
    monkeypatch.setattr(omni.ocr, "stage", replace(omni.ocr.stage, end_ids=end_ids))
    found = omni.ocr.recognise(IMAGES[0])
    assert (found.text, found.ids) == ("z0", (29, 30, 38))


def test_the_command_reads_and_says_what_it_read(parity_bundle: Path, omni: muomni.Omni) -> None:
    options = ["--image", str(IMAGES[0]), "--ocr", "--text", "What is it?", "--max-new-tokens", "2", "--json"]
    command = [sys.executable, "-m", "muomni.cli.run", "--model", str(parity_bundle), *options]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    text = omni.ocr.read(IMAGES[0])
    assert json.loads(result.stdout)["ocr"] == [text]
    assert f"text in the image: {text}\n" in result.stderr


def test_doctor_and_bench_know_it(parity_bundle: Path, omni: muomni.Omni) -> None:
    found = {check.name: check for check in bundle(parity_bundle, "cpu")}
    assert found["graphs"].status == "ok" and "ocr" in found["bundle"].data["stages"]
    assert {"ocr", "ocr_encoder"} <= found["graphs"].data["providers"].keys()
    actions, units = stage_actions(omni)
    actions["ocr"]()
    assert units["ocr"] == 128


@pytest.mark.parametrize(
    ("asked", "prompt"),
    [
        ({"text": "What is it?"}, "What is it? (OCR extracted: {})"),
        ({"prompt": "Read it."}, "Read it. (OCR extracted: {})"),
        ({}, "Extracted text from image: {}. Describe what you see."),
        ({"text": ""}, "Extracted text from image: {}. Describe what you see."),
    ],
    ids=["text", "prompt", "nothing", "empty text"],
)
def test_what_was_read_is_added_to_the_prompt_as_the_reference_adds_it(
    omni: muomni.Omni, asked: dict[str, str], prompt: str
) -> None:
    found = omni.ocr.read(IMAGES[0])
    options = {"images": [IMAGES[0]], "max_new_tokens": 4}
    reply = omni.generate(asked.get("text"), prompt=asked.get("prompt"), ocr=True, **options)
    plain = omni.generate(prompt.format(found), **options)
    assert reply.token_ids == plain.token_ids and reply.usage.text_tokens == plain.usage.text_tokens
    assert reply.ocr == (found,) and plain.ocr == ()
    assert reply.timings["ocr"] > 0 and {"ocr", "ocr_encoder"} <= reply.providers.keys()


def test_the_texts_of_several_images_are_read_in_their_order(omni: muomni.Omni) -> None:
    texts = tuple(omni.ocr.read(image) for image in IMAGES)
    request = muomni.Request("Read", images=IMAGES, ocr=True, max_new_tokens=2, truncate=True)
    assert omni.generate(request).ocr == texts
    (from_batch,) = omni.generate_batch([request])
    assert isinstance(from_batch, muomni.Reply) and from_batch.ocr == texts


def test_a_conversation_reads_too(omni: muomni.Omni) -> None:
    reply = omni.chat().say("Read", images=IMAGES[:1], ocr=True, max_new_tokens=2)
    assert reply.ocr == (omni.ocr.read(IMAGES[0]),)


def test_where_nothing_is_read_the_question_stays_and_a_note_says_so(
    omni: muomni.Omni, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(omni.ocr, "characters", ("",) * omni.ocr.stage.vocabulary)
    reply = omni.generate("What is it?", images=IMAGES[:1], ocr=True, max_new_tokens=4)
    assert reply.ocr == ("",) and "no text was found in the image" in reply.notes
    plain = omni.generate("What is it?", images=IMAGES[:1], max_new_tokens=4)
    assert reply.token_ids == plain.token_ids


def test_ids_outside_the_vocabulary_are_refused(omni: muomni.Omni) -> None:
    with pytest.raises(InputError, match="character id 42: expected 0 to 41"):
        omni.ocr.logits(IMAGES[0], [1, 42])


def test_a_changed_list_of_characters_is_refused(parity_bundle: Path, tmp_path: Path) -> None:
    changed = shutil.copytree(parity_bundle, tmp_path / "bundle")
    file = changed / "ocr_characters.json"
    file.write_text(file.read_text(encoding="utf-8").replace('"z"', '"Z"'), encoding="utf-8")
    with pytest.raises(BundleError, match=r"ocr_characters.json: the file changed since export"):
        muomni.Omni.load(changed, device="cpu").ocr.read(IMAGES[0])


# Variants of the format.

VISION = VisionSizes(image_size=32, patch=16, width=32, layers=1, heads=2, hidden=48)
VARIANTS: dict[str, tuple[OcrSizes, dict[str, Any]]] = {
    "GQA, SwiGLU": (OcrSizes(VISION, DecoderSizes(64, 2, 4, 2, 96), 48), {}),
    "fused, GELU, patch 7, one block, compiled step files": (
        OcrSizes(replace(VISION, image_size=35, patch=7), DecoderSizes(48, 1, 3, 3, 64, "gelu", True), 60),
        {"gqa": False, "activation": "gelu", "compiled": True, "step_files": True},
    ),
    "one key head, another theta, float16 weights": (
        OcrSizes(VISION, DecoderSizes(64, 3, 2, 1, 32, rope_theta=500.0), 47),
        {"dtype": torch.float16},
    ),
}


def random_ocr(folder: Path, sizes: OcrSizes, **options: Any) -> Path:
    """The folder of a random OCR model alone."""
    omni = write_random_set(folder / "set", replace(set_sizes("micro"), ocr=sizes), seed=8, **options)
    return omni.parent / "ocr_micro"


@pytest.mark.slow
@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_reads_what_torch_reads(tmp_path: Path, name: str) -> None:
    sizes, options = VARIANTS[name]
    checkpoint = random_ocr(tmp_path, sizes, **options)
    module = load(checkpoint).ocr
    assert module.sizes == sizes
    export_bundle(checkpoint, tmp_path / "bundle")
    omni = muomni.Omni.load(tmp_path / "bundle", device="cpu")
    assert list(omni.ocr.recognise(PICTURE).ids) == read_uncached(module, PICTURE)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp16", "int8", "int4"])
def test_other_precisions_stay_near(tmp_path: Path, precision: str) -> None:
    sizes, _ = VARIANTS["GQA, SwiGLU"]
    checkpoint = random_ocr(tmp_path, replace(sizes, vocabulary=128))
    report = export_bundle(checkpoint, tmp_path / "bundle", precision=precision)
    assert {row.graph: row.entry.precision for row in report.rows} == {
        "ocr_encoder": precision,
        "ocr": precision,
    }
    omni = muomni.Omni.load(tmp_path / "bundle", device="cpu")
    assert len(omni.ocr.recognise(PICTURE).ids) <= 128
    ids = [1, 5, 9, 7]
    exact = load(checkpoint).ocr(torch.from_numpy(pixels(PICTURE, 32))[None], torch.tensor([ids]))
    difference = np.abs(omni.ocr.logits(PICTURE, ids) - exact[0].numpy()).max()
    assert difference < {"fp16": 0.02, "int8": 0.2, "int4": 1.5}[precision]


def test_a_bundle_without_ocr_says_so(tmp_path: Path) -> None:
    omni = muomni.Omni.load(device="cpu")  # the demo
    with pytest.raises(StageError, match=r"this bundle has no ocr \(it has tokenizer, thinker, .*vocoder\)"):
        omni.generate("Read", images=[PICTURE], ocr=True)
    with pytest.raises(StageError, match="this bundle has no ocr"):
        omni.ocr.read(PICTURE)


# Where the characters are.


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(DATA / "configs", tmp_path / "configs")
    return shutil.copytree(DATA / "checkpoints" / "ocr_tiny", tmp_path / "checkpoints" / "ocr_tiny")


def edit(folder: Path, **changes: Any) -> None:
    """Replace entries of ``ocr.pt``; None removes one."""
    payload = torch.load(folder / "ocr.pt", weights_only=True) | changes
    torch.save({key: value for key, value in payload.items() if value is not None}, folder / "ocr.pt")


def characters(folder: Path) -> list[str] | None:
    return find_characters(folder / "ocr.pt", 42)


def by_id(folder: Path) -> dict[int, str]:
    named: dict[int, str] = torch.load(folder / "ocr.pt", weights_only=True)["idx_to_char"]
    return named


def test_marks_stand_for_no_character(folder: Path) -> None:
    named = characters(folder)
    assert named is not None and named[:6] == ["", "", "", "", "a", "b"] and named[40:] == [" ", "."]


def test_ids_may_be_strings(folder: Path) -> None:
    expected = characters(folder)
    edit(folder, idx_to_char={str(key): name for key, name in by_id(folder).items()})
    assert characters(folder) == expected


def test_the_map_of_characters_alone_is_enough(folder: Path) -> None:
    expected = characters(folder)
    edit(folder, idx_to_char=None)
    assert characters(folder) == expected


def test_a_final_file_has_its_characters_in_json_beside_it(folder: Path) -> None:
    expected, maps = characters(folder), torch.load(folder / "ocr.pt", weights_only=True)
    del maps["model"]
    edit(folder, idx_to_char=None, char_to_idx=None)
    (folder / "ocr_metadata.json").write_text(json.dumps(maps))
    assert characters(folder) == expected
    loaded = load(folder).find(LoadedOcr)
    assert loaded is not None and loaded.characters == tuple(expected or ())


def test_without_characters_ocr_alone_is_refused(folder: Path) -> None:
    edit(folder, idx_to_char=None, char_to_idx=None)
    with pytest.raises(
        CheckpointError,
        match=r"ocr.pt: OCR: no file says which characters its ids are",
    ):
        load(folder)


def test_without_characters_a_whole_set_goes_without_ocr(tmp_path: Path) -> None:
    omni = write_random_set(tmp_path / "set", "micro")
    edit(omni.parent / "ocr_micro", idx_to_char=None, char_to_idx=None)
    modules = load(omni)
    assert modules.ocr is None and modules.thinker is not None
    assert [note.code for note in modules.notes] == ["no_characters"]


def test_a_published_model_whose_config_knows_no_ocr_goes_without_it(tmp_path: Path) -> None:
    folder = write_random_set(tmp_path / "set", "micro", merged=True)
    config = json.loads((folder / "config.json").read_text())
    del config["ocr"]
    (folder / "config.json").write_text(json.dumps(config))
    modules = load(folder)
    assert modules.ocr is None and modules.thinker is not None
    assert any("left out, because no config says decoder_heads" in str(note) for note in modules.notes)


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ({"42": "x"}, "idx_to_char: expected ids below 42 .*got '42'; they come from different trainings"),
        ({-1: "x"}, "expected ids below 42 .*got -1"),
        ({"one": "x"}, "expected ids below 42 .*got 'one'"),
        ({True: "x"}, "expected ids below 42 .*got True"),
        ({5: 7}, "idx_to_char: expected a character for id 5, got 7"),
        ({5: "\ud83d"}, "expected a character for id 5"),
        ("abc", "idx_to_char: expected a map of ids to characters, got str"),
        ({0: "<PAD>"}, "expected characters, got marks alone"),
    ],
    ids=repr,
)
def test_maps_that_cannot_be_right_are_refused(folder: Path, named: Any, message: str) -> None:
    maps = torch.load(folder / "ocr.pt", weights_only=True)
    edit(folder, idx_to_char=None, char_to_idx=None)
    torch.save({"model": maps["model"], "idx_to_char": named}, folder / "ocr.pt")
    with pytest.raises(CheckpointError, match=message):
        load(folder)


def test_one_id_for_two_characters_is_refused(folder: Path) -> None:
    edit(folder, idx_to_char=None, char_to_idx={"a": 4, "b": 4})
    with pytest.raises(CheckpointError, match="expected one character for an id, got 'a' and 'b' for 4"):
        load(folder)


# Weights and configs.


def change_weights(folder: Path, change: Mapping[str, torch.Tensor | None]) -> None:
    state = torch.load(folder / "ocr.pt", weights_only=True)["model"] | change
    edit(folder, model={name: tensor for name, tensor in state.items() if tensor is not None})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"decoder.head.weight": torch.zeros(40, 64)}, r"model.decoder.head.weight \(expected \(42, 64\)"),
        ({"decoder.blocks.1.cross_attn.in_proj_bias": None}, "missing: .*blocks.1.cross_attn.in_proj_bias"),
        ({"decoder.blocks.0.extra": torch.zeros(2)}, "unknown: model.decoder.blocks.0.extra"),
        (
            {"decoder.char_embed.weight": torch.zeros(2, 64)},
            "at least 3 rows, for the ids that begin and end",
        ),
        ({"decoder.blocks.0.self_attn.qkv.weight": None}, "decoder.blocks.0.self_attn.k.weight is missing"),
        ({"vision_encoder.pos": torch.zeros(1, 100, 32)}, "vision_encoder.pos: expected one position for"),
        ({"decoder.char_embed.weight": None}, "model.decoder.char_embed.weight is missing"),
    ],
    ids=["head", "no bias", "extra", "few characters", "no attention", "positions", "no characters"],
)
def test_weights_that_do_not_fit_are_refused_by_name(folder: Path, change: Any, message: str) -> None:
    change_weights(folder, change)
    with pytest.raises(CheckpointError, match=message):
        load(folder)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"decoder_heads": None}, 'decoder_heads is missing, and the tensors of the ocr .*its section "ocr"'),
        ({"vision_heads": None}, "vision_heads is missing, and the tensors of the ocr"),
        ({"decoder_heads": 3}, "decoder_heads: expected a divisor of the width 64 of the ocr"),
        ({"decoder_heads": 8}, "multiple of 16, got 8 .*decoder_heads from"),
        ({"vision_heads": "two"}, "vision_heads of the ocr: expected a positive whole number, got 'two'"),
    ],
    ids=str,
)
def test_configs_that_do_not_tell_are_refused_by_key(folder: Path, config: Any, message: str) -> None:
    file = folder.parents[1] / "configs" / "ocr_tiny.json"
    said = json.loads(file.read_text()) | config
    file.write_text(json.dumps({key: value for key, value in said.items() if value is not None}))
    with pytest.raises(CheckpointError, match=message):
        load(folder)


def test_tensors_win_over_the_config_with_a_note(folder: Path) -> None:
    file = folder.parents[1] / "configs" / "ocr_tiny.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"decoder_layers": 9, "vision_d_ff": 7}))
    texts = [str(note) for note in load(folder).notes]
    assert "ocr: decoder_layers is 9 in the config, 2 in the tensors; used 2" in texts
    assert "ocr: vision_d_ff is 7 in the config, 64 in the tensors; used 64" in texts
