"""Pools of made pictures on disk, so that what takes long to make is made once and used several times.

Shard k is a pure function of the seed and k, so a pool that was deleted is made again the same. Training adds
shards as it goes, until a limit: which ones exist at a step depends on the step alone.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .pictures import picture, pixels
from .seeds import generator
from .world.scene import Scene, draw_scene

PICTURE_SHARD = 2000


def training_scene(seed: int, index: int) -> Scene:
    return draw_scene(generator("train", seed, "scene", index))


class PicturePool:
    """Drawn scenes of training, by shard: uint8 (PICTURE_SHARD, 3, side, side)."""

    def __init__(self, folder: Path, seed: int, side: int) -> None:
        self.folder, self.seed, self.side = folder, seed, side
        self._open: dict[int, NDArray[np.uint8]] = {}

    def shard(self, k: int) -> NDArray[np.uint8]:
        if k not in self._open:
            scenes = (repr(training_scene(self.seed, k * PICTURE_SHARD + i)) for i in range(PICTURE_SHARD))
            path = self.folder / f"pictures-{self.side}-{self.seed}-{k:04d}-{fingerprint(scenes)}"
            self._open[k] = stored_pair(path, lambda: (self._make(k), np.zeros(0, np.int64)))[0]
        return self._open[k]

    def _make(self, k: int) -> NDArray[np.uint8]:
        out = np.empty((PICTURE_SHARD, 3, self.side, self.side), np.uint8)
        for i in range(PICTURE_SHARD):
            index = k * PICTURE_SHARD + i
            rng = generator("train", self.seed, "picture", index)
            out[i] = pixels(picture(training_scene(self.seed, index), rng), self.side)
        return out


def fingerprint(descriptions: Iterable[str]) -> str:
    """A short name for content: after a change of the world, shards of the old one are not taken for it."""
    return hashlib.blake2b("\n".join(descriptions).encode(), digest_size=4).hexdigest()


def stored_pair(
    path: Path, make: Callable[[], tuple[NDArray[np.uint8], NDArray[np.int64]]]
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Two arrays from ``path``; made and written first if they are not there. The data is memory-mapped."""
    data, extra = path.with_suffix(".data.npy"), path.with_suffix(".index.npy")
    if not data.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        made, index = make()
        # Another process may be making the same shard; both make the same, and each writes a file of its own.
        for target, content in ((extra, index), (data, made)):  # data last: where it is, all is
            partial = path.with_suffix(f".{os.getpid()}.npy")
            np.save(partial, content)
            partial.replace(target)
    return np.load(data, mmap_mode="r"), np.load(extra)
