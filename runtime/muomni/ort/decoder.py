"""A decoder graph that goes on where its cache ends, shared by the Thinker, the Talker and OCR.

The cache is bound as past and as present of the graph: ``GroupQueryAttention`` writes the new positions in place.
The arrays of a one-position step are bound once; a step changes their contents and runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from muomni.bundle.contract import past_names, present_names
from muomni.bundle.manifest import DecoderStage
from muomni.errors import InputError

from .device_cache import DevicePool
from .kv_cache import CacheShape, HostCache, KVCache, longest
from .region import Region
from .session import GraphSession

Upload = tuple[Callable[[NDArray[Any]], None], NDArray[Any]]
"""What copies an array to the device, and the array."""


class BoundStep:
    """A run of some neighbouring rows of a cache, bound to fixed memory.

    Attributes:
        inputs: numpy arrays by name, to be written before :meth:`run`.
        results: numpy arrays by name, (rows, …); overwritten by the next run.

    Args:
        given: inputs that are on the device already, by name; the others are arrays of ``shapes``.
        repeats: the step is run many times.
    """

    def __init__(
        self,
        decoder: Decoder,
        cache: KVCache,
        first: int,
        rows: int,
        shapes: Mapping[str, tuple[int, ...]],
        given: Mapping[str, Region] | None = None,
        repeats: bool = True,
    ) -> None:
        session, memory = decoder.session, decoder.session.memory
        self._lengths = cache.lengths[first : first + rows]
        given = given or {}
        self.inputs: dict[str, NDArray[Any]] = {
            spec.name: np.zeros(shapes[spec.name], dtype=spec.dtype)
            for spec in decoder.step_inputs
            if spec.name not in given
        }
        self._last = np.zeros(rows, dtype=np.int32)
        self._total = np.zeros((), dtype=np.int32)
        self._uploads: dict[str, Upload] = {}
        self._held: dict[str, Upload] = {}
        arrays = {**self.inputs, "seqlens_k": self._last, "total_sequence_length": self._total}
        inputs: dict[str, Any] = dict(given)
        for name, array in arrays.items():
            if memory is not None and name in session.device_inputs:
                region = inputs[name] = memory.allocate(
                    array.shape, array.dtype, f"the {decoder.name}'s {name}"
                )
                if array.size:
                    self._uploads[name] = region.owner.update_inplace, array
            else:
                inputs[name] = session.wrap(array)
        self._memory = memory
        self._finders: dict[str, Callable[[], NDArray[np.int64]]] = {}
        shapes_of_results = {
            spec.name: (rows, *(axis for axis in spec.axes[1:] if isinstance(axis, int)))
            for spec in decoder.results
        }
        outputs: dict[str, Any]
        self._downloads: Downloads | None = None
        self.results: Mapping[str, NDArray[Any]]
        if memory is None:
            self.results = {
                spec.name: np.empty(shapes_of_results[spec.name], dtype=spec.dtype)
                for spec in decoder.results
            }
            outputs = {name: session.wrap(array) for name, array in self.results.items()}
        else:
            self._places = {
                spec.name: memory.allocate(
                    shapes_of_results[spec.name], np.dtype(spec.dtype), f"the {decoder.name}'s {spec.name}"
                )
                for spec in decoder.results
            }
            outputs = dict(self._places)
            owners = {name: region.owner for name, region in self._places.items()}
            self.results = self._downloads = Downloads(owners)
        tensors = cache.bound.get(("tensors", first, rows))
        if tensors is None:
            tensors = [session.wrap(tensor) for tensor in cache.tensors(first, rows)]
            cache.bound["tensors", first, rows] = tensors
        inputs |= dict(zip(decoder.past_names, tensors, strict=True))
        outputs |= dict(zip(decoder.present_names, tensors, strict=True))
        bound = session.bind(inputs, outputs, capture=repeats)
        # A captured graph has the length of its capture: it is given the most that the buffers hold.
        self._fixed_total = cache.capacity if bound.captured else None
        self._run = bound.run

    def hold(self, name: str) -> None:
        """An input stays as it is now: it is copied to the device for the last time, or until this is called again."""
        if name in self._uploads:
            self._held[name] = self._uploads.pop(name)
        if name in self._held:
            update, array = self._held[name]
            update(array)

    def largest(self, name: str) -> NDArray[np.int64]:
        """Of a result (rows, V) the place of each row's largest (rows,); on a device it is found there."""
        if self._memory is None:
            places: NDArray[np.int64] = self.results[name].argmax(axis=1)
            return places
        find = self._finders.get(name)
        if find is None:
            find = self._finders[name] = self._memory.largest_of(self._places[name])
        return find()

    def run(self, count: int = 1, live: int | None = None) -> None:
        """Compute ``count`` new positions of every row.

        Args:
            live: the first so many rows go on; the others compute beside them to no effect (the position after
                their last is overwritten, and stays invalid).

        Raises:
            ExecutionError: ONNX Runtime failed; nothing has gone on.
        """
        lengths = self._lengths
        np.add(lengths, count - 1, out=self._last, casting="unsafe")
        self._total[...] = self._fixed_total or longest(lengths) + count
        if self._downloads is not None:
            for update, array in self._uploads.values():
                update(array)
            self._downloads.forget()
        self._run()
        lengths[:live] += count


