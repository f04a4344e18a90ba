"""What the manifest says of each stage: one dataclass a stage, its ranges beside its fields."""

# No "from __future__ import annotations": the reader needs the types themselves, and to evaluate strings takes 1 ms.

from dataclasses import dataclass
from typing import Annotated, Literal

from .strict_json import Matches, Range, require

FILE, GRAPH = "file", "graph"
"""Marks of fields that name a file of the bundle, or one of its graphs."""

_PLAIN_NAME = Matches(r"(?!\.\.?$)[^\x00-\x1f/\\:]+", "a plain name inside the bundle")
FileName = Annotated[str, _PLAIN_NAME, FILE]
GraphName = Annotated[str, _PLAIN_NAME, GRAPH]
Hertz = Annotated[int, Range(1, 768_000)]
Size = Annotated[int, Range(1, 2**31 - 1)]
Transform = Annotated[int, Range(2, 2**20)]
"""Samples of a Fourier transform."""
Layers = Annotated[int, Range(1, 1024)]
"""Each has two tensors of its own in the contract, so no number may stand here that cannot be counted through."""
FrameRate = Annotated[float, Range(0.01, 100_000)]
FloatDtype = Literal["float32", "float16"]
"""Of the numbers in a graph, and of its key/value cache, which it reads and writes. ONNX Runtime's attention takes
float32 on the CPU alone, bfloat16 on CUDA alone, and float16 on both."""


@dataclass(frozen=True)
class MelEntry:
    """A mel power spectrogram: Hann window, centred frames, reflect padding, power 2, no logarithm."""

    sample_rate_hz: Hertz
    n_fft: Transform
    window_samples: Size
    hop_samples: Size
    bins: Size
    filters: FileName
    """``.npy`` file, float32 (n_fft / 2 + 1, bins)."""

    def check(self) -> None:
        fits = self.window_samples <= self.n_fft and (self.n_fft - self.window_samples) % 2 == 0
        expected = f"a window that can be centred in n_fft ({self.n_fft})"
        require(fits, "window_samples", expected, self.window_samples)


@dataclass(frozen=True)
class TokenizerEntry:
    """A SentencePiece model and its special ids."""

    file: FileName
    pieces: Size
    unk_id: int
    bos_id: int
    eos_id: int

    def check(self) -> None:
        for name in ("unk_id", "bos_id", "eos_id"):
            value = getattr(self, name)
            require(0 <= value < self.pieces, name, f"an id below pieces ({self.pieces})", value)


@dataclass(frozen=True)
class ThinkerStage:
    """Decoder-only language model; ``context_length`` counts positions, media embeddings included.

    ``draft_candidates`` above 0: so many logits, those of the likeliest tokens, are exact; the others are drafts.
    """

    graph: GraphName
    width: Size
    layers: Layers
    heads: Size
    kv_heads: Size
    head_size: Size
    vocabulary: Size
    context_length: Size
    draft_candidates: Annotated[int, Range(0)] = 0
    cache_dtype: FloatDtype = "float32"

    def check(self) -> None:
        _check_heads(self)
        expected = f"at most vocabulary ({self.vocabulary})"
        require(self.draft_candidates <= self.vocabulary, "draft_candidates", expected, self.draft_candidates)


