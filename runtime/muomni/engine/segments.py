"""Positions of the Thinker's context before they are computed: ids and media embeddings, in their order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from muomni.models.thinker import Thinker
from muomni.ort.kv_cache import KVCache
from muomni.ort.rows import Rows, on_host

PREFILL_CHUNK = 128
"""Positions of prompts that are computed between two steps of the others. Chunks begin at multiples of this, so
that the same prompt is cut at the same places whatever part of it was there already."""

Segment = list[int] | Rows
"""Neighbouring positions: ids, or media embeddings (M, D)."""


def joined(segments: Iterable[Segment]) -> list[Segment]:
    """The same positions in as few segments as possible; empty ones go."""
    made: list[Segment] = []
    for segment in segments:
        if not len(segment):
            continue
        if isinstance(segment, list) and made and isinstance(made[-1], list):
            made[-1] = [*made[-1], *segment]
        else:
            made.append(segment)
    return made


def cut(segments: Sequence[Segment], count: int) -> tuple[list[Segment], list[Segment]]:
    """The first ``count`` positions, and the rest.

    Example:
        >>> cut([[1, 2, 3], [4]], 2)
        ([[1, 2]], [[3], [4]])
    """
    head: list[Segment] = []
    for index, segment in enumerate(segments):
        if len(segment) > count:
            rest = [segment[count:], *segments[index + 1 :]]
            return (head if count == 0 else [*head, segment[:count]]), rest
        head.append(segment)
        count -= len(segment)
    return head, []


def feed(thinker: Thinker, cache: KVCache, row: int, segments: Sequence[Segment]) -> NDArray[np.float32]:
    """Append segments (at least one position) to a row; the logits (V,) of what follows.

    A run of the graph takes media and then ids, so it takes two segments at a time.
    """
    waiting: Rows | None = None
    for segment in segments:
        if isinstance(segment, list):
            logits = thinker.feed(cache, segment, waiting, row)
            waiting = None
        else:
            if waiting is not None:
                thinker.feed(cache, [], waiting, row)
            waiting = segment
    return logits if waiting is None else thinker.feed(cache, [], waiting, row)


def keys_of(segments: Sequence[Segment]) -> NDArray[np.int64]:
    """One number a position, equal where positions are: an id, or a hash of an embedding's bytes."""
    parts = [
        np.array(
            segment if isinstance(segment, list) else [hash(row.tobytes()) for row in on_host(segment)],
            np.int64,
        )
        for segment in segments
    ]
    return np.concatenate(parts)
