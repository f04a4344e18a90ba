"""The KV-cached decode loop, shared by the Thinker and the Talker.

Each key and value tensor is one fixed buffer (B, KV, P, head), bound as past and as present of the graph:
``GroupQueryAttention`` then writes the new positions in place and nothing is copied. The arrays of a
one-position step are bound once; a step changes their contents and runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from muomni.bundle.contract import past_names, present_names
from muomni.bundle.manifest import TalkerStage, ThinkerStage
from muomni.errors import ContextError, InputError

from .session import BoundRun, GraphSession

# Buffers grow by this many positions. On the CPU a step reads only the valid part of the buffer, but a
# short reply should not pay the memory of the whole context.
CAPACITY_STEP = 128


class DecoderState:
    """What one batch of sequences has seen: the key/value buffers and how much of them is valid.

    Not shareable between threads. ``lengths`` (B) counts the positions of each row.
    """

    def __init__(self, decoder: Decoder, batch: int, capacity: int) -> None:
        self._decoder = decoder
        self.batch = batch
        self.capacity = 0
        self.lengths = np.zeros(batch, dtype=np.int64)
        self._buffers: list[NDArray[Any]] = []
        self._seqlens = np.zeros(batch, dtype=np.int32)
        self._total = np.zeros((), dtype=np.int32)
        self._step: _Step | None = None
        self.reserve(capacity)

    @property
    def length(self) -> int:
        """Positions of the longest row."""
        return int(self.lengths.max())

    def reserve(self, positions: int) -> None:
        """Make room for ``positions`` in all, keeping what is there.

        Raises:
            ContextError: more than the decoder's context.
        """
        decoder = self._decoder
        if positions > decoder.context_length:
            raise ContextError(
                f"{positions} positions are needed, the {decoder.name}'s context holds {decoder.context_length}"
            )
        if positions <= self.capacity:
            return
        steps = -(-positions // CAPACITY_STEP) * CAPACITY_STEP
        capacity = min(max(steps, 2 * self.capacity), decoder.context_length)
        shape = (self.batch, decoder.kv_heads, capacity, decoder.head_size)
        buffers = [np.zeros(shape, dtype=dtype) for dtype in decoder.cache_dtypes]
        for old, new in zip(self._buffers, buffers, strict=False):
            new[:, :, : self.capacity] = old
        self._buffers, self.capacity, self._step = buffers, capacity, None

    def take_rows(self, rows: Sequence[int]) -> DecoderState:
        """A new state with copies of some rows, in that order."""
        taken = DecoderState(self._decoder, len(rows), self.capacity)
        taken.lengths[:] = self.lengths[rows]
        valid = taken.length
        for source, target in zip(self._buffers, taken._buffers, strict=True):
            target[:, :, :valid] = source[rows, :, :valid]
        return taken

    def put_row(self, row: int, other: DecoderState) -> None:
        """Replace a row by the only row of another state."""
        self.reserve(other.length)
        self.lengths[row] = other.length
        valid = other.length
        for source, target in zip(other._buffers, self._buffers, strict=True):
            target[row, :, :valid] = source[0, :, :valid]

    def clear_row(self, row: int) -> None:
        """Forget a row; it goes on computing beside the others, at the first position, to no effect."""
        self.lengths[row] = 0

    def rewind(self, length: int) -> None:
        """Forget all positions from ``length`` on, in every row."""
        np.minimum(self.lengths, length, out=self.lengths)

    def _advance(self, count: int) -> None:
        self.reserve(self.length + count)
        np.add(self.lengths, count - 1, out=self._seqlens, casting="unsafe")
        self._total[...] = self.length + count


class _Step:
    """A run bound to arrays of one shape."""

    def __init__(
        self, run: BoundRun, feeds: dict[str, NDArray[Any]], results: dict[str, NDArray[Any]]
    ) -> None:
        self.run, self._feeds, self.results = run, feeds, results

    def fits(self, feeds: Mapping[str, NDArray[Any]]) -> bool:
        return all(array.shape == feeds[name].shape for name, array in self._feeds.items())

    def write(self, feeds: Mapping[str, NDArray[Any]]) -> None:
        for name, array in self._feeds.items():
            array[...] = feeds[name]


class Decoder:
    """A decoder graph and the shape of its cache.

    Args:
        name: for messages, "Thinker" or "Talker".
        session: the graph.
        stage: sizes from the manifest.
    """

    def __init__(self, name: str, session: GraphSession, stage: ThinkerStage | TalkerStage) -> None:
        self.name = name
        self.session = session
        self.kv_heads, self.head_size = stage.kv_heads, stage.head_size
        self.context_length = stage.context_length
        self.past_names, self.present_names = past_names(stage.layers), present_names(stage.layers)
        dtypes = {spec.name: spec.dtype for spec in session.contract.inputs}
        self.cache_dtypes = [dtypes[name] for name in self.past_names]
        cache = {"seqlens_k", "total_sequence_length", *self.past_names}
        self.step_inputs = [spec for spec in session.contract.inputs if spec.name not in cache]
        self.results = [spec for spec in session.contract.outputs if spec.name not in set(self.present_names)]

    def start(self, batch: int = 1, capacity: int = 1) -> DecoderState:
        """An empty state for ``batch`` sequences, with room for ``capacity`` positions (it grows)."""
        return DecoderState(self, batch, capacity)

    def feed(
        self, state: DecoderState, count: int, feeds: Mapping[str, NDArray[Any]]
    ) -> dict[str, NDArray[Any]]:
        """Run ``count`` new positions of every row and give the results at the last of them.

        Args:
            state: a state made by :meth:`start`; it is advanced.
            count: S + M of the feeds.
            feeds: the step inputs by name, with B rows.

        Returns:
            Results by name, (B, …). Arrays of a one-position step are reused by the next one: copy what
            must last.

        Raises:
            ContextError: the positions do not fit the context; the state is unchanged.
            InputError: several rows go on with several positions, which ONNX Runtime's attention cannot do on
                the CPU; feed such rows alone, or one position at a time.
        """
        if count > 1 and state.batch > 1 and state.length > 0:
            raise InputError(
                f"{self.name}: {state.batch} rows can go on by 1 position at a time, got {count}"
            )
        state._advance(count)
        step = state._step
        if step is not None and step.fits(feeds):
            step.write(feeds)
        else:
            step = self._bind(state, feeds)
            if count == 1:
                state._step = step
        step.run.run()
        state.lengths += count
        return step.results

    def _bind(self, state: DecoderState, feeds: Mapping[str, NDArray[Any]]) -> _Step:
        wrap = self.session.wrap
        arrays = {
            spec.name: np.array(feeds[spec.name], dtype=spec.dtype, order="C", copy=True)
            for spec in self.step_inputs
        }
        results: dict[str, NDArray[Any]] = {}
        for spec in self.results:
            shape = (state.batch, *(axis for axis in spec.axes[1:] if isinstance(axis, int)))
            results[spec.name] = np.empty(shape, dtype=spec.dtype)
        cache = [wrap(buffer) for buffer in state._buffers]
        inputs = {name: wrap(array) for name, array in arrays.items()}
        inputs |= {"seqlens_k": wrap(state._seqlens), "total_sequence_length": wrap(state._total)}
        inputs |= dict(zip(self.past_names, cache, strict=True))
        outputs = {name: wrap(array) for name, array in results.items()}
        outputs |= dict(zip(self.present_names, cache, strict=True))
        return _Step(self.session.bind(inputs, outputs), arrays, results)
