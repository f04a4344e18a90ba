"""The vocoder as a stage: its three kinds, and the rate of what they make."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from muomni.bundle.manifest import (
    GriffinLimVocoder,
    HifiganVocoder,
    Precision,
    SpectralVocoder,
    VocoderStage,
)
from muomni.errors import CheckpointError
from muomni_export.modules import vocoder as modules
from muomni_export.notes import Note
from muomni_export.stages.codec import LoadedCodec
from muomni_export.stages.evidence import Evidence
from muomni_export.stages.loading import Loading
from muomni_export.stages.mel_filters import write_mel_filters
from muomni_export.stages.stage import (
    BATCH,
    FRAMES,
    GraphBuild,
    LoadedStage,
    StageExport,
    StateDict,
    SyntheticStage,
    over_time,
)
from muomni_export.stages.talker.stage import LoadedTextTalker
from muomni_export.stages.weights import StageWeights

from .hifigan import hifigan_check, vocoder_sizes
from .spectral import SpectralVocoderGraph, spectral_check, spectral_sizes

GRIFFIN_LIM_ITERATIONS = 32  # the reference's
FILTERS = "vocoder_mel_filters.npy"


@dataclass(frozen=True)
class SpeechFrontEnd:
    """The mel spectrogram that speech is made from."""

    sample_rate_hz: int = 16_000
    n_fft: int = 1024
    hop_samples: int = 256


def speech_front_end(
    weights: StageWeights, stage: str, default: SpeechFrontEnd, notes: list[Note]
) -> SpeechFrontEnd:
    """``sample_rate`` (Hz), ``n_fft`` and ``hop_length`` (samples) from the config of the vocoder or Talker.

    Raises:
        CheckpointError: values that are no positive whole numbers.
    """
    found = Evidence(stage, weights, notes)
    return SpeechFrontEnd(
        found.positive("sample_rate") or default.sample_rate_hz,
        found.positive("n_fft") or default.n_fft,
        found.positive("hop_length") or default.hop_samples,
    )


@dataclass(frozen=True)
class LoadedVocoder(LoadedStage):
    """A vocoder and the mel spectrogram it is for."""

    front_end: SpeechFrontEnd

    @abstractmethod
    def stage(self) -> VocoderStage:
        """Its entry of the manifest."""

    def manifest_entry(self) -> dict[str, Any]:
        return {"vocoder": self.stage()}


@dataclass(frozen=True)
class LoadedHifigan(LoadedVocoder):
    vocoder: modules.Vocoder

    @property
    def modules(self) -> Mapping[str, nn.Module]:
        return {"vocoder": self.vocoder}

    def graphs(self) -> list[GraphBuild]:
        mel = torch.zeros(BATCH, FRAMES, self.vocoder.sizes.mel_bins)
        return [over_time("vocoder", self.vocoder, mel, hifigan_check(self.vocoder))]

    def stage(self) -> VocoderStage:
        sizes = self.vocoder.sizes
        return HifiganVocoder(
            graph="vocoder",
            sample_rate_hz=self.front_end.sample_rate_hz,
            hop_samples=sizes.hop_samples,
            mel_bins=sizes.mel_bins,
            normalisation="utterance_min_max",
        )


@dataclass(frozen=True)
class LoadedSpectralVocoder(LoadedVocoder):
    vocoder: modules.SpectralVocoder

    @property
    def modules(self) -> Mapping[str, nn.Module]:
        return {"vocoder": self.vocoder}

    def graphs(self) -> list[GraphBuild]:
        mel = torch.zeros(BATCH, FRAMES, self.vocoder.sizes.mel_bins)
        return [over_time("vocoder", SpectralVocoderGraph(self.vocoder), mel, spectral_check(self.vocoder))]

    def stage(self) -> VocoderStage:
        sizes = self.vocoder.sizes
        return SpectralVocoder(
            graph="vocoder",
            sample_rate_hz=self.front_end.sample_rate_hz,
            hop_samples=sizes.hop_samples,
            n_fft=sizes.n_fft,
            mel_bins=sizes.mel_bins,
            normalisation="fixed_range",
            receptive_field_frames=sizes.receptive_field_frames(),
        )


@dataclass(frozen=True)
class LoadedGriffinLim(LoadedVocoder):
    """No weights: speech is made from the mel alone."""

    mel_bins: int

    @property
    def modules(self) -> Mapping[str, nn.Module]:
        return {}

    def graphs(self) -> list[GraphBuild]:
        return []

    def stage(self) -> VocoderStage:
        return GriffinLimVocoder(
            sample_rate_hz=self.front_end.sample_rate_hz,
            hop_samples=self.front_end.hop_samples,
            n_fft=self.front_end.n_fft,
            mel_bins=self.mel_bins,
            normalisation="utterance_min_max",
            filters=FILTERS,
            iterations=GRIFFIN_LIM_ITERATIONS,
        )

    def write_files(self, folder: Path, precision_of: Callable[[str], Precision]) -> None:
        # The reference's Griffin-Lim inverts librosa's default (Slaney) filters.
        front = self.front_end
        write_mel_filters(folder / FILTERS, front.sample_rate_hz, front.n_fft, self.mel_bins)


def load(loading: Loading) -> LoadedVocoder | None:
    """The vocoder of the checkpoint; else Griffin-Lim for a codec; else nothing."""
    codec, notes = loading.find(LoadedCodec), loading.notes
    front = SpeechFrontEnd()
    if loading.has("talker"):
        front = speech_front_end(loading.weights("talker"), "talker", front, notes)
    if not loading.has("vocoder"):
        if loading.find(LoadedTextTalker) is not None:
            raise CheckpointError(
                f"{loading.weights('talker').source}: a text-conditioned Talker needs a vocoder; expected "
                "vocoder.pt in a vocoder_* folder beside it, found none"
            )
        if codec is None:
            return None
        notes.append(Note("griffin_lim", "vocoder", "no checkpoint found: speech is made with Griffin-Lim"))
        return LoadedGriffinLim(front, codec.codec.sizes.mel_bins)
    # What its own config leaves open comes from the Talker's.
    front = speech_front_end(loading.weights("vocoder"), "vocoder", front, notes)
    if "spectrum_head.weight" in loading.weights("vocoder").state:
        spectral = loading.module("vocoder", lambda w: modules.SpectralVocoder(spectral_sizes(w, notes)))
        loaded: LoadedVocoder = LoadedSpectralVocoder(front, spectral)
        bins = spectral.sizes.mel_bins
    else:
        hifigan = loading.module("vocoder", lambda w: modules.Vocoder(vocoder_sizes(w, notes)))
        loaded, bins = LoadedHifigan(front, hifigan), hifigan.sizes.mel_bins
    if codec is not None and codec.codec.sizes.mel_bins != bins:
        raise loading.mismatch(
            *("codec", "proj_out.weight", f"{codec.codec.sizes.mel_bins} mel bins"),
            *("vocoder", "conv_pre.weight", f"{bins} mel bins"),
        )
    return loaded


def _config(sizes: modules.VocoderSizes) -> dict[str, Any]:
    front = SpeechFrontEnd()
    return {
        "sample_rate": front.sample_rate_hz,
        "n_mels": sizes.mel_bins,
        "n_fft": front.n_fft,
        "hop_length": sizes.hop_samples,
        "upsample_initial_channel": sizes.channels,
        "upsample_rates": list(sizes.upsampling),
        "upsample_kernel_sizes": list(sizes.upsampling_kernels),
        "resblock_kernel_sizes": list(sizes.kernels),
        "resblock_dilation_sizes": [list(dilations) for dilations in sizes.dilations],
    }


VOCODER = StageExport(
    name="vocoder",
    state_dicts=(StateDict("vocoder", {"vocoder": ("generator",)}),),
    load=load,
    file_stems=("vocoder", "hifigan"),
    folder_prefix="vocoder",
    goes_with="talker",
    float_graphs=("vocoder",),
    synthetic=SyntheticStage(
        lambda sizes, width: {"vocoder": modules.Vocoder(sizes)}, _config, lambda: {"mpd": {}, "msd": {}}
    ),
)
