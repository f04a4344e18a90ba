"""The Talker stage of bundles whose Talker is told what to say."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from muomni.bundle.manifest import TalkerStage, TextInput
from muomni.ort.decoder import Decoder
from muomni.ort.session import GraphSession
from muomni.speech.phonemes import Phonemes
from muomni.speech.pointer import LONG_FRAMES, Frame, SpokenText, Step, best

from .sampling import Sampler, SamplingOptions


class Talker:
    """Letters graph, context graph and the Talker's step; implements :class:`muomni.speech.pointer.Graphs`.

    Args:
        residual_by_base: (K, K), see there.
    """

    def __init__(
        self,
        talker: GraphSession,
        letters: GraphSession,
        context: GraphSession,
        stage: TalkerStage,
        entry: TextInput,
        inventory: Phonemes,
        residual_by_base: NDArray[np.float32],
    ) -> None:
        self.stage, self.inventory = stage, inventory
        self.reach, self._longest_elapsed = entry.context_phonemes, entry.elapsed_frames - 1
        self.residual_by_base = residual_by_base
        self._letters, self._context = letters, context
        self._decoder = Decoder("Talker", talker, stage)

    def frames(self, pieces: Iterable[str], options: SamplingOptions) -> SpokenText:
        """The frames of a text, each as soon as the text read so far decides it.

        Args:
            pieces: the text, cut anywhere.
            options: of the base code; the residual code is always the likeliest one.
        """
        choose = best if options.temperature == 0 else Sampler(options).pick
        return SpokenText(self, self.inventory, pieces, choose)

    def letters(self, letters: NDArray[np.int64]) -> NDArray[np.float32]:
        """Letters (1, L) -> logits (1, L, slots, symbols)."""
        logits: NDArray[np.float32] = self._letters.run({"letters": letters})["symbol_logits"]
        return logits

    def context(self, sounds: NDArray[np.int64]) -> NDArray[np.float32]:
        """Sounds (1, reach + S + reach) -> vectors (1, S, d)."""
        vectors: NDArray[np.float32] = self._context.run({"sounds": sounds})["vectors"]
        return vectors

    def start(self) -> Step:
        """A new utterance."""
        decoder = self._decoder
        state = decoder.start(1, LONG_FRAMES)
        feeds: dict[str, NDArray[Any]] = {
            "codes": np.zeros((1, 1, self.stage.codebooks), dtype=np.int64),
            "vectors": np.zeros((1, 1, self.stage.width), dtype=np.float32),
            "elapsed": np.zeros((1, 1), dtype=np.int64),
        }

        def step(
            codes: Frame | None, vector: NDArray[np.float32], elapsed: int
        ) -> tuple[NDArray[np.float32], NDArray[np.float32], float]:
            feeds["codes"][0, 0] = self.stage.start_codes if codes is None else codes
            feeds["vectors"][0, 0] = vector
            feeds["elapsed"][0, 0] = min(elapsed, self._longest_elapsed)
            result = decoder.feed(state, 1, feeds)
            return result["base_logits"][0], result["residual_logits"][0], float(result["advance"][0])

        return step
