"""The contract: every graph's inputs and outputs, by name, type and axes.

Axis legend, used in every docstring of muomni:

====  ==========================================================================
B     batch: rows that are computed together
S     text positions of this step
M     media embeddings of this step (0 when there are none)
P     capacity of the key/value buffer; how much of it is valid is ``seqlens_k``
D     width of the Thinker
L     letters, or phonemes, of a text and its surroundings
V     vocabulary
T     time: mel frames, code frames
E     embeddings that come out of the audio encoder, ceil(T / downsampling)
N     patches of an image
K     codes per codebook
====  ==========================================================================

All decoders take ``seqlens_k`` (B), the number of valid positions after this step minus one, and
``total_sequence_length`` (), the largest such number plus one: the convention of ONNX Runtime's
``GroupQueryAttention``. Floats are float32 at every boundary, whatever the precision inside, but for keys and values
(the cache, and what OCR keeps of a picture), whose type is the stage's ``cache_dtype``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from muomni.errors import GraphError

from .manifest import DecoderStage, GriffinLimVocoder, Manifest, SpectralVocoder, TextInput

Axis = str | int


@dataclass(frozen=True)
class TensorSpec:
    """One input or output; a string axis is free, an integer axis is fixed by the manifest."""

    name: str
    dtype: str
    axes: tuple[Axis, ...]

    def __str__(self) -> str:
        return f"{self.name}: {self.dtype} ({', '.join(map(str, self.axes))})"


@dataclass(frozen=True)
class GraphContract:
    """What a graph takes and gives."""

    graph: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


def past_names(layers: int) -> list[str]:
    return [f"past.{layer}.{part}" for layer in range(layers) for part in ("key", "value")]


def present_names(layers: int) -> list[str]:
    return [f"present.{layer}.{part}" for layer in range(layers) for part in ("key", "value")]


def cross_names(layers: int) -> list[str]:
    """Keys and values of a picture, which the OCR's encoder gives and its decoder takes."""
    return [f"cross.{layer}.{part}" for layer in range(layers) for part in ("key", "value")]


def _decoder(
    graph: str, stage: DecoderStage, step: Sequence[TensorSpec], result: Sequence[TensorSpec]
) -> GraphContract:
    cache = ("B", stage.kv_heads, "P", stage.head_size)
    lengths = (TensorSpec("seqlens_k", "int32", ("B",)), TensorSpec("total_sequence_length", "int32", ()))
    past = tuple(TensorSpec(name, stage.cache_dtype, cache) for name in past_names(stage.layers))
    present = tuple(TensorSpec(name, stage.cache_dtype, cache) for name in present_names(stage.layers))
    return GraphContract(graph, (*step, *lengths, *past), (*result, *present))


