"""The Thinker: prompt and tokens in, next-token logits out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from muomni.bundle.manifest import ThinkerStage
from muomni.errors import InputError
from muomni.ort.decoder import BoundStep, Decoder
from muomni.ort.kv_cache import KVCache
from muomni.ort.region import Region
from muomni.ort.rows import DeviceRows, Rows
from muomni.ort.session import GraphSession


class Thinker:
    """The language model of a bundle.

    Example:
        >>> cache = omni.thinker.start()
        >>> prompt = [omni.tokenizer.bos_id, *omni.tokenizer.encode("What is two plus three?")]
        >>> logits = omni.thinker.feed(cache, prompt)  # (V,)
        >>> omni.tokenizer.decode([int(logits.argmax())])
        'Two'
    """

    def __init__(self, session: GraphSession, stage: ThinkerStage) -> None:
        self.stage = stage
        self.decoder = Decoder("Thinker", session, stage)
        self._no_media = np.zeros((1, 0, stage.width), dtype=np.float32)

    def start(self, capacity: int = 1, rows: int = 1) -> KVCache:
        """An empty cache for ``rows`` sequences, with room for ``capacity`` positions each; it grows."""
        return self.decoder.start(rows, capacity)

    def feed(
        self,
        cache: KVCache,
        ids: Sequence[int],
        media: Rows | None = None,
        row: int = 0,
    ) -> NDArray[np.float32]:
        """Append media embeddings (M, D), then ids, to one row; give the logits (V,) of what follows.

        The array is reused by the next one-token step: copy it to keep it.

        Raises:
            ContextError: the positions do not fit; the cache is unchanged.
            InputError: an id outside the vocabulary, or media of another width.
            ExecutionError: ONNX Runtime failed.
        """
        vocabulary = self.stage.vocabulary
        if any(not 0 <= i < vocabulary for i in ids):
            bad = next(i for i in ids if not 0 <= i < vocabulary)
            raise InputError(f"token id {bad}: expected 0 to {vocabulary - 1}")
        embeds: NDArray[np.float32] | Region = self._no_media
        if media is not None:
            if media.ndim != 2 or media.shape[1] != self.stage.width:
                raise InputError(f"media embeddings: expected (M, {self.stage.width}), got {media.shape}")
            # What an encoder left on the device is read there.
            embeds = (
                media.region.reshaped((1, *media.shape)) if isinstance(media, DeviceRows) else media[None]
            )
        count = len(ids) + embeds.shape[1]
        if count == 0:
            raise InputError("nothing to feed: expected at least one id or one media embedding")
        feeds: dict[str, NDArray[Any] | Region] = {
            "input_ids": np.array(ids, dtype=np.int64).reshape(1, -1),
            "media_embeds": embeds,
        }
        logits: NDArray[np.float32] = self.decoder.feed(cache, count, feeds, row)["logits"][0]
        return logits

    def step(self, cache: KVCache, ids: Sequence[int]) -> NDArray[np.float32]:
        """Append one id to each of the first ``len(ids)`` rows, all at once; give their logits (len(ids), V).

        An even number of rows is computed, see :meth:`muomni.ort.kv_cache.KVCache.rows_to_compute`. The array is
        reused by the next step.

        Raises:
            ContextError: a row's position does not fit; the cache is unchanged.
            ExecutionError: ONNX Runtime failed; the cache is unchanged.
        """
        live = len(ids)
        logits: NDArray[np.float32] = self._stepped(cache, ids).results["logits"]
        return logits[:live]

    def step_to_likeliest(self, cache: KVCache, ids: Sequence[int]) -> list[int]:
        """As :meth:`step`, for the likeliest id of each row alone. On a device no logits come to the host for it."""
        return [int(place) for place in self._stepped(cache, ids).largest("logits")[: len(ids)]]

    def _stepped(self, cache: KVCache, ids: Sequence[int]) -> BoundStep:
        live = len(ids)
        rows = cache.rows_to_compute(live)
        shapes = {"input_ids": (rows, 1), "media_embeds": (rows, 0, self.stage.width)}
        step = self.decoder.step(cache, rows, shapes)
        step.inputs["input_ids"][:live, 0] = ids
        step.run(1, live)
        return step

    def logits(self, ids: Sequence[int], media: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
        """Logits (len(ids), V) after each of the ids: what a perplexity or a comparison needs.

        The graph gives the last position only, so this takes one step per id.
        """
        cache = self.start(len(ids) + (0 if media is None else len(media)))
        made = []
        for index, token in enumerate(ids):
            made.append(self.feed(cache, [token], media if index == 0 else None).copy())
        return np.stack(made)
