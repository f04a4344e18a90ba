"""The audio encoder, the mel spectrogram it reads, and its projector into the Thinker."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor, nn

from muomni.bundle.manifest import AudioStage, MelEntry, Precision
from muomni_export.modules.audio_encoder import AudioEncoder, AudioSizes, MelCompression
from muomni_export.notes import Note
from muomni_export.parity.compare import GraphCheck, generator, normal, parameters_of, to_numpy
from muomni_export.parity.replay import Arrays

from .decoder import encoder_config
from .evidence import Evidence
from .loading import Loading
from .mel_filters import write_mel_filters
from .stage import (
    BATCH,
    FRAMES,
    GraphBuild,
    LoadedStage,
    StageExport,
    StateDict,
    SyntheticStage,
    over_time,
    training_head,
)
from .thinker import LoadedThinker
from .weights import StageWeights

HEADS, WIDTH = 3, 192  # the reference's
SHARE_OF_CONTEXT = 4  # the reference lets audio fill at most a quarter of the context
FILTERS = "audio_mel_filters.npy"


@dataclass(frozen=True)
class FrontEnd:
    """The mel spectrogram the audio encoder reads."""

    sample_rate_hz: int = 16_000
    n_fft: int = 1024
    window_samples: int = 400
    hop_samples: int = 160


def audio_sizes(weights: StageWeights, notes: list[Note]) -> AudioSizes:
    """Sizes of an audio encoder; downsampling 8 has one convolution more than 4.

    Raises:
        CheckpointError: tensors that are missing or do not fit together, heads that cannot be known.
    """
    found = Evidence("audio", weights, notes)
    by_8 = found.has("down.0.net.0.weight")
    downsampling = 8 if by_8 else 4
    channels, _, _, _ = found.shape("down.0.net.0.weight" if by_8 else "down.net.0.weight", 4)
    width, inputs = found.shape("proj.weight", 2)
    if inputs % channels:
        raise found.refuse("proj.weight", f"inputs for {channels} channels of mel bands", f"{inputs} inputs")
    mel_bins = downsampling * (inputs // channels)
    said = found.positive("mel_bins")
    if said is not None and said != mel_bins and -(-said // downsampling) == inputs // channels:
        raise found.wrong_value(
            "mel_bins", f"a multiple of the downsampling {downsampling} ({mel_bins})", said
        )
    layers = found.count("blocks.")
    hidden, _ = found.shape("blocks.0.mlp.0.weight", 2)
    for key, actual in (("mel_bins", mel_bins), ("downsample_time", downsampling), ("d_model", width)):
        found.compare(key, actual)
    found.compare("n_layers", layers)
    found.compare("d_ff", hidden)
    heads = found.heads(width, HEADS, WIDTH)
    compression = found.config.get("mel_compression", "none")
    if compression not in get_args(MelCompression):
        raise found.wrong_value(
            "mel_compression", f"one of {', '.join(get_args(MelCompression))}", compression
        )
    kernel = 0
    if found.has("blocks.0.conv.weight"):
        _, _, kernel = found.shape("blocks.0.conv.weight", 3)
    found.compare("convolution_kernel", kernel)
    return AudioSizes(mel_bins, downsampling, channels, width, layers, heads, hidden, compression, kernel)


def front_end(weights: StageWeights, notes: list[Note]) -> FrontEnd:
    """How the audio encoder's mel is made: ``sample_rate``, ``n_fft``, ``frame_win``, ``frame_hop``.

    Raises:
        CheckpointError: values that are no positive whole numbers, or a window longer than ``n_fft``.
    """
    found, default = Evidence("audio", weights, notes), FrontEnd()
    front = FrontEnd(
        found.positive("sample_rate") or default.sample_rate_hz,
        found.positive("n_fft") or default.n_fft,
        found.positive("frame_win") or default.window_samples,
        found.positive("frame_hop") or default.hop_samples,
    )
    if front.window_samples > front.n_fft:
        raise found.wrong_value("frame_win", f"at most n_fft ({front.n_fft}) samples", front.window_samples)
    return front


class AudioGraph(nn.Module):
    """Mel power -> features and, with a projector, what the Thinker reads."""

    def __init__(self, encoder: AudioEncoder, projector: nn.Module | None) -> None:
        super().__init__()
        self.encoder, self.projector = encoder, projector

    def forward(self, mel: Tensor) -> tuple[Tensor, ...]:
        features = self.encoder(mel)
        return (features,) if self.projector is None else (features, self.projector(features))


def audio_check(encoder: AudioEncoder, projector: nn.Module | None) -> GraphCheck:
    random, bins = generator(), encoder.sizes.mel_bins

    def case(batch: int, frames: int) -> Arrays:
        # Mel power of speech spans orders of magnitude; so does exp of a normal variate.
        return {"mel": np.exp(2 * normal(random, batch, frames, bins))}

    def reference(case: Arrays) -> Arrays:
        with torch.inference_mode():
            features = encoder(torch.from_numpy(case["mel"]))
            projected = {} if projector is None else {"embeds": projector(features)}
            return to_numpy(features=features, **projected)

    cases = [case(1, 24), case(1, 1), case(2, 57), case(3, 8), case(1, 301)]
    return GraphCheck("audio", parameters_of(encoder, projector), cases, reference)


@dataclass(frozen=True)
class LoadedAudio(LoadedStage):
    """``spoken_question`` is what is asked when a picture comes with a recording and no text; None where the config
    does not say. At most ``max_embeddings`` enter the prompt."""

    encoder: AudioEncoder
    projector: nn.Linear | None
    front_end: FrontEnd
    max_embeddings: int
    spoken_question: str | None

    @property
    def modules(self) -> Mapping[str, nn.Module]:
        projector = {} if self.projector is None else {"audio_projector": self.projector}
        return {"audio": self.encoder, **projector}

    def graphs(self) -> list[GraphBuild]:
        example = torch.zeros(BATCH, FRAMES, self.encoder.sizes.mel_bins)
        check = audio_check(self.encoder, self.projector)
        return [over_time("audio", AudioGraph(self.encoder, self.projector), example, check)]

    def manifest_entry(self) -> dict[str, Any]:
        sizes, front = self.encoder.sizes, self.front_end
        mel = MelEntry(
            sample_rate_hz=front.sample_rate_hz,
            n_fft=front.n_fft,
            window_samples=front.window_samples,
            hop_samples=front.hop_samples,
            bins=sizes.mel_bins,
            filters=FILTERS,
        )
        stage = AudioStage(
            graph="audio",
            mel=mel,
            downsampling=sizes.downsampling,
            width=sizes.width,
            max_embeddings=self.max_embeddings,
        )
        return {"audio": stage}

    def prompt_entry(self) -> dict[str, Any]:
        return {} if self.spoken_question is None else {"default_spoken_question": self.spoken_question}

    def write_files(self, folder: Path, precision_of: Callable[[str], Precision]) -> None:
        front, bins = self.front_end, self.encoder.sizes.mel_bins
        # HTK scale without area normalisation: torchaudio's MelSpectrogram defaults.
        write_mel_filters(folder / FILTERS, front.sample_rate_hz, front.n_fft, bins, htk=True, norm=None)


def load(loading: Loading) -> LoadedAudio | None:
    if not loading.has("audio"):
        return None
    weights, notes = loading.weights("audio"), loading.notes
    encoder = loading.module("audio", lambda w: AudioEncoder(audio_sizes(w, notes)))
    projector, most, thinker = None, 0, loading.find(LoadedThinker)
    if thinker is not None and loading.has("audio_projector"):
        to, most = thinker.width, thinker.thinker.sizes.context_length // SHARE_OF_CONTEXT
        projector = loading.module("audio_projector", lambda _: nn.Linear(encoder.sizes.width, to))
    question = loading.evidence("audio").text("spoken_question")
    return LoadedAudio(encoder, projector, front_end(weights, notes), most, question)


def _random(sizes: AudioSizes, width: int) -> dict[str, nn.Module]:
    return {"audio": AudioEncoder(sizes), "audio_projector": nn.Linear(sizes.width, width)}


def _config(sizes: AudioSizes) -> dict[str, Any]:
    front = FrontEnd()
    return {
        "mel_bins": sizes.mel_bins,
        "sample_rate": front.sample_rate_hz,
        "frame_hop": front.hop_samples,
        "frame_win": front.window_samples,
        "downsample_time": sizes.downsampling,
        **encoder_config(sizes),
    }


AUDIO = StageExport(
    name="audio",
    state_dicts=(
        StateDict("audio", {"audio": ("enc",)}, "audio_encoder", needs="audio_projector"),
        StateDict("audio_projector", {"omni": ("proj_a",)}, "proj_a"),
    ),
    load=load,
    file_stems=("audio_enc",),
    folder_prefix="audio_enc",
    without_it="the model will not listen",
    set_keys=("spoken_question",),
    synthetic=SyntheticStage(_random, _config, lambda: {"head": training_head()}),
)
