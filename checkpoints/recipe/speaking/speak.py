"""The trained models as the graphs that the runtime's loop speaks with."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray

from muomni.speech.pointer import Answer, Chooser, Frame, Graphs, Pointer, Query, Step, best
from muomni_export.modules.codec import Codec
from muomni_export.modules.decoder import CachedAttend
from muomni_export.modules.phonemizer import Phonemizer
from muomni_export.modules.talker import TextTalker


@torch.no_grad()
def decode(codec: Codec, codes: NDArray[np.int64]) -> NDArray[np.float32]:
    """Codes (T, C) -> mel (T, M)."""
    mel: NDArray[np.float32] = codec.decode(torch.from_numpy(codes)[None])[0].numpy()
    return mel


def frames_of(
    graphs: Graphs, phonemes: Iterable[int], choose_base: Chooser = best, choose_residual: Chooser = best
) -> list[Frame]:
    """What is said for numbers of phonemes and marks, in the runtime's loop."""
    pointer = Pointer(graphs, choose_base, choose_residual)
    pointer.push(phonemes)
    pointer.finish()
    frames: list[Frame] = []
    while (frame := pointer.next_frame()) is not None:
        frames.append(frame)
    return frames


class TorchGraphs:
    """:class:`muomni.speech.pointer.Graphs` by torch modules."""

    def __init__(self, letters: Phonemizer, talker: TextTalker) -> None:
        assert talker.sizes.text is not None
        self._letters, self._talker = letters.eval(), talker.eval()
        self.reach = talker.sizes.text.reach
        self.residual_by_base: NDArray[np.float32] = talker.base_to_res.weight.detach().numpy()

    @torch.no_grad()
    def letters(self, letters: NDArray[np.int64]) -> NDArray[np.float32]:
        result: NDArray[np.float32] = self._letters(torch.from_numpy(letters)).numpy()
        return result

    @torch.no_grad()
    def context(self, phonemes: NDArray[np.int64]) -> NDArray[np.float32]:
        result: NDArray[np.float32] = self._talker.context(torch.from_numpy(phonemes)).numpy()
        return result

    def start(self) -> Step:
        attend = CachedAttend()
        talker = self._talker

        @torch.no_grad()
        def step(query: Query) -> Answer:
            codes, vector, elapsed = query
            before = torch.zeros(1, 0, 2, dtype=torch.long)
            if codes is not None:
                before = torch.tensor([[codes]])
            embedded = talker.embed_at_pointer(
                before, torch.from_numpy(vector)[None, None], torch.tensor([[elapsed]]), first=codes is None
            )
            base, residual, advance = talker.predict(embedded, attend)
            return base[0, 0].numpy(), residual[0, 0].numpy(), float(advance[0, 0])

        return step
