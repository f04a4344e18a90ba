"""Rows of floats that a graph made on a device, and another takes there: embeddings between encoder and Thinker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .device_memory import DeviceMemory
from .region import Region, region_of


@dataclass(frozen=True, eq=False)
class DeviceRows:
    """Rows (M, D) in a device's memory; so much of a numpy array as a prompt needs of one.

    Example:
        >>> rows[4:8].shape, rows[4:8].numpy().dtype
        ((4, 192), dtype('float32'))
    """

    memory: DeviceMemory
    region: Region

    ndim = 2

    @property
    def shape(self) -> tuple[int, ...]:
        return self.region.shape

    def __len__(self) -> int:
        return self.region.shape[0]

    def __getitem__(self, rows: slice) -> DeviceRows:
        first, end, step = rows.indices(len(self))
        assert step == 1, "neighbouring rows alone"
        return DeviceRows(self.memory, self.region.part(first, max(0, end - first)))

    def numpy(self) -> NDArray[np.float32]:
        """A copy on the host."""
        made = np.empty(self.shape, dtype=self.region.dtype)
        if len(self):
            self.memory.copy([_as_tensor(self.region)], [_as_tensor(region_of(made))])
        return made


Rows = NDArray[np.float32] | DeviceRows
"""Embeddings (M, D), wherever they are."""


def on_host(rows: Rows) -> NDArray[np.float32]:
    """The same as a numpy array."""
    return rows.numpy() if isinstance(rows, DeviceRows) else rows


def together(parts: Sequence[Rows]) -> Rows:
    """One after the other; on the device where they are there already."""
    first = parts[0]
    if len(parts) == 1:
        return first
    if not isinstance(first, DeviceRows):
        return np.concatenate([on_host(part) for part in parts])
    size = sum(map(len, parts)), first.shape[1]
    whole = first.memory.allocate(size, first.region.dtype, "the embeddings of a prompt")
    at = 0
    for part in parts:
        source = part.region if isinstance(part, DeviceRows) else region_of(np.ascontiguousarray(part))
        if len(part):
            first.memory.copy([_as_tensor(source)], [_as_tensor(whole.part(at, len(part)))])
        at += len(part)
    return DeviceRows(first.memory, whole)


def _as_tensor(region: Region) -> Region:
    """As what :meth:`DeviceMemory.copy` takes."""
    return region.reshaped((1, 1, *region.shape))
