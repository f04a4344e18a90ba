"""``manifest.json``: everything the runtime knows of a bundle. Its format is described in docs/bundle-format.md."""

# No "from __future__ import annotations": the reader needs the types themselves, and to evaluate strings takes 1 ms.

import hashlib
import json
from dataclasses import dataclass
from typing import Annotated, Literal

from muomni.errors import ManifestError

from . import strict_json
from .stages import (
    FILE,
    GRAPH,
    AudioStage,
    CodecStage,
    DecoderStage,
    FileName,
    FloatDtype,
    GraphName,
    GriffinLimVocoder,
    HifiganVocoder,
    MelEntry,
    OcrStage,
    SpectralVocoder,
    TalkerStage,
    TextInput,
    ThinkerStage,
    TokenizerEntry,
    VisionStage,
    VocoderStage,
)
from .strict_json import Matches, Range, require
from .versions import READS_WITH, SCHEMA_VERSION, to_current

__all__ = [
    "MANIFEST_NAME",
    "READS_WITH",
    "SCHEMA_VERSION",
    "AudioStage",
    "CodecStage",
    "DecoderStage",
    "FileEntry",
    "FloatDtype",
    "GraphEntry",
    "GriffinLimVocoder",
    "HifiganVocoder",
    "Manifest",
    "MeasuredEntry",
    "MelEntry",
    "OcrStage",
    "Precision",
    "PromptEntry",
    "SourceEntry",
    "SpectralVocoder",
    "TalkerStage",
    "TextInput",
    "ThinkerStage",
    "TokenizerEntry",
    "VisionStage",
    "VocoderStage",
    "parse_manifest",
]

MANIFEST_NAME = "manifest.json"

Count = Annotated[int, Range(0)]
Share = Annotated[float, Range(0, 1)]
NotNegative = Annotated[float, Range(0)]

Precision = Literal["fp32", "fp16", "int8", "int4"]
"""How weights are stored: ``int8`` and ``int4`` are blocks with scales, ``fp16`` is widened when loaded where the graph
computes in float32."""

STAGES = ("thinker", "vision", "audio", "talker", "codec", "vocoder", "ocr")

_CODE_BITS: dict[Precision, int] = {"int8": 8, "int4": 4}
_BLOCK = 128


@dataclass(frozen=True)
class FileEntry:
    """Size and digest of a file of the bundle."""

    bytes: Count
    sha256: Annotated[str, Matches("[0-9a-f]{64}", "64 hexadecimal digits")]


@dataclass(frozen=True)
class GraphEntry:
    """One ONNX graph and how far it was from its torch module when it was exported.

    ``max_error`` is the largest |graph - torch| over all outputs and inputs tried, divided by the largest
    |torch| of that output where that is above 1. ``agreement`` is, for the decoders, the share of
    positions at which both prefer the same token, torch's tokens being fed. ``compute_dtype`` is the type of the
    numbers inside, between what the contract says of inputs and outputs.
    """

    file: FileName
    parameters: Count
    precision: Precision
    max_error: NotNegative
    tolerance: NotNegative
    agreement: Share | None = None
    compute_dtype: FloatDtype = "float32"

    @property
    def weight_bits(self) -> float:
        """Bits of a weight as it is computed with: blocks of 128 codes with one scale, or as wide as the numbers."""
        wide = 32 if self.compute_dtype == "float32" else 16
        code = _CODE_BITS.get(self.precision)
        return wide if code is None else code + wide / _BLOCK

    @property
    def weight_bytes(self) -> float:
        """Bytes of all its weights as they are computed with."""
        return self.parameters * self.weight_bits / 8


