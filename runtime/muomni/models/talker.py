"""The Talker that reads text: what it is given is phonemes, one a frame."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from muomni.bundle.manifest import TalkerStage, TextInput
from muomni.ort.decoder import Decoder
from muomni.ort.session import GraphSession
from muomni.speech.phonemes import Phonemes
from muomni.speech.pointer import LONG_FRAMES, Answer, Query, Step, best
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

    def rows(self, count: int) -> TalkerRows:
        """Room for ``count`` utterances that take steps together."""
        return TalkerRows(self._decoder, self.stage, self._longest_elapsed, count)

    def start(self) -> Step:
        """A new utterance."""
        rows = self.rows(1)
        return lambda query: rows.step([query])[0]


class TalkerRows:
    """Utterances in the rows of one cache."""

    def __init__(self, decoder: Decoder, stage: TalkerStage, longest_elapsed: int, count: int) -> None:
        self._decoder, self._stage, self._longest_elapsed = decoder, stage, longest_elapsed
        self._cache = decoder.start(count, LONG_FRAMES)

    def step(self, queries: Sequence[Query | None]) -> list[Answer]:
        """A frame of every row that asks for one; the others stay as they are.

        An even number of rows is computed, see :meth:`muomni.ort.kv_cache.KVCache.rows_to_compute`: so an utterance is
        the same whatever is said beside it.

        Returns:
            For each row base (K,) and residual (K,) logits, and advance; what rows have that did not ask is
            undefined. The arrays are reused by the next step.

        Raises:
            ContextError: a row's position does not fit; nothing has changed.
            ExecutionError: ONNX Runtime failed.
        """
        cache, stage, live = self._cache, self._stage, len(queries)
        rows = cache.rows_to_compute(live)
        for row, query in enumerate(queries):
            if query is not None and query.codes is None:
                cache.lengths[row] = 0
        shapes = {
            "codes": (rows, 1, stage.codebooks),
            "vectors": (rows, 1, stage.width),
            "elapsed": (rows, 1),
        }
        bound = self._decoder.step(cache, rows, shapes)
        codes, vectors, elapsed = (bound.inputs[name] for name in shapes)
        for row, query in enumerate(queries):
            if query is not None:
                codes[row, 0] = stage.start_codes if query.codes is None else query.codes
                vectors[row, 0] = query.vector
                elapsed[row, 0] = min(query.elapsed, self._longest_elapsed)
        bound.run(1, live)
        for row, query in enumerate(queries):
            if query is None:
                cache.lengths[row] -= 1
        result = bound.results
        base, residual, advance = (result[k] for k in ("base_logits", "residual_logits", "advance"))
        return [(base[row], residual[row], float(advance[row])) for row in range(live)]

    def copy(self, row: int, source: TalkerRows, source_row: int) -> None:
        """Make a row what another one is."""
        self._cache.copy_row(row, source._cache, source_row)

    def clear(self, row: int) -> None:
        """Nothing is said in this row any more; it may compute beside the others, to no effect."""
        self._cache.lengths[row] = 0
