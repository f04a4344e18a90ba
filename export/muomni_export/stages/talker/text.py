"""The text-conditioned Talker: its graph, the graph of its phonemes' context, and their checks."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from muomni_export.modules.talker import TextTalker
from muomni_export.onnx.attention import Cache, PackedBlock, RotaryTables
from muomni_export.parity.compare import GraphCheck, generator, normal, parameters_of, split_chunks, to_numpy
from muomni_export.parity.replay import Arrays
from muomni_export.stages.decoder import cache_example, lengths_example
from muomni_export.stages.stage import BATCH, STEP, GraphBuild

from .reference import POSITIONS, embedding


def start_codes(talker: TextTalker) -> tuple[int, int]:
    """The pseudo frame of the learned start, see :class:`TextTalkerGraph`."""
    return talker.sizes.codebook_size, talker.sizes.codebook_size


class TextTalkerGraph(nn.Module):
    """Code frames, phoneme vectors and how long each phoneme has lasted, with a cache -> both codes, and advance.

    The learned start is row K of the embedding of the base codes; row K of the other is zeros.
    """

    def __init__(self, talker: TextTalker) -> None:
        super().__init__()
        start = talker.start[0]
        self.emb = embedding(torch.cat((talker.emb.weight, start)))
        self.res_emb = embedding(torch.cat((talker.res_emb.weight, torch.zeros_like(start))))
        self.elapsed_emb, self.norm, self.advance_head = talker.elapsed_emb, talker.norm, talker.advance_head
        self.base_head, self.res_head = talker.base_head, talker.res_head
        self.blocks = nn.ModuleList(PackedBlock(block, i) for i, block in enumerate(talker.blocks))
        self.rotary = RotaryTables(POSITIONS, talker.sizes.decoder)

    def forward(
        self,
        codes: Tensor,
        vectors: Tensor,
        elapsed: Tensor,
        seqlens_k: Tensor,
        total_sequence_length: Tensor,
        past: list[Tensor],
    ) -> tuple[Tensor, ...]:
        cache = Cache(past, seqlens_k, total_sequence_length, self.rotary.cosines, self.rotary.sines)
        x = self.emb(codes[..., 0]) + self.res_emb(codes[..., 1]) + vectors + self.elapsed_emb(elapsed)
        for block in self.blocks:
            x = block(x, cache)
        x = self.norm(x[:, -1])
        advance = self.advance_head(x).squeeze(-1)
        return (self.base_head(x), self.res_head(x), advance, *cache.present)


def text_talker_check(talker: TextTalker) -> GraphCheck:
    random, sizes = generator(), talker.sizes

    def case(batch: int, frames: int, *chunks: int) -> Arrays:
        codes = random.integers(0, sizes.codebook_size, (batch, frames, 2))
        codes[:, 0] = start_codes(talker)
        return {
            "codes": codes,
            "vectors": normal(random, batch, frames, sizes.decoder.width),
            "elapsed": random.integers(0, talker.text.elapsed, (batch, frames)),
            "chunks": split_chunks(frames, *chunks),
        }

    def reference(case: Arrays) -> Arrays:
        last = torch.from_numpy(case["chunks"].cumsum() - 1)
        codes, vectors, elapsed = (torch.from_numpy(case[name]) for name in ("codes", "vectors", "elapsed"))
        with torch.inference_mode():
            base, residual, advance = talker.predict(talker.embed_at_pointer(codes[:, 1:], vectors, elapsed))
            return to_numpy(
                base_logits=base[:, last], residual_logits=residual[:, last], advance=advance[:, last]
            )

    cases = [case(1, 6, 2), case(1, 1), case(1, 40, 17, 5), case(3, 8, 3), case(1, 150, 140)]
    elsewhere = parameters_of(talker.context, talker.base_to_res)  # not in this graph
    return GraphCheck("talker", parameters_of(talker) - elsewhere, cases, reference)


def context_check(talker: TextTalker) -> GraphCheck:
    random, text = generator(), talker.text

    def case(batch: int, count: int) -> Arrays:
        return {"sounds": random.integers(0, text.phonemes, (batch, 2 * text.reach + count))}

    def reference(case: Arrays) -> Arrays:
        with torch.inference_mode():
            return to_numpy(vectors=talker.context(torch.from_numpy(case["sounds"])))

    return GraphCheck("context", parameters_of(talker.context), [case(1, 1), case(2, 9)], reference)


def text_talker_builds(talker: TextTalker) -> list[GraphBuild]:
    """The Talker, and the context of its phonemes."""
    batch, step = torch.export.Dim("B"), torch.export.Dim("S")
    past, past_axes = cache_example(talker.sizes.decoder)
    lengths, length_axes = lengths_example(STEP)
    axes = {0: batch, 1: step}
    window = 2 * talker.text.reach
    codes = torch.zeros(BATCH, STEP, 2, dtype=torch.int64)
    vectors = torch.zeros(BATCH, STEP, talker.sizes.decoder.width)
    elapsed = torch.zeros(BATCH, STEP, dtype=torch.int64)
    return [
        GraphBuild(
            "talker",
            TextTalkerGraph(talker),
            (codes, vectors, elapsed, *lengths, past),
            (axes, axes, axes, *length_axes, past_axes),
            text_talker_check(talker),
        ),
        GraphBuild(
            "context",
            talker.context,
            (torch.zeros(BATCH, window + STEP, dtype=torch.int64),),
            ({0: torch.export.Dim("B"), 1: torch.export.Dim("L", min=window + 1)},),
            context_check(talker),
        ),
    ]