@dataclass(frozen=True)
class PromptEntry:
    """How a prompt is laid out, and what is asked when media come without text.

    ``default_spoken_question`` is for a picture or video together with a recording.
    """

    layout: Literal["[media] [bos] [text]"]
    media_order: tuple[Literal["image", "video", "audio"], ...]
    default_picture_question: str
    default_audio_question: str
    default_spoken_question: str
    video_frames: Annotated[int, Range(1, 10_000)]


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
    samples: Count
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
    """Everything the runtime knows of a bundle.

    Example:
        >>> omni.manifest.thinker.context_length, omni.manifest.graphs["thinker"].precision
        (384, 'int8')
    """

    schema_version: str
    """``major.minor``, see :mod:`muomni.bundle.versions`."""
    reads_with: str
    """The muomni that reads this major version, as pip writes it: ``muomni>=1.2``."""
    muomni_version: str
    """What wrote the bundle."""
    opset: Annotated[int, Range(1, 1000)]
    precision: str
    """As asked for at export; what each graph got is in ``graphs``."""
    source: SourceEntry
    files: dict[FileName, FileEntry]
    graphs: dict[GraphName, GraphEntry]
    prompt: PromptEntry
    recording: FileName
    """``.npz`` file: inputs of every graph with what torch made of them at export."""
    tokenizer: TokenizerEntry | None = None
    thinker: ThinkerStage | None = None
    vision: VisionStage | None = None
    audio: AudioStage | None = None
    talker: TalkerStage | None = None
    codec: CodecStage | None = None
    vocoder: VocoderStage | None = None
    ocr: OcrStage | None = None
    measured: tuple[MeasuredEntry, ...] = ()
    """Written after the export, by whoever evaluates the bundle."""

    @property
    def text_input(self) -> TextInput | None:
        """How the Talker is given its text; None where there is no Talker, or one without text input."""
        return None if self.talker is None else self.talker.text

    @property
    def identity(self) -> str:
        """What tells a bundle from all others: a hash of its files' hashes, not where it lies."""
        files = sorted((name, entry.sha256) for name, entry in self.files.items())
        return hashlib.sha256(repr(files).encode()).hexdigest()

    @property
    def stages(self) -> list[str]:
        """Names of the stages that are there, in the order of the pipeline."""
        return [name for name in STAGES if getattr(self, name) is not None]

    @property
    def decoders(self) -> list[DecoderStage]:
        """The stages with a key/value cache."""
        return [stage for stage in (self.thinker, self.talker, self.ocr) if stage is not None]

    @property
    def attention_dtypes(self) -> set[str]:
        """Types of the keys and values of the decoders."""
        return {stage.cache_dtype for stage in self.decoders}

    def drafts(self, graph: str) -> bool:
        """Whether only the likeliest logits of this graph are exact."""
        return self.thinker is not None and graph == self.thinker.graph and self.thinker.draft_candidates > 0

    def check(self) -> None:
        """What must hold between entries; :func:`parse_manifest` words what does not."""
        self._check_names()
        for path, embeddings in (
            ("vision.embeddings_per_image", self.vision.embeddings_per_image if self.vision else 0),
            ("audio.max_embeddings", self.audio.max_embeddings if self.audio else 0),
        ):
            most = self.thinker.context_length if self.thinker else 0
            expected = f"at most thinker.context_length ({most})" if self.thinker else "0 without a thinker"
            require(embeddings <= most, path, expected, embeddings)
        if self.tokenizer and self.thinker:
            pieces, vocabulary = self.tokenizer.pieces, self.thinker.vocabulary
            require(
                pieces <= vocabulary, "tokenizer.pieces", f"at most thinker.vocabulary ({vocabulary})", pieces
            )
        if self.codec and self.talker:
            for name in ("codebooks", "codebook_size"):
                ours, other = getattr(self.codec, name), getattr(self.talker, name)
                require(ours == other, f"codec.{name}", f"talker.{name} ({other})", ours)
        if self.codec and self.vocoder:
            ours, other = self.vocoder.mel_bins, self.codec.mel_bins
            require(ours == other, "vocoder.mel_bins", f"codec.mel_bins ({other})", ours)

    def _check_names(self) -> None:
        for name, entry in self.graphs.items():
            require(entry.file in self.files, f"graphs[{name!r}].file", "a file of 'files'", entry.file)
        for path, file in strict_json.marked(self, FILE):
            require(file in self.files, path, "a file of 'files'", file)
        users: dict[str, str] = {}
        for path, graph in strict_json.marked(self, GRAPH):
            require(graph in self.graphs, path, "a graph of 'graphs'", graph)
            first = users.setdefault(graph, path)
            require(first == path, path, f"a graph of its own, not that of {first}", graph)

    def to_json(self) -> str:
        return json.dumps(strict_json.write(self), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def parse_manifest(text: str, where: str = MANIFEST_NAME) -> Manifest:
    """Read a manifest strictly; one of version 1 as one of today's.

    Raises:
        ManifestError: not JSON, a version that this muomni does not read, unknown or missing keys, wrong types,
            values out of range or that do not go together, names of files and graphs that are not there.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ManifestError(f"{where}: not valid JSON ({error})") from error
    current, is_newer = to_current(value, where)
    if current is not value:
        where += f" (version 1, read as {SCHEMA_VERSION})"
    return strict_json.read(Manifest, current, where, skip_unknown=is_newer)
