"""The Thinker stage: prompt and tokens in, next-token logits out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from muomni.bundle.manifest import ThinkerStage
from muomni.errors import InputError
from muomni.ort.decoder import Decoder, DecoderState
from muomni.ort.session import GraphSession


class Thinker:
    """The language model of a bundle.

    Example:
        >>> state = omni.thinker.start()
        >>> prompt = [omni.tokenizer.bos_id, *omni.tokenizer.encode("What is two plus three?")]
        >>> logits = omni.thinker.feed(state, prompt)
        >>> omni.tokenizer.decode([int(logits.argmax())])
        'Two'
    """

    def __init__(self, session: GraphSession, stage: ThinkerStage) -> None:
        self.stage = stage
        self.decoder = Decoder("Thinker", session, stage)
        self._no_media = np.zeros((1, 0, stage.width), dtype=np.float32)

    def start(self, capacity: int = 1) -> DecoderState:
        """An empty state for one sequence."""
        return self.decoder.start(1, capacity)

    def feed(
        self, state: DecoderState, ids: Sequence[int], media: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """Append media embeddings (M, D), then ids; give the logits (V,) of what follows.

        The array is reused by the next one-token step: copy it to keep it.

        Raises:
            ContextError: the positions do not fit; the state is unchanged.
            InputError: an id outside the vocabulary, or media of another width.
        """
        vocabulary = self.stage.vocabulary
        if any(not 0 <= i < vocabulary for i in ids):
            bad = next(i for i in ids if not 0 <= i < vocabulary)
            raise InputError(f"token id {bad}: expected 0 to {vocabulary - 1}")
        rows = self._no_media
        if media is not None:
            if media.ndim != 2 or media.shape[1] != self.stage.width:
                raise InputError(f"media embeddings: expected (M, {self.stage.width}), got {media.shape}")
            rows = media[None]
        count = len(ids) + rows.shape[1]
        if count == 0:
            raise InputError("nothing to feed: expected at least one id or one media embedding")
        feeds: dict[str, NDArray[Any]] = {
            "input_ids": np.array(ids, dtype=np.int64).reshape(1, -1),
            "media_embeds": rows,
        }
        logits: NDArray[np.float32] = self.decoder.feed(state, count, feeds)["logits"][0]
        return logits

    def logits(self, ids: Sequence[int], media: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
        """Logits (len(ids), V) after each of the ids: what a perplexity or a comparison needs.

        The graph gives the last position only, so this takes one step per id.
        """
        state = self.start(len(ids) + (0 if media is None else len(media)))
        rows = []
        for index, token in enumerate(ids):
            rows.append(self.feed(state, [token], media if index == 0 else None).copy())
        return np.stack(rows)
