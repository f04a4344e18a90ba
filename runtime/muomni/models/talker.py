"""The Talker that reads text: what it is given is phonemes, one a frame."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from muomni.bundle.manifest import TalkerStage, TextInput
from muomni.ort.decoder import Decoder
from muomni.ort.session import GraphSession
from muomni.speech.phonemes import Phonemes
from muomni.speech.pointer import LONG_FRAMES, Frame, Step, best
from muomni.speech.text_pointer import TextPointer

from .sampling import Sampler, SamplingOptions


class Talker:
    """Phonemizer graph, context graph and the Talker's step; implements :class:`muomni.speech.pointer.Graphs`.

    Args:
        residual_by_base: (K, K), see there.

    Example:
        >>> frames = list(omni.talker.start_text(SamplingOptions()).frames(["Hello."]))
        >>> len(frames[0])  # a base and a residual code
        2
    """

    def __init__(
        self,
        talker: GraphSession,
        letters: GraphSession,
        context: GraphSession,
        stage: TalkerStage,
        entry: TextInput,
        phonemes: Phonemes,
        residual_by_base: NDArray[np.float32],
    ) -> None:
        self.stage, self.phonemes = stage, phonemes
        self.reach, self._longest_elapsed = entry.context_phonemes, entry.elapsed_frames - 1
        self.residual_by_base = residual_by_base
        self._letters, self._context = letters, context
        self._decoder = Decoder("Talker", talker, stage)

    def start_text(self, options: SamplingOptions) -> TextPointer:
        """Frames of a text that is still to come.

        Args:
            options: of the base code; the residual code is always the likeliest one.
        """
        choose = best if options.greedy else Sampler(options).pick
        return TextPointer(self, self.phonemes, choose)

    def letters(self, letters: NDArray[np.int64]) -> NDArray[np.float32]:
        """Letters (1, L) -> logits (1, L, slots, symbols)."""
        logits: NDArray[np.float32] = self._letters.run({"letters": letters})["symbol_logits"]
        return logits

    def context(self, phonemes: NDArray[np.int64]) -> NDArray[np.float32]:
        """Phonemes (1, reach + S + reach) -> vectors (1, S, d)."""
        vectors: NDArray[np.float32] = self._context.run({"sounds": phonemes})["vectors"]
        return vectors

    def start(self) -> Step:
        """A new utterance."""
        decoder, stage = self._decoder, self.stage
        cache = decoder.start(1, LONG_FRAMES)
        shapes = {"codes": (1, 1, stage.codebooks), "vectors": (1, 1, stage.width), "elapsed": (1, 1)}

        def step(
            codes: Frame | None, vector: NDArray[np.float32], elapsed: int
        ) -> tuple[NDArray[np.float32], NDArray[np.float32], float]:
            bound = decoder.step(cache, 1, shapes)
            bound.inputs["codes"][0, 0] = stage.start_codes if codes is None else codes
            bound.inputs["vectors"][0, 0] = vector
            bound.inputs["elapsed"][0, 0] = min(elapsed, self._longest_elapsed)
            bound.run()
            result = bound.results
            return result["base_logits"][0], result["residual_logits"][0], float(result["advance"][0])

        return step
