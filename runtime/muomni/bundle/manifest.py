"""``manifest.json``: everything the runtime knows of a bundle, one dataclass a stage."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from muomni.errors import ManifestError

from . import strict_json

SCHEMA_VERSION = 1
MANIFEST_NAME = "manifest.json"


Precision = Literal["fp32", "fp16", "int8", "int4"]
"""How weights are stored: ``fp16`` is widened when loaded, ``int8`` and ``int4`` are blocks with scales."""

BITS: dict[Precision, float] = {"fp32": 32, "fp16": 32, "int8": 8 + 32 / 128, "int4": 4 + 32 / 128}
"""Bits of a weight as it is computed with: ``fp16`` widened, blocks of 128 with one float32 scale."""


@dataclass(frozen=True)
class FileEntry:
    """Size and digest of a file of the bundle."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class GraphEntry:
    """One ONNX graph and how far it was from its torch module when it was exported.

    ``max_error`` is the largest |graph - torch| over all outputs and inputs tried, divided by the largest
    |torch| of that output where that is above 1. ``agreement`` is, for the decoders, the share of
    positions at which both prefer the same token, torch's tokens being fed.
    """

    file: str
    parameters: int
    precision: Precision
    max_error: float
    tolerance: float
    agreement: float | None = None

    @property
    def weight_bytes(self) -> float:
        """Bytes of all its weights as they are computed with."""
        return self.parameters * BITS[self.precision] / 8


@dataclass(frozen=True)
class MelEntry:
    """A mel power spectrogram: Hann window, centred frames, reflect padding, power 2, no logarithm."""

    sample_rate_hz: int
    n_fft: int
    window_samples: int
    hop_samples: int
    bins: int
    filters: str
    """``.npy`` file, float32 (n_fft / 2 + 1, bins)."""


@dataclass(frozen=True)
class TokenizerEntry:
    """A SentencePiece model and its special ids."""

    file: str
    pieces: int
    unk_id: int
    bos_id: int
    eos_id: int


@dataclass(frozen=True)
class PromptEntry:
    """How a prompt is laid out, and what is asked when media come without text.

    ``default_spoken_question`` is for a picture or video together with a recording.
    """

    layout: Literal["[media] [bos] [text]"]
    media_order: tuple[str, ...]
    default_picture_question: str
    default_audio_question: str
    default_spoken_question: str
    video_frames: int


@dataclass(frozen=True)
class ThinkerStage:
    """Decoder-only language model; ``context_length`` counts positions, media embeddings included.

    ``draft_candidates`` above 0: so many logits, those of the likeliest tokens, are exact; the others are drafts.
    """

    graph: str
    width: int
    layers: int
    heads: int
    kv_heads: int
    head_size: int
    vocabulary: int
    context_length: int
    draft_candidates: int = 0


@dataclass(frozen=True)
class VisionStage:
    """Image encoder; ``embeddings_per_image`` rows enter the prompt (0: no projector in the checkpoint)."""

    graph: str
    image_size: int
    patch: int
    width: int
    patches: int
    embeddings_per_image: int


@dataclass(frozen=True)
class AudioStage:
    """Audio encoder; at most ``max_embeddings`` rows enter the prompt (0: no projector)."""

    graph: str
    mel: MelEntry
    downsampling: int
    width: int
    max_embeddings: int


@dataclass(frozen=True)
class SpokenTextEntry:
    """How a Talker is told what to say: letters become sounds, sounds become vectors that know their neighbours.

    The letters graph gives each letter ``slots`` choices among ``symbols`` (0 is nothing, i is sound i - 1 of the
    inventory). A vector depends on ``reach`` sounds to either side; ``sounds`` counts their numbers, padding and
    marks included. Frames of a sound are told apart up to ``elapsed``.
    """

    letters_graph: str
    context_graph: str
    inventory: str
    """``.json`` file, a list of names."""
    residual_by_base: str
    """``.npy`` file (K, K): the row of a frame's base code is added to its residual logits."""
    symbols: int
    slots: int
    sounds: int
    reach: int
    elapsed: int


