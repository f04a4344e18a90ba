"""The Thinker: the language model, its tokenizer, and the prompt it reads."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from muomni.bundle.manifest import Precision, ThinkerStage, TokenizerEntry
from muomni.errors import CheckpointError
from muomni_export.modules.thinker import Thinker, ThinkerSizes
from muomni_export.notes import Note
from muomni_export.onnx.attention import Cache, PackedBlock, RotaryTables
from muomni_export.parity.compare import GraphCheck, generator, normal, parameters_of, split_chunks, to_numpy
from muomni_export.parity.replay import Arrays

from .decoder import cache_example, decoder_config, decoder_fields, decoder_sizes, lengths_example
from .evidence import Evidence
from .loading import Loading
from .stage import BATCH, MEDIA, STEP, GraphBuild, LoadedStage, StageExport, StateDict, SyntheticStage
from .weights import StageWeights

HEADS, WIDTH = 4, 256  # the reference's
SPECIAL_IDS = {"unk": 0, "bos": 1, "eos": 2}
TOKENIZER_NAME = "tokenizer.model"
SAMPLE_TEXT = (
    "Hello! How are you today? I can describe a picture, answer a question that you speak, or read a sentence "
    "aloud. The red circle is left of the blue square, and three plus four is seven. What would you like to know?"
)


def thinker_sizes(weights: StageWeights, context_length: int, notes: list[Note]) -> ThinkerSizes:
    """Sizes of a Thinker.

    Raises:
        CheckpointError: tensors that are missing or do not fit together, heads that cannot be known or used.
    """
    found = Evidence("thinker", weights, notes)
    vocabulary, _ = found.shape("tok_emb.weight", 2)
    found.compare("vocab_size", vocabulary)
    return ThinkerSizes(decoder_sizes(found, HEADS, WIDTH), vocabulary, context_length)


class ThinkerGraph(nn.Module):
    """Media embeddings, then token ids, with a cache -> logits of the last position."""

    def __init__(self, thinker: Thinker) -> None:
        super().__init__()
        sizes = thinker.sizes
        self.tok_emb, self.norm, self.lm_head = thinker.tok_emb, thinker.norm, thinker.lm_head
        self.blocks = nn.ModuleList(PackedBlock(block, i) for i, block in enumerate(thinker.blocks))
        self.rotary = RotaryTables(sizes.context_length, sizes.decoder)

    def forward(
        self,
        input_ids: Tensor,
        media_embeds: Tensor,
        seqlens_k: Tensor,
        total_sequence_length: Tensor,
        past: list[Tensor],
    ) -> tuple[Tensor, ...]:
        cache = Cache(past, seqlens_k, total_sequence_length, self.rotary.cosines, self.rotary.sines)
        x = torch.cat((media_embeds, self.tok_emb(input_ids)), dim=1)
        for block in self.blocks:
            x = block(x, cache)
        return (self.lm_head(self.norm(x[:, -1])), *cache.present)


def thinker_check(thinker: Thinker, text_ids: Sequence[int] = ()) -> GraphCheck:
    """``text_ids`` are ids of real text, on which the agreement of the best token says most."""
    sizes, random = thinker.sizes, generator()
    long = min(sizes.context_length, 160)

    def case(batch: int, media: int, text: int, *chunks: int) -> Arrays:
        return {
            "input_ids": random.integers(0, sizes.vocabulary, (batch, text)),
            "media_embeds": normal(random, batch, media, sizes.decoder.width),
            "chunks": split_chunks(media + text, *chunks),
        }

    def reference(case: Arrays) -> Arrays:
        ids, media = torch.from_numpy(case["input_ids"]), torch.from_numpy(case["media_embeds"])
        last = torch.from_numpy(case["chunks"].cumsum() - 1)
        with torch.inference_mode():
            hidden = thinker.hidden(torch.cat((media, thinker.tok_emb(ids)), dim=1))
            return to_numpy(logits=thinker.lm_head(hidden[:, last]))

    cases = [
        case(1, 2, 6, 5),
        case(1, 0, 1),
        case(1, 0, 12, 4, 5),
        case(2, 0, 9, 4),
        case(3, 5, 7, 9),
        case(1, 0, long, max(1, long - 3)),
    ]
    cases = [case for case in cases if case["chunks"].sum() <= sizes.context_length]
    if text_ids:
        text = np.array([text_ids[:long]], dtype=np.int64)
        media = np.zeros((1, 0, sizes.decoder.width), dtype=np.float32)
        cases.append({"input_ids": text, "media_embeds": media, "chunks": split_chunks(text.shape[1], 1)})
    return GraphCheck("thinker", parameters_of(thinker), cases, reference)


@dataclass(frozen=True)
class LoadedThinker(LoadedStage):
    """``tokenizer`` is None where a Thinker was loaded without one."""

    thinker: Thinker
    tokenizer: Path | None

    @property
    def modules(self) -> Mapping[str, nn.Module]:
        return {"thinker": self.thinker}

    @property
    def width(self) -> int:
        return self.thinker.sizes.decoder.width

    def graphs(self) -> list[GraphBuild]:
        sizes = self.thinker.sizes.decoder
        batch, step, media = torch.export.Dim("B"), torch.export.Dim("S"), torch.export.Dim("M")
        past, past_axes = cache_example(sizes)
        lengths, length_axes = lengths_example(MEDIA + STEP)
        ids = torch.zeros(BATCH, STEP, dtype=torch.int64)
        embeddings = torch.zeros(BATCH, MEDIA, sizes.width)
        return [
            GraphBuild(
                "thinker",
                ThinkerGraph(self.thinker),
                (ids, embeddings, *lengths, past),
                ({0: batch, 1: step}, {0: batch, 1: media}, *length_axes, past_axes),
                thinker_check(self.thinker, self._sample_ids()),
            )
        ]

    def _sample_ids(self) -> list[int]:
        """Ids of a few ordinary English sentences; none without a tokenizer."""
        if self.tokenizer is None:
            return []
        return [int(i) for i in _sentencepiece(self.tokenizer).encode(SAMPLE_TEXT)]

    def manifest_entry(self) -> dict[str, Any]:
        sizes = self.thinker.sizes
        thinker = ThinkerStage(
            graph="thinker",
            vocabulary=sizes.vocabulary,
            context_length=sizes.context_length,
            **decoder_fields(sizes.decoder),
        )
        if self.tokenizer is None:
            return {"thinker": thinker}
        pieces = int(_sentencepiece(self.tokenizer).get_piece_size())
        ids = {f"{name}_id": number for name, number in SPECIAL_IDS.items()}
        return {"thinker": thinker, "tokenizer": TokenizerEntry(TOKENIZER_NAME, pieces, **ids)}

    def write_files(self, folder: Path, precision_of: Callable[[str], Precision]) -> None:
        if self.tokenizer is not None:
            shutil.copyfile(self.tokenizer, folder / TOKENIZER_NAME)


def load(loading: Loading) -> LoadedThinker | None:
    if not loading.has("thinker"):
        return None
    length, tokenizer = loading.checkpoint.context_length, loading.checkpoint.tokenizer
    thinker = loading.module("thinker", lambda w: Thinker(thinker_sizes(w, length, loading.notes)))
    if tokenizer is not None:
        check_tokenizer(tokenizer, thinker.sizes.vocabulary, loading.weights("thinker"), loading.notes)
    return LoadedThinker(thinker, tokenizer)


def check_tokenizer(path: Path, vocabulary: int, weights: StageWeights, notes: list[Note]) -> None:
    """Raises CheckpointError for a tokenizer that the Thinker cannot have been trained with."""
    try:
        model = _sentencepiece(path)
        pieces = int(model.get_piece_size())
        model.id_to_piece(list(range(pieces)))  # whose UTF-8 nobody checked
        ids = {"unk": model.unk_id(), "bos": model.bos_id(), "eos": model.eos_id()}
    except (OSError, RuntimeError, ValueError) as error:
        raise CheckpointError(f"{path}: not a SentencePiece model ({error}); copy it again") from error
    if pieces == 0:
        raise CheckpointError(f"{path}: the file is empty; copy it again")
    if ids != SPECIAL_IDS:
        raise CheckpointError(f"{path}: expected the special ids {SPECIAL_IDS}, got {ids}")
    name = weights.stored("tok_emb.weight")
    if pieces > vocabulary:
        raise CheckpointError(
            f"{path}: the tokenizer has {pieces} pieces, but {name} in {weights.source} has {vocabulary} "
            "rows; expected the tokenizer that the Thinker was trained with"
        )
    if pieces < vocabulary:
        text = "the tokenizer has {pieces} pieces, {tensor} {rows} rows: some ids are unused"
        values = {"pieces": pieces, "tensor": name, "rows": vocabulary}
        notes.append(Note("unused_ids", "thinker", text, values))


def _sentencepiece(path: Path) -> Any:
    import sentencepiece

    model: Any = sentencepiece.SentencePieceProcessor()
    model.LoadFromSerializedProto(path.read_bytes())
    return model


def _config(sizes: ThinkerSizes) -> dict[str, Any]:
    more = {"vocab_size": sizes.vocabulary, "ctx_len": sizes.context_length}
    return decoder_config(sizes.decoder) | more


THINKER = StageExport(
    name="thinker",
    # The Thinker of omni.pt is the fine-tuned one and wins.
    state_dicts=(StateDict("thinker", {"omni": ("thinker",), "thinker": ("model", "thinker")}, "thinker"),),
    load=load,
    file_stems=("thinker",),
    folder_prefix="thinker",
    decoder_graphs=("thinker",),
    synthetic=SyntheticStage(lambda sizes, width: {"thinker": Thinker(sizes)}, _config),
)