class Downloads(Mapping[str, NDArray[Any]]):
    """Results on a device; each comes to the host when it is first asked for after a run."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values, self._arrays = values, dict[str, NDArray[Any]]()

    def forget(self) -> None:
        """They are computed anew."""
        self._arrays.clear()

    def __getitem__(self, name: str) -> NDArray[Any]:
        array = self._arrays.get(name)
        if array is None:
            array = self._arrays[name] = self._values[name].numpy()
        return array

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


class Decoder:
    """A decoder graph and the shape of its cache.

    Args:
        name: for messages: "Thinker", "Talker" or "OCR".
        session: the graph.
        stage: sizes from the manifest.
    """

    def __init__(self, name: str, session: GraphSession, stage: DecoderStage) -> None:
        self.name = name
        self.session = session
        self.context_length = stage.context_length
        self.past_names, self.present_names = past_names(stage.layers), present_names(stage.layers)
        past = set(self.past_names)
        dtype = next(spec.dtype for spec in session.contract.inputs if spec.name in past)
        self.cache_shape = CacheShape(
            name, len(past), stage.kv_heads, stage.head_size, stage.context_length, dtype
        )
        self._pool = None if session.memory is None else DevicePool(session.memory, self.cache_shape)
        bound = {"seqlens_k", "total_sequence_length", *past}
        self.step_inputs = [spec for spec in session.contract.inputs if spec.name not in bound]
        self.results = [spec for spec in session.contract.outputs if spec.name not in set(self.present_names)]

    def start(self, rows: int = 1, capacity: int = 1) -> KVCache:
        """An empty cache for ``rows`` sequences, with room for ``capacity`` positions each (it grows)."""
        if self._pool is not None:
            return self._pool.start(rows, capacity)
        return HostCache(self.cache_shape, rows, capacity)

    def step(self, cache: KVCache, rows: int, shapes: Mapping[str, tuple[int, ...]]) -> BoundStep:
        """The bound one-position step of the first ``rows`` rows, with room for that position.

        Raises:
            ContextError: the position does not fit the context; the cache is unchanged.
        """
        cache.reserve(longest(cache.lengths[:rows]) + 1)
        step: BoundStep | None = cache.bound.get(rows)
        if step is None:
            step = cache.bound[rows] = BoundStep(self, cache, 0, rows, shapes)
        return step

    def feed(
        self, cache: KVCache, count: int, feeds: Mapping[str, NDArray[Any] | Region], row: int | None = None
    ) -> Mapping[str, NDArray[Any]]:
        """Run ``count`` new positions of every row, or of one, and give the results at the last of them.

        Args:
            cache: made by :meth:`start`; it is advanced.
            count: S + M of the feeds.
            feeds: the step inputs by name, with B rows; arrays, or where they are on the device.
            row: the one row that goes on; None takes all.

        Returns:
            Results by name, (B, …). Arrays of a one-position step are reused by the next one: copy what
            must last.

        Raises:
            ContextError: the positions do not fit the context; the cache is unchanged.
            InputError: several rows go on with several positions, which ONNX Runtime's attention cannot do on
                the CPU; feed such rows alone, or one position at a time.
            ExecutionError: ONNX Runtime failed; the cache is unchanged.
        """
        first, rows = (0, cache.rows) if row is None else (row, 1)
        length = longest(cache.lengths[first : first + rows])
        if count > 1 and rows > 1 and length > 0:
            raise InputError(f"{self.name}: {rows} rows can go on by 1 position at a time, got {count}")
        cache.reserve(length + count)
        shapes = {spec.name: feeds[spec.name].shape for spec in self.step_inputs}
        given = {name: value for name, value in feeds.items() if isinstance(value, Region)}
        repeats = count == 1 and not given
        key = (first, rows, tuple(shapes.values()))
        step: BoundStep | None = cache.bound.get(key) if repeats else None
        if step is None:
            step = BoundStep(self, cache, first, rows, shapes, given, repeats)
            if repeats:
                cache.bound[key] = step
        for name, array in step.inputs.items():
            array[...] = feeds[name]
        step.run(count)
        return step.results
