"""OCR as a stage: loaded with the characters of its ids, and described."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from muomni.bundle.manifest import OcrStage, Precision
from muomni.errors import CheckpointError
from muomni_export.modules.ocr import Ocr, OcrSizes
from muomni_export.notes import Note
from muomni_export.stages.loading import Loading
from muomni_export.stages.stage import GraphBuild, LoadedStage, StageExport, StateDict, SyntheticStage

from .characters import BY_CHARACTER, BY_ID, METADATA, find_characters
from .graphs import DECODER, ENCODER, END_IDS, MOST_CHARACTERS, START_ID, ocr_builds
from .sizes import DECODER_KEYS, VISION_KEYS, ocr_sizes

CHARACTERS = "ocr_characters.json"  # in the bundle
SMALLEST = 1 + max(START_ID, *END_IDS)
SYNTHETIC = ["<PAD>", "<BOS>", "<EOS>", "<UNK>", *"abcdefghijklmnopqrstuvwxyz0123456789 .,!?'-"]


@dataclass(frozen=True)
class LoadedOcr(LoadedStage):
    """``characters`` has the text of each id, empty where it stands for none."""

    ocr: Ocr
    characters: tuple[str, ...]

    @property
    def modules(self) -> Mapping[str, nn.Module]:
        return {"ocr": self.ocr}

    def graphs(self) -> list[GraphBuild]:
        return ocr_builds(self.ocr)

    def manifest_entry(self) -> dict[str, Any]:
        vision, decoder = self.ocr.sizes.vision, self.ocr.sizes.decoder
        stage = OcrStage(
            encoder_graph=ENCODER,
            graph=DECODER,
            image_size=vision.image_size,
            patches=vision.patches,
            layers=decoder.layers,
            heads=decoder.heads,
            kv_heads=decoder.kv_heads,
            head_size=decoder.head_size,
            vocabulary=self.ocr.sizes.vocabulary,
            characters=CHARACTERS,
            start_id=START_ID,
            end_ids=END_IDS,
            context_length=MOST_CHARACTERS,
        )
        return {"ocr": stage}

    def write_files(self, folder: Path, precision_of: Callable[[str], Precision]) -> None:
        text = json.dumps(self.characters, ensure_ascii=False)
        (folder / CHARACTERS).write_text(text + "\n", encoding="utf-8")


def load(loading: Loading) -> LoadedOcr | None:
    if not loading.has("ocr"):
        return None
    weights, notes = loading.weights("ocr"), loading.notes
    vocabulary, _ = loading.evidence("ocr").shape("decoder.char_embed.weight", 2)
    if vocabulary < SMALLEST:
        expected = f"at least {SMALLEST} rows, for the ids that begin and end a text"
        raise loading.evidence("ocr").refuse("decoder.char_embed.weight", expected, f"{vocabulary}")
    characters = find_characters(weights.source, vocabulary)
    alone = len(loading.checkpoint.weights) == 1
    heads = DECODER_KEYS["n_heads"]
    if characters is None:
        why = f"no file says which characters its ids are: copy {METADATA} or ocr.pt beside it"
        if alone:
            raise CheckpointError(f"{weights.source}: OCR: {why}")
        notes.append(Note("no_characters", "ocr", f"left out, because {why}"))
        return None
    if not any(characters):
        raise CheckpointError(f"{weights.source}: {BY_ID}: expected characters, got marks alone")
    if weights.config.get(heads) is None and not alone:
        # A published model has no section for it; those who want the rest should not have to write one.
        text = 'left out, because no config says {heads}: add it to a section "ocr" of the config'
        notes.append(Note("no_config", "ocr", text, {"heads": heads}))
        return None
    ocr = loading.module("ocr", lambda w: Ocr(ocr_sizes(w, notes)))
    return LoadedOcr(ocr, tuple(characters))


def _config(sizes: OcrSizes) -> dict[str, Any]:
    config: dict[str, Any] = {"img_size": sizes.vision.image_size, "patch": sizes.vision.patch}
    for part, keys in ((sizes.vision, VISION_KEYS), (sizes.decoder, DECODER_KEYS)):
        values = {"d_model": part.width, "n_layers": part.layers, "n_heads": part.heads, "d_ff": part.hidden}
        config |= {keys[key]: value for key, value in values.items()}
    decoder = sizes.decoder
    config |= {"use_gqa": not decoder.fused_qkv, "use_swiglu": decoder.activation == "swiglu"}
    return config | {"rope_theta": decoder.rope_theta}


def _beside() -> dict[str, Any]:
    return {
        BY_CHARACTER: {name: i for i, name in enumerate(SYNTHETIC)},
        BY_ID: dict(enumerate(SYNTHETIC)),
        "vocab_size": len(SYNTHETIC),
    }


OCR = StageExport(
    name="ocr",
    state_dicts=(StateDict("ocr", {"ocr": ("model",)}, "ocr"),),
    load=load,
    file_stems=("ocr",),
    folder_prefix="ocr",
    decoder_graphs=(DECODER,),
    synthetic=SyntheticStage(lambda sizes, width: {"ocr": Ocr(sizes)}, _config, _beside, needs_beside=True),
)
