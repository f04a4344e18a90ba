"""What a conversation remembers: its turns, and their keys and values; in memory and in a file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from muomni.bundle.manifest import ThinkerStage
from muomni.errors import InputError
from muomni.models.registry import Models
from muomni.ort.kv_cache import KVCache
from muomni.ort.rows import Rows, on_host

from .segments import Segment

SAVED_FORMAT = 1


@dataclass(frozen=True)
class PastTurn:
    media: Rows | None
    ids: list[int]
    reply_ids: list[int]

    @property
    def segments(self) -> list[Segment]:
        ids = [*self.ids, *self.reply_ids]
        return [ids] if self.media is None else [self.media, ids]

    def __len__(self) -> int:
        return sum(map(len, self.segments))


@dataclass(frozen=True)
class Memory:
    """What is remembered; a turn makes a new one and nothing is changed in place.

    The last id of the last reply was generated and not fed: it is computed with the next turn. So the cache has
    the positions of all turns but one, and whatever comes after them in it is of a turn that did not succeed.
    """

    turns: tuple[PastTurn, ...] = ()
    cache: KVCache | None = None

    @property
    def positions(self) -> int:
        return sum(map(len, self.turns))

    @property
    def pending(self) -> list[int]:
        return self.turns[-1].reply_ids[-1:] if self.turns else []


def with_room_for(memory: Memory, needed: int, context: int, truncate: bool) -> Memory:
    """The memory with as many of the oldest turns forgotten as it takes; nothing is computed yet."""
    turns = memory.turns
    if truncate:
        while turns and needed > context - sum(map(len, turns)):
            turns = turns[1:]
    return memory if len(turns) == len(memory.turns) else Memory(turns)


def to_arrays(memory: Memory, graph_sha256: str) -> dict[str, NDArray[Any]]:
    """What is written to a file, see :meth:`muomni.Conversation.save`."""
    header = {
        "format": SAVED_FORMAT,
        "thinker_sha256": graph_sha256,
        "turns": [{"ids": turn.ids, "reply_ids": turn.reply_ids} for turn in memory.turns],
    }
    arrays: dict[str, NDArray[Any]] = {"conversation": np.array(json.dumps(header))}
    for index, turn in enumerate(memory.turns):
        if turn.media is not None:
            arrays[f"media_{index}"] = on_host(turn.media)
    if memory.cache is not None:
        valid = memory.positions - len(memory.pending)
        for index, values in enumerate(memory.cache.read(0, valid)):
            arrays[f"cache_{index}"] = values
    return arrays


def from_file(path: Path, models: Models, graph_sha256: str) -> Memory:
    """Read what :meth:`Conversation.save` wrote.

    Raises:
        InputError: the file cannot be read, is something else, or belongs to another model.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            # A member that is no array is given as its bytes.
            arrays = {name: np.asarray(file[name]) for name in file.files}
        header = json.loads(str(arrays["conversation"]))
        saved_by, format_ = header["thinker_sha256"], header["format"]
        turns = tuple(
            PastTurn(arrays.get(f"media_{i}"), list(turn["ids"]), list(turn["reply_ids"]))
            for i, turn in enumerate(header["turns"])
        )
    except Exception as error:  # numpy, zipfile and tokenize raise of many kinds on a damaged file
        raise InputError(f"{path}: not a saved conversation ({error})") from error
    if format_ != SAVED_FORMAT:
        raise InputError(f"{path}: a conversation of format {format_}, this muomni reads {SAVED_FORMAT}")
    if saved_by != graph_sha256:
        raise InputError(
            f"{path}: this conversation was had with another model; load it with the bundle it is of"
        )
    if not turns:
        return Memory()
    stage = models.thinker().stage
    if not all(_is_of(turn, stage) for turn in turns):
        raise InputError(f"{path}: its turns are none of this model's; the file is damaged")
    memory = Memory(turns)
    valid = memory.positions - len(memory.pending)
    if memory.positions > stage.context_length:
        raise InputError(
            f"{path}: {memory.positions} positions, the context holds {stage.context_length}; the file is damaged"
        )
    cache = models.thinker().start(valid)
    values = [arrays[f"cache_{i}"] for i in range(cache.shape.tensors) if f"cache_{i}" in arrays]
    shape = (cache.shape.kv_heads, valid, cache.shape.head_size)
    fits = [value.shape == shape and value.dtype == cache.shape.dtype for value in values]
    if len(values) != cache.shape.tensors or not all(fits):
        raise InputError(f"{path}: the keys and values do not fit the turns; the file is damaged")
    cache.write(0, values, valid)
    return Memory(turns, cache)


def _is_of(turn: PastTurn, stage: ThinkerStage) -> bool:
    """Whether a turn that was read can be one of this model's."""
    ids = [*turn.ids, *turn.reply_ids]
    media = None if turn.media is None else on_host(turn.media)
    return (
        all(type(i) is int and 0 <= i < stage.vocabulary for i in ids)
        and bool(turn.ids and turn.reply_ids)
        and (
            media is None or (media.ndim == 2 and media.shape[1] == stage.width and media.dtype == np.float32)
        )
    )
