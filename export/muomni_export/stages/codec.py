"""The codec: codes to mel frames and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from muomni.bundle.manifest import CodecStage
from muomni_export.modules.codec import Codec, CodecSizes
from muomni_export.notes import Note
from muomni_export.parity.compare import GraphCheck, generator, normal, parameters_of, to_numpy
from muomni_export.parity.replay import Arrays, difference

from .evidence import Evidence
from .loading import Loading
from .stage import BATCH, FRAMES, GraphBuild, LoadedStage, StageExport, StateDict, SyntheticStage, over_time
from .talker.stage import LoadedTalker
from .weights import StageWeights


def codec_sizes(weights: StageWeights, notes: list[Note]) -> CodecSizes:
    """Sizes of a codec.

    Raises:
        CheckpointError: tensors that are missing or do not fit together, or other than two codebooks.
    """
    found = Evidence("codec", weights, notes)
    codebooks = found.count("codebooks.")
    if codebooks != 2:
        raise found.refuse(
            "codebooks", "2 codebooks (the Talker has a base and a residual head)", f"{codebooks}"
        )
    size, width = found.shape("codebooks.0.weight", 2)
    mel_bins, _ = found.shape("proj_out.weight", 2)
    return CodecSizes(codebooks, size, width, mel_bins)


class CodecDecoderGraph(nn.Module):
    """Codes -> mel."""

    def __init__(self, codec: Codec) -> None:
        super().__init__()
        self.codec = codec

    def forward(self, codes: Tensor) -> Tensor:
        return self.codec.decode(codes)


class CodecEncoderGraph(nn.Module):
    """Mel -> codes."""

    def __init__(self, codec: Codec) -> None:
        super().__init__()
        self.codec = codec

    def forward(self, mel: Tensor) -> Tensor:
        return self.codec.encode(mel)


def codec_checks(codec: Codec) -> list[GraphCheck]:
    random, sizes = generator(), codec.sizes

    def decode(case: Arrays) -> Arrays:
        with torch.inference_mode():
            return to_numpy(mel=codec.decode(torch.from_numpy(case["codes"])))

    def encode(case: Arrays) -> Arrays:
        with torch.inference_mode():
            return to_numpy(codes=codec.encode(torch.from_numpy(case["mel"])))

    def compare_codes(case: Arrays, expected: Arrays, got: Arrays) -> float:
        # Two codes at the same distance are equally right, so distances are compared, not codes.
        with torch.inference_mode():
            target = codec.proj_in(torch.from_numpy(case["mel"]))

            def distance(codes: NDArray[np.int64]) -> NDArray[np.float32]:
                picked = [book(torch.from_numpy(codes[..., i])) for i, book in enumerate(codec.codebooks)]
                remaining: NDArray[np.float32] = (target - sum(picked)).norm(dim=-1).numpy()
                return remaining

            return difference(distance(expected["codes"]), distance(got["codes"]))

    codes = [
        {"codes": random.integers(0, sizes.codebook_size, (batch, frames, sizes.codebooks))}
        for batch, frames in ((1, 7), (1, 1), (2, 50))
    ]
    mels = [
        {"mel": normal(random, batch, frames, sizes.mel_bins)} for batch, frames in ((1, 7), (1, 1), (2, 50))
    ]
    return [
        GraphCheck("codec", parameters_of(codec.codebooks, codec.proj_out), codes, decode),
        GraphCheck(
            "codec_encoder", parameters_of(codec.codebooks, codec.proj_in), mels, encode, compare_codes
        ),
    ]


@dataclass(frozen=True)
class LoadedCodec(LoadedStage):
    codec: Codec

    @property
    def modules(self) -> Mapping[str, nn.Module]:
        return {"codec": self.codec}

    def graphs(self) -> list[GraphBuild]:
        decode_check, encode_check = codec_checks(self.codec)
        codes = torch.zeros(BATCH, FRAMES, self.codec.sizes.codebooks, dtype=torch.int64)
        mel = torch.zeros(BATCH, FRAMES, self.codec.sizes.mel_bins)
        return [
            over_time("codec", CodecDecoderGraph(self.codec), codes, decode_check),
            over_time("codec_encoder", CodecEncoderGraph(self.codec), mel, encode_check),
        ]

    def manifest_entry(self) -> dict[str, Any]:
        sizes = self.codec.sizes
        stage = CodecStage(
            graph="codec",
            encoder_graph="codec_encoder",
            codebooks=sizes.codebooks,
            codebook_size=sizes.codebook_size,
            mel_bins=sizes.mel_bins,
        )
        return {"codec": stage}


def load(loading: Loading) -> LoadedCodec | None:
    if not loading.has("codec"):
        return None
    codec = loading.module("codec", lambda w: Codec(codec_sizes(w, loading.notes)))
    talker, codes = loading.find(LoadedTalker), codec.sizes.codebook_size
    if talker is not None and talker.talker.sizes.codebook_size != codes:
        raise loading.mismatch(
            *("talker", "emb.weight", f"{talker.talker.sizes.codebook_size} codes"),
            *("codec", "codebooks.0.weight", f"{codes} codes"),
        )
    return LoadedCodec(codec)


def _config(sizes: CodecSizes) -> dict[str, Any]:
    return {"codebooks": sizes.codebooks, "n_mels": sizes.mel_bins}


CODEC = StageExport(
    name="codec",
    state_dicts=(StateDict("codec", {"talker": ("rvq",)}, "rvq"),),
    load=load,
    float_graphs=("codec", "codec_encoder"),
    synthetic=SyntheticStage(lambda sizes, width: {"codec": Codec(sizes)}, _config),
)
