"""The reference's Talker, which knows no text: its graph and its check."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from muomni_export.modules.talker import Talker
from muomni_export.onnx.attention import Cache, PackedBlock, RotaryTables
from muomni_export.parity.compare import GraphCheck, generator, parameters_of, split_chunks, to_numpy
from muomni_export.parity.replay import Arrays
from muomni_export.stages.decoder import cache_example, lengths_example
from muomni_export.stages.stage import BATCH, STEP, GraphBuild

# A Talker has no context length in its config; its rotary table ends here: 5 minutes at 12.5 frames a second.
POSITIONS = 4096


def start_codes(talker: Talker) -> tuple[int, int]:
    """The pseudo frame of the learned start, see :class:`TalkerGraph`."""
    return talker.sizes.codebook_size, talker.sizes.codebook_size + 1


class TalkerGraph(nn.Module):
    """Code frames with a cache -> logits of both codes of the next frame.

    The learned start is a row of the embedding table behind the codes: the pseudo frame
    ``(K, K + 1)`` sums to it, row K + 1 being zeros.
    """

    def __init__(self, talker: Talker) -> None:
        super().__init__()
        table = torch.cat((talker.emb.weight, talker.start[0], torch.zeros_like(talker.start[0])))
        self.emb = embedding(table)
        self.norm, self.base_head, self.res_head = talker.norm, talker.base_head, talker.res_head
        self.blocks = nn.ModuleList(PackedBlock(block, i) for i, block in enumerate(talker.blocks))
        self.rotary = RotaryTables(POSITIONS, talker.sizes.decoder)

    def forward(
        self, codes: Tensor, seqlens_k: Tensor, total_sequence_length: Tensor, past: list[Tensor]
    ) -> tuple[Tensor, ...]:
        cache = Cache(past, seqlens_k, total_sequence_length, self.rotary.cosines, self.rotary.sines)
        x = self.emb(codes[..., 0]) + self.emb(codes[..., 1])
        for block in self.blocks:
            x = block(x, cache)
        x = self.norm(x[:, -1])
        return (self.base_head(x), self.res_head(x), *cache.present)


def embedding(table: Tensor) -> nn.Embedding:
    """A lookup in (rows, d)."""
    return nn.Embedding(table.shape[0], table.shape[1], _weight=table.detach())


def talker_check(talker: Talker) -> GraphCheck:
    random = generator()

    def case(batch: int, frames: int, *chunks: int) -> Arrays:
        codes = random.integers(0, talker.sizes.codebook_size, (batch, frames, 2))
        codes[:, 0] = start_codes(talker)
        return {"codes": codes, "chunks": split_chunks(frames, *chunks)}

    def reference(case: Arrays) -> Arrays:
        codes = torch.from_numpy(case["codes"])
        last = torch.from_numpy(case["chunks"].cumsum() - 1)
        with torch.inference_mode():
            base, residual = talker(talker.embed(codes[:, 1:]))
            return to_numpy(base_logits=base[:, last], residual_logits=residual[:, last])

    cases = [case(1, 6, 2), case(1, 1), case(1, 40, 17, 5), case(3, 8, 3), case(1, 150, 140)]
    return GraphCheck("talker", parameters_of(talker), cases, reference)


def talker_build(talker: Talker) -> GraphBuild:
    past, past_axes = cache_example(talker.sizes.decoder)
    lengths, length_axes = lengths_example(STEP)
    return GraphBuild(
        "talker",
        TalkerGraph(talker),
        (torch.zeros(BATCH, STEP, 2, dtype=torch.int64), *lengths, past),
        ({0: torch.export.Dim("B"), 1: torch.export.Dim("S")}, *length_axes, past_axes),
        talker_check(talker),
    )
