"""The Talker as a stage: loaded with what belongs to it, and described."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from muomni.bundle.manifest import Precision, TalkerStage, TextInput
from muomni.errors import BundleError, CheckpointError
from muomni.speech.phonemes import Phonemes
from muomni_export.modules.phonemizer import Phonemizer
from muomni_export.modules.talker import Talker, TalkerSizes, TextTalker
from muomni_export.stages.decoder import decoder_config, decoder_fields
from muomni_export.stages.loading import Loading
from muomni_export.stages.stage import (
    Companions,
    GraphBuild,
    LoadedStage,
    StageExport,
    StateDict,
    SyntheticStage,
)

from . import reference, text
from .phonemizer import phonemizer_build
from .sizes import phonemizer_sizes, talker_sizes

# What lies beside the weights of a text-conditioned Talker, by the names they may have.
PHONEMIZER_FILES = ("phonemizer.pt", "letters.pt")
PHONEMES_FILES = ("phonemes.json", "sounds.json")
PHONEMES, RESIDUAL_BY_BASE = "phonemes.json", "residual_by_base.npy"  # in the bundle
CONTEXT = "context."  # names only a text-conditioned Talker has


@dataclass(frozen=True)
class LoadedTalker(LoadedStage):
    """The reference's Talker."""

    talker: Talker

    @property
    def modules(self) -> Mapping[str, nn.Module]:
        return {"talker": self.talker}

    def graphs(self) -> list[GraphBuild]:
        return [reference.talker_build(self.talker)]

    def start_codes(self) -> tuple[int, int]:
        """The pseudo frame that stands for the learned start."""
        return reference.start_codes(self.talker)

    def text_input(self) -> TextInput | None:
        """How a text gets into it; None where it does not."""
        return None

    def manifest_entry(self) -> dict[str, Any]:
        sizes = self.talker.sizes
        stage = TalkerStage(
            graph="talker",
            codebooks=2,
            codebook_size=sizes.codebook_size,
            start_codes=self.start_codes(),
            frame_rate_hz=sizes.frame_rate_hz,
            context_length=reference.POSITIONS,
            text=self.text_input(),
            **decoder_fields(sizes.decoder),
        )
        return {"talker": stage}


@dataclass(frozen=True)
class LoadedTextTalker(LoadedTalker):
    """A text-conditioned Talker, with its phonemizer and the list of phonemes that both know."""

    talker: TextTalker
    phonemizer: Phonemizer
    phonemes: Path

    @property
    def modules(self) -> Mapping[str, nn.Module]:
        return {"talker": self.talker, "phonemizer": self.phonemizer}

    def graphs(self) -> list[GraphBuild]:
        return [*text.text_talker_builds(self.talker), phonemizer_build(self.phonemizer)]

    def start_codes(self) -> tuple[int, int]:
        return text.start_codes(self.talker)

    def text_input(self) -> TextInput | None:
        sizes, phonemizer = self.talker.text, self.phonemizer.sizes
        return TextInput(
            phonemizer_graph="letters",
            context_graph="context",
            phonemes=PHONEMES,
            residual_by_base=RESIDUAL_BY_BASE,
            symbols=phonemizer.symbols,
            slots=phonemizer.slots,
            phoneme_ids=sizes.phonemes,
            context_phonemes=sizes.reach,
            elapsed_frames=sizes.elapsed,
        )

    def write_files(self, folder: Path, precision_of: Callable[[str], Precision]) -> None:
        shutil.copyfile(self.phonemes, folder / PHONEMES)
        table = self.talker.base_to_res.weight.numpy()
        full = precision_of("talker") == "fp32"
        np.save(folder / RESIDUAL_BY_BASE, table if full else table.astype(np.float16))


def load(loading: Loading) -> LoadedTalker | None:
    if not loading.has("talker"):
        return None
    sizes = talker_sizes(loading.weights("talker"), loading.notes)
    if sizes.text is None:
        return LoadedTalker(loading.module("talker", lambda _: Talker(sizes)))
    talker = loading.module("talker", lambda _: TextTalker(sizes))
    phonemizer = loading.module("phonemizer", lambda w: Phonemizer(phonemizer_sizes(w, loading.notes)))
    loaded = LoadedTextTalker(talker, phonemizer, loading.checkpoint.files["phonemes"])
    _check_phonemes(loading, loaded)
    return loaded


def _check_phonemes(loading: Loading, loaded: LoadedTextTalker) -> None:
    """The list of phonemes against the two modules that count them."""
    try:
        phonemes = Phonemes.read(loaded.phonemes)
    except BundleError as error:
        raise CheckpointError(str(error)) from error
    for name, tensor, needed, there in (
        ("talker", "context.emb.weight", phonemes.size, loaded.talker.text.phonemes),
        ("phonemizer", "symbol_head.weight", 1 + len(phonemes.symbols), loaded.phonemizer.sizes.symbols),
    ):
        if needed != there:
            weights = loading.weights(name)
            raise CheckpointError(
                f"{loaded.phonemes}: its {len(phonemes.symbols)} phonemes make {needed} numbers, "
                f"{weights.stored(tensor)} in {weights.source} has {there}; they come from different trainings"
            )


def companions(folder: Path, names: Collection[str]) -> Companions:
    """Phonemizer and phonemes beside a text-conditioned Talker; nothing beside the reference's."""
    if not any(name.startswith(CONTEXT) for name in names):
        return Companions({}, {})

    def place(names: tuple[str, ...]) -> Path:
        places = [folder / name for name in names]
        return next((place for place in places if place.is_file()), places[-1])

    return Companions({"phonemes": place(PHONEMES_FILES)}, {"phonemizer": place(PHONEMIZER_FILES)})


def _config(sizes: TalkerSizes) -> dict[str, Any]:
    rates = {"frame_ms": 1000 / sizes.frame_rate_hz, "sample_rate": 16_000}
    return decoder_config(sizes.decoder) | {"codebook_size": sizes.codebook_size} | rates


TALKER = StageExport(
    name="talker",
    state_dicts=(
        StateDict("talker", {"talker": ("talker",)}, "talker", needs="codec"),
        StateDict("phonemizer", {"phonemizer": ("letters",)}, "letters", config_key="letters"),
    ),
    load=load,
    file_stems=("talker",),
    folder_prefix="talker",
    decoder_graphs=("talker",),
    without_it="the model will not speak",
    companions=companions,
    synthetic=SyntheticStage(lambda sizes, width: {"talker": Talker(sizes)}, _config),
)