def graph_contracts(manifest: Manifest) -> dict[str, GraphContract]:
    """The contract of every graph that the manifest's stages name."""
    contracts: list[GraphContract] = []
    if stage := manifest.thinker:
        ids = TensorSpec("input_ids", "int64", ("B", "S"))
        media = TensorSpec("media_embeds", "float32", ("B", "M", stage.width))
        logits = TensorSpec("logits", "float32", ("B", stage.vocabulary))
        contracts.append(_decoder(stage.graph, stage, [ids, media], [logits]))
    if vision := manifest.vision:
        pixels = TensorSpec("pixels", "float32", ("B", 3, vision.image_size, vision.image_size))
        outputs = [
            TensorSpec("cls", "float32", ("B", 1, vision.width)),
            TensorSpec("grid", "float32", ("B", vision.patches, vision.width)),
        ]
        if vision.embeddings_per_image:
            outputs.append(_embeds(manifest, vision.embeddings_per_image))
        contracts.append(GraphContract(vision.graph, (pixels,), tuple(outputs)))
    if audio := manifest.audio:
        mel = TensorSpec("mel", "float32", ("B", "T", audio.mel.bins))
        outputs = [TensorSpec("features", "float32", ("B", "E", audio.width))]
        if audio.max_embeddings:
            outputs.append(_embeds(manifest, "E"))
        contracts.append(GraphContract(audio.graph, (mel,), tuple(outputs)))
    if talker := manifest.talker:
        codes = TensorSpec("codes", "int64", ("B", "S", talker.codebooks))
        base, residual = (
            TensorSpec(name, "float32", ("B", talker.codebook_size))
            for name in ("base_logits", "residual_logits")
        )
        step, result = [codes], [base, residual]
        if text := talker.text:
            vectors = TensorSpec("vectors", "float32", ("B", "S", talker.width))
            step += [vectors, TensorSpec("elapsed", "int64", ("B", "S"))]
            result.append(TensorSpec("advance", "float32", ("B",)))
            contracts += _text_input(text, vectors)
        contracts.append(_decoder(talker.graph, talker, step, result))
    if codec := manifest.codec:
        codes = TensorSpec("codes", "int64", ("B", "T", codec.codebooks))
        mel = TensorSpec("mel", "float32", ("B", "T", codec.mel_bins))
        contracts.append(GraphContract(codec.graph, (codes,), (mel,)))
        contracts.append(GraphContract(codec.encoder_graph, (mel,), (codes,)))
    if (vocoder := manifest.vocoder) and not isinstance(vocoder, GriffinLimVocoder):
        mel = TensorSpec("mel", "float32", ("B", "T", vocoder.mel_bins))
        made = [TensorSpec("samples", "float32", ("B", "samples"))]
        if isinstance(vocoder, SpectralVocoder):
            spectrum = ("B", "T", vocoder.n_fft // 2 + 1)
            made = [TensorSpec(part, "float32", spectrum) for part in ("real", "imaginary")]
        contracts.append(GraphContract(vocoder.graph, (mel,), tuple(made)))
    if ocr := manifest.ocr:
        size, seen = ocr.image_size, ("B", ocr.heads, ocr.patches, ocr.head_size)
        pixels = TensorSpec("pixels", "float32", ("B", 3, size, size))
        cross = tuple(TensorSpec(name, ocr.cache_dtype, seen) for name in cross_names(ocr.layers))
        contracts.append(GraphContract(ocr.encoder_graph, (pixels,), cross))
        ids = TensorSpec("input_ids", "int64", ("B", "S"))
        logits = TensorSpec("logits", "float32", ("B", ocr.vocabulary))
        contracts.append(_decoder(ocr.graph, ocr, [ids, *cross], [logits]))
    return {contract.graph: contract for contract in contracts}


def _text_input(text: TextInput, vectors: TensorSpec) -> list[GraphContract]:
    """Letters to phonemes, and phonemes to what the Talker reads. Graphs that ship call phonemes ``sounds``."""
    letters = TensorSpec("letters", "int64", ("B", "L"))
    logits = TensorSpec("symbol_logits", "float32", ("B", "L", text.slots, text.symbols))
    sounds = TensorSpec("sounds", "int64", ("B", "L"))
    return [
        GraphContract(text.phonemizer_graph, (letters,), (logits,)),
        GraphContract(text.context_graph, (sounds,), (vectors,)),
    ]


def _embeds(manifest: Manifest, count: Axis) -> TensorSpec:
    if manifest.thinker is None:
        raise GraphError("the manifest has projected media but no thinker that could read them")
    return TensorSpec("embeds", "float32", ("B", count, manifest.thinker.width))


def check_tensors(
    graph: str, kind: str, expected: Sequence[TensorSpec], found: Sequence[TensorSpec], file: str
) -> None:
    """Compare what a graph declares with its contract.

    Raises:
        GraphError: a tensor is missing, unknown, or of another type or shape; named.
    """
    by_name = {spec.name: spec for spec in found}
    for spec in expected:
        got = by_name.pop(spec.name, None)
        if got is None:
            raise GraphError(f"{file}: {graph} graph has no {kind} {spec.name!r}; expected {spec}")
        same_rank = len(got.axes) == len(spec.axes)
        fits = same_rank and all(
            isinstance(want, str) or isinstance(have, str) or want == have
            for want, have in zip(spec.axes, got.axes, strict=True)
        )
        if got.dtype != spec.dtype or not fits:
            raise GraphError(f"{file}: {graph} graph's {kind}: expected {spec}, got {got}")
    if by_name:
        raise GraphError(f"{file}: {graph} graph has an unknown {kind} {next(iter(by_name))!r}")