@dataclass(frozen=True)
class TalkerStage:
    """Speech-code decoder; codes are frames of ``codebooks`` integers at ``frame_rate_hz``.

    ``start_codes`` is the pseudo frame that stands for the learned start embedding. ``text`` is None for a
    Talker that cannot be told what to say, such as the reference's.
    """

    graph: str
    width: int
    layers: int
    heads: int
    kv_heads: int
    head_size: int
    codebooks: int
    codebook_size: int
    start_codes: tuple[int, ...]
    frame_rate_hz: float
    context_length: int
    text: SpokenTextEntry | None = None


@dataclass(frozen=True)
class CodecStage:
    """Codes to mel frames (``graph``) and back (``encoder_graph``)."""

    graph: str
    encoder_graph: str
    codebooks: int
    codebook_size: int
    mel_bins: int


@dataclass(frozen=True)
class VocoderStage:
    """Mel to samples.

    ``hifigan``: the graph gives samples. ``spectral``: it gives a spectrum of ``n_fft``, which is inverted.
    ``griffin_lim``: no graph, but ``filters`` and ``iterations``. The mel is brought to 0…1 by the range of the
    utterance, or has come from the codec in a ``fixed_range``.
    """

    kind: Literal["hifigan", "spectral", "griffin_lim"]
    sample_rate_hz: int
    hop_samples: int
    n_fft: int
    mel_bins: int
    normalisation: Literal["utterance_min_max", "fixed_range"]
    graph: str | None = None
    receptive_field_frames: int | None = None
    filters: str | None = None
    iterations: int | None = None


@dataclass(frozen=True)
class MeasuredEntry:
    """How well the bundle did at one ability: the figure with its 95 % interval.

    It is the share of right replies, or with ``lower_is_better`` a word error rate.
    """

    ability: str
    value: float
    low: float
    high: float
    lower_is_better: bool
    samples: int
    seed: int
    """Names the samples, for whoever measures again."""


@dataclass(frozen=True)
class SourceEntry:
    """Where the weights came from."""

    checkpoint: str
    files: dict[str, str]
    """Stage -> file name and its sha256, as ``name sha256``."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Manifest:
    """Everything the runtime knows of a bundle."""

    schema_version: int
    muomni_version: str
    opset: int
    precision: str
    """As asked for at export; what each graph got is in ``graphs``."""
    source: SourceEntry
    files: dict[str, FileEntry]
    graphs: dict[str, GraphEntry]
    prompt: PromptEntry
    recording: str
    """``.npz`` file: inputs of every graph with what torch made of them at export."""
    tokenizer: TokenizerEntry | None = None
    thinker: ThinkerStage | None = None
    vision: VisionStage | None = None
    audio: AudioStage | None = None
    talker: TalkerStage | None = None
    codec: CodecStage | None = None
    vocoder: VocoderStage | None = None
    measured: tuple[MeasuredEntry, ...] = ()
    """Written after the export, by whoever evaluates the bundle."""

    @property
    def spoken_text(self) -> SpokenTextEntry | None:
        """How the Talker is told what to say; None where there is none, or one that cannot be told."""
        return None if self.talker is None else self.talker.text

    def drafts(self, graph: str) -> bool:
        """Whether only the likeliest logits of this graph are exact."""
        return self.thinker is not None and graph == self.thinker.graph and self.thinker.draft_candidates > 0

    def to_json(self) -> str:
        return json.dumps(strict_json.write(self), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def parse_manifest(text: str, where: str = MANIFEST_NAME) -> Manifest:
    """Read a manifest strictly.

    Raises:
        ManifestError: not JSON, another schema version, unknown keys, wrong types, dangling file names.
    """
    try:
        value = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ManifestError(f"{where}: not valid JSON ({error})") from error
    version = value.get("schema_version") if isinstance(value, dict) else None
    if version != SCHEMA_VERSION:
        raise ManifestError(
            f"{where}: schema version {version!r}, this muomni reads version {SCHEMA_VERSION}; "
            "export the checkpoint again with muomni-export, or install the muomni that wrote the bundle"
        )
    manifest = strict_json.read(Manifest, value, where)
    for name in manifest.files:
        if Path(name).name != name or name in ("", ".", ".."):
            raise ManifestError(f"{where}: file name {name!r} must be a plain name inside the bundle")
    for name, graph in manifest.graphs.items():
        if graph.file not in manifest.files:
            raise ManifestError(f"{where}: graph {name!r} names {graph.file!r}, which is not in 'files'")
    return manifest
