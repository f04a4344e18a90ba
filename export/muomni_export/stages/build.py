"""The graphs of a checkpoint: how each is traced and what it is checked on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx_ir as ir
import torch
from torch import Tensor, nn

from muomni.bundle.contract import GraphContract
from muomni_export.checkpoint.load import Modules
from muomni_export.modules.decoder import DecoderSizes
from muomni_export.modules.letters import LettersToSounds
from muomni_export.modules.talker import Talker
from muomni_export.modules.vocoder import SpectralVocoder
from muomni_export.onnx.trace import trace
from muomni_export.parity.compare import GraphCheck, audio_check, thinker_check, vision_check

from .graphs import (
    AudioGraph,
    CodecDecoderGraph,
    CodecEncoderGraph,
    SpectralVocoderGraph,
    SpokenTalkerGraph,
    TalkerGraph,
    ThinkerGraph,
    VisionGraph,
)
from .parity_speech import (
    codec_checks,
    context_check,
    letters_check,
    spoken_talker_check,
    talker_check,
    vocoder_check,
)

# A Talker has no context length in its config; its rotary table ends here: 5 minutes at 12.5 frames a second.
TALKER_POSITIONS = 4096

# Example sizes while tracing; above 1 and distinct, so that no axis is taken for a constant or for another.
BATCH, STEP, MEDIA, CAPACITY, FRAMES = 2, 5, 3, 16, 41


@dataclass(frozen=True)
class GraphBuild:
    """One graph to make: the module in the contract's signature, its example inputs and dynamic axes."""

    graph: str
    module: nn.Module
    arguments: tuple[Any, ...]
    dynamic_shapes: tuple[Any, ...]
    check: GraphCheck

    def trace(self, contract: GraphContract) -> ir.Model:
        return trace(
            self.module,
            self.arguments,
            self.dynamic_shapes,
            [spec.name for spec in contract.inputs],
            [spec.name for spec in contract.outputs],
        )


def _cache(sizes: DecoderSizes) -> tuple[list[Tensor], list[dict[int, Any]]]:
    shape = (BATCH, sizes.kv_heads, CAPACITY, sizes.head_size)
    batch, capacity = torch.export.Dim("B"), torch.export.Dim("P")
    count = 2 * sizes.layers
    return [torch.zeros(shape) for _ in range(count)], [{0: batch, 2: capacity} for _ in range(count)]


def _lengths(step: int) -> tuple[tuple[Tensor, Tensor], tuple[Any, Any]]:
    lengths = (torch.full((BATCH,), step - 1, dtype=torch.int32), torch.tensor(step, dtype=torch.int32))
    return lengths, ({0: torch.export.Dim("B")}, {})


def thinker_build(modules: Modules) -> GraphBuild:
    thinker = modules.thinker
    assert thinker is not None
    batch, step, media = torch.export.Dim("B"), torch.export.Dim("S"), torch.export.Dim("M")
    past, past_axes = _cache(thinker.sizes.decoder)
    lengths, length_axes = _lengths(MEDIA + STEP)
    return GraphBuild(
        "thinker",
        ThinkerGraph(thinker),
        (
            torch.zeros(BATCH, STEP, dtype=torch.int64),
            torch.zeros(BATCH, MEDIA, thinker.sizes.decoder.width),
            *lengths,
            past,
        ),
        ({0: batch, 1: step}, {0: batch, 1: media}, *length_axes, past_axes),
        thinker_check(thinker, _text_ids(modules.tokenizer)),
    )


SAMPLE_TEXT = (
    "Hello! How are you today? I can describe a picture, answer a question that you speak, or read a sentence "
    "aloud. The red circle is left of the blue square, and three plus four is seven. What would you like to know?"
)


def _text_ids(tokenizer: Path | None) -> list[int]:
    """Ids of a few ordinary English sentences; none without a tokenizer."""
    if tokenizer is None:
        return []
    import sentencepiece

    return [
        int(i) for i in sentencepiece.SentencePieceProcessor(model_file=str(tokenizer)).encode(SAMPLE_TEXT)
    ]


def talker_build(modules: Modules) -> GraphBuild:
    talker = modules.talker
    assert talker is not None
    past, past_axes = _cache(talker.sizes.decoder)
    lengths, length_axes = _lengths(STEP)
    return GraphBuild(
        "talker",
        TalkerGraph(talker, TALKER_POSITIONS),
        (torch.zeros(BATCH, STEP, 2, dtype=torch.int64), *lengths, past),
        ({0: torch.export.Dim("B"), 1: torch.export.Dim("S")}, *length_axes, past_axes),
        talker_check(talker, start_codes(talker)),
    )