@dataclass(frozen=True)
class VisionStage:
    """Image encoder; ``embeddings_per_image`` rows enter the prompt (0: no projector in the checkpoint)."""

    graph: GraphName
    image_size: Annotated[int, Range(1, 2**14)]
    patch: Size
    width: Size
    patches: Size
    embeddings_per_image: Annotated[int, Range(0)]

    def check(self) -> None:
        expected = f"a divisor of image_size ({self.image_size})"
        require(self.image_size % self.patch == 0, "patch", expected, self.patch)
        patches = (self.image_size // self.patch) ** 2
        require(self.patches == patches, "patches", f"(image_size / patch)², {patches}", self.patches)
        most = f"at most patches ({self.patches})"
        count = self.embeddings_per_image
        require(count <= self.patches, "embeddings_per_image", most, count)


@dataclass(frozen=True)
class AudioStage:
    """Audio encoder; at most ``max_embeddings`` rows enter the prompt (0: no projector)."""

    graph: GraphName
    mel: MelEntry
    downsampling: Size
    width: Size
    max_embeddings: Annotated[int, Range(0)]


@dataclass(frozen=True)
class TextInput:
    """How a Talker is given its text: letters become phonemes, phonemes become vectors that know their neighbours.

    The phonemizer graph gives each letter ``slots`` choices among ``symbols`` (0 is nothing, i is the phoneme i - 1
    of the list). A vector depends on ``context_phonemes`` to either side; ``phoneme_ids`` counts the ids, padding
    and marks included. Frames of a phoneme are told apart up to ``elapsed_frames``.
    """

    phonemizer_graph: GraphName
    context_graph: GraphName
    phonemes: FileName
    """``.json`` file, a list of names."""
    residual_by_base: FileName
    """``.npy`` file (K, K): the row of a frame's base code is added to its residual logits."""
    symbols: Annotated[int, Range(2, 2**31 - 1)]
    slots: Size
    phoneme_ids: Size
    context_phonemes: Annotated[int, Range(1, 2**16)]
    elapsed_frames: Size


@dataclass(frozen=True)
class TalkerStage:
    """Speech-code decoder; codes are frames of ``codebooks`` integers at ``frame_rate_hz``.

    ``start_codes`` is the pseudo frame that stands for the learned start embedding. ``text`` is None for a
    Talker without text input, such as the reference's.
    """

    graph: GraphName
    width: Size
    layers: Layers
    heads: Size
    kv_heads: Size
    head_size: Size
    codebooks: Annotated[int, Range(2, 2)]
    codebook_size: Size
    start_codes: tuple[Annotated[int, Range(0)], ...]
    frame_rate_hz: FrameRate
    context_length: Size
    text: TextInput | None = None
    cache_dtype: FloatDtype = "float32"

    def check(self) -> None:
        _check_heads(self)
        codes, expected = self.start_codes, f"one code for each of the {self.codebooks} codebooks"
        require(len(codes) == self.codebooks, "start_codes", expected, codes)
        # The pseudo codes follow the codebook's: one of their own each without text, one for both with it.
        highest = self.codebook_size + (self.text is None)
        for i, code in enumerate(codes):
            require(code <= highest, f"start_codes[{i}]", f"at most {highest}", code)


@dataclass(frozen=True)
class OcrStage:
    """Reads the text in a picture: an image encoder, and a decoder of characters that looks at what it gives.

    ``encoder_graph`` gives each layer's keys and values of the picture, once; ``graph`` is fed one character at a time.
    The sizes of heads and layers are the decoder's.
    """

    encoder_graph: GraphName
    graph: GraphName
    image_size: Annotated[int, Range(1, 2**14)]
    patches: Size
    layers: Layers
    heads: Size
    kv_heads: Size
    head_size: Size
    vocabulary: Size
    characters: FileName
    """``.json`` file, a list: the text of each id, empty for ids that stand for none."""
    start_id: Annotated[int, Range(0)]
    end_ids: tuple[Annotated[int, Range(0)], ...]
    context_length: Size
    cache_dtype: FloatDtype = "float32"

    def check(self) -> None:
        _check_heads(self)
        expected = f"an id below vocabulary ({self.vocabulary})"
        require(self.start_id < self.vocabulary, "start_id", expected, self.start_id)
        for i, end in enumerate(self.end_ids):
            require(end < self.vocabulary, f"end_ids[{i}]", expected, end)


DecoderStage = ThinkerStage | TalkerStage | OcrStage
"""A stage whose graph has a key/value cache."""


@dataclass(frozen=True)
class CodecStage:
    """Codes to mel frames (``graph``) and back (``encoder_graph``)."""

    graph: GraphName
    encoder_graph: GraphName
    codebooks: Size
    codebook_size: Size
    mel_bins: Size


@dataclass(frozen=True, kw_only=True)
class HifiganVocoder:
    """The graph gives samples. The mel is brought to 0…1 as ``normalisation`` says."""

    kind: Literal["hifigan"] = "hifigan"
    graph: GraphName
    sample_rate_hz: Hertz
    hop_samples: Size
    mel_bins: Size
    normalisation: Literal["utterance_min_max", "fixed_range"]


@dataclass(frozen=True, kw_only=True)
class SpectralVocoder:
    """The graph gives a spectrum of ``n_fft``, which is inverted. The mel comes from the codec in its range.

    Samples of a frame depend on ``receptive_field_frames`` to either side, so they can be made while frames come.
    """

    kind: Literal["spectral"] = "spectral"
    graph: GraphName
    sample_rate_hz: Hertz
    hop_samples: Size
    n_fft: Transform
    mel_bins: Size
    normalisation: Literal["fixed_range"]
    receptive_field_frames: Size

    def check(self) -> None:
        _check_hop(self)
        overlap = self.n_fft // 2 // self.hop_samples
        expected = f"at least the {overlap} frames that overlap"
        frames = self.receptive_field_frames
        require(frames >= overlap, "receptive_field_frames", expected, frames)


@dataclass(frozen=True, kw_only=True)
class GriffinLimVocoder:
    """No graph: the mel's ``filters`` and the spectrum's phases are inverted in ``iterations``."""

    kind: Literal["griffin_lim"] = "griffin_lim"
    sample_rate_hz: Hertz
    hop_samples: Size
    n_fft: Transform
    mel_bins: Size
    normalisation: Literal["utterance_min_max", "fixed_range"]
    filters: FileName
    """``.npy`` file, float32 (n_fft / 2 + 1, mel_bins)."""
    iterations: Annotated[int, Range(1, 10_000)]

    def check(self) -> None:
        _check_hop(self)


VocoderStage = HifiganVocoder | SpectralVocoder | GriffinLimVocoder


def _check_heads(stage: DecoderStage) -> None:
    expected = f"a multiple of kv_heads ({stage.kv_heads})"
    require(stage.heads % stage.kv_heads == 0, "heads", expected, stage.heads)


def _check_hop(vocoder: SpectralVocoder | GriffinLimVocoder) -> None:
    """Windows further apart would leave samples that none of them covers."""
    half = vocoder.n_fft // 2
    require(vocoder.hop_samples <= half, "hop_samples", f"at most n_fft / 2 ({half})", vocoder.hop_samples)