def start_codes(talker: Talker) -> tuple[int, int]:
    """The pseudo frame of the learned start, see :class:`TalkerGraph` and :class:`SpokenTalkerGraph`."""
    rows = talker.sizes.codebook_size
    return (rows, rows + 1) if talker.sizes.text is None else (rows, rows)


def spoken_talker_builds(talker: Talker, letters: LettersToSounds) -> list[GraphBuild]:
    """A Talker that is told what to say, and the two graphs that tell it."""
    text = talker.sizes.text
    assert text is not None
    batch, step = torch.export.Dim("B"), torch.export.Dim("S")
    past, past_axes = _cache(talker.sizes.decoder)
    lengths, length_axes = _lengths(STEP)
    axes = {0: batch, 1: step}
    told = GraphBuild(
        "talker",
        SpokenTalkerGraph(talker, TALKER_POSITIONS),
        (
            torch.zeros(BATCH, STEP, 2, dtype=torch.int64),
            torch.zeros(BATCH, STEP, talker.sizes.decoder.width),
            torch.zeros(BATCH, STEP, dtype=torch.int64),
            *lengths,
            past,
        ),
        (axes, axes, axes, *length_axes, past_axes),
        spoken_talker_check(talker, start_codes(talker)),
    )
    around = torch.zeros(BATCH, 2 * text.reach + STEP, dtype=torch.int64)
    word = torch.zeros(BATCH, STEP, dtype=torch.int64)
    lengthwise = ({0: torch.export.Dim("B"), 1: torch.export.Dim("L", min=2 * text.reach + 1)},)
    letterwise = ({0: torch.export.Dim("B"), 1: torch.export.Dim("L")},)
    return [
        told,
        GraphBuild("letters", letters, (word,), letterwise, letters_check(letters)),
        GraphBuild("context", talker.context, (around,), lengthwise, context_check(talker)),
    ]


def vision_build(modules: Modules) -> GraphBuild:
    encoder = modules.vision
    assert encoder is not None
    size = encoder.sizes.image_size
    return GraphBuild(
        "vision",
        VisionGraph(encoder, modules.vision_projector, modules.image_pool),
        (torch.zeros(BATCH, 3, size, size),),
        ({0: torch.export.Dim("B")},),
        vision_check(encoder, modules.vision_projector, modules.image_pool),
    )


def _over_time(graph: str, module: nn.Module, example: Tensor, check: GraphCheck) -> GraphBuild:
    axes = {0: torch.export.Dim("B"), 1: torch.export.Dim("T")}
    return GraphBuild(graph, module, (example,), (axes,), check)


def audio_build(modules: Modules) -> GraphBuild:
    encoder = modules.audio
    assert encoder is not None
    example = torch.zeros(BATCH, FRAMES, encoder.sizes.mel_bins)
    graph = AudioGraph(encoder, modules.audio_projector)
    return _over_time("audio", graph, example, audio_check(encoder, modules.audio_projector))


def codec_builds(modules: Modules) -> list[GraphBuild]:
    codec = modules.codec
    assert codec is not None
    decode_check, encode_check = codec_checks(codec)
    codes = torch.zeros(BATCH, FRAMES, codec.sizes.codebooks, dtype=torch.int64)
    mel = torch.zeros(BATCH, FRAMES, codec.sizes.mel_bins)
    return [
        _over_time("codec", CodecDecoderGraph(codec), codes, decode_check),
        _over_time("codec_encoder", CodecEncoderGraph(codec), mel, encode_check),
    ]


def vocoder_build(modules: Modules) -> GraphBuild:
    vocoder = modules.vocoder
    assert vocoder is not None
    mel = torch.zeros(BATCH, FRAMES, vocoder.sizes.mel_bins)
    graph = SpectralVocoderGraph(vocoder) if isinstance(vocoder, SpectralVocoder) else vocoder
    return _over_time("vocoder", graph, mel, vocoder_check(vocoder))


def graph_builds(modules: Modules) -> list[GraphBuild]:
    """Every graph that these modules make."""
    builds: list[GraphBuild] = []
    if modules.thinker is not None:
        builds.append(thinker_build(modules))
    if modules.vision is not None:
        builds.append(vision_build(modules))
    if modules.audio is not None:
        builds.append(audio_build(modules))
    if modules.talker is not None and modules.letters is not None:
        builds += spoken_talker_builds(modules.talker, modules.letters)
    elif modules.talker is not None:
        builds.append(talker_build(modules))
    if modules.codec is not None:
        builds += codec_builds(modules)
    if modules.vocoder is not None:
        builds.append(vocoder_build(modules))
    return builds
