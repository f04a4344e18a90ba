"""Pools of made samples on disk, so that what takes long to make is made once and used several times.

Shard k is a pure function of the seed and k, so a pool that was deleted is made again the same. Training adds
shards as it goes, until a limit: which ones exist at a step depends on the step alone.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .pictures import picture, pixels
from .seeds import generator
from .sound import in_a_room, mel_of, sound_labels, stored
from .voices import Readers, draw_reader, in_another_throat
from .world.lines import Line, LineKind, spoken_line
from .world.scene import Scene, draw_scene

SPEECH_SHARD = 1000
PICTURE_SHARD = 2000
MAX_FRAMES = 620
"""Longest utterance kept, 6.2 s; with pauses at its ends it still fits the audio share of the context."""


@dataclass(frozen=True)
class SpeechShard:
    """Utterances ``first … first + len(starts) - 2``; ``mel`` holds their frames one after the other.

    The last column of ``mel`` is the sound each frame holds.
    """

    first: int
    mel: NDArray[np.uint8]
    starts: NDArray[np.int64]
    kinds: tuple[LineKind, ...]

    def utterance(self, i: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Stored mel (T, bins), and the sound of each frame (T,)."""
        rows = self.mel[self.starts[i] : self.starts[i + 1]]
        return rows[:, :-1], rows[:, -1]

    def lengths(self) -> NDArray[np.int64]:
        return np.diff(self.starts)


def training_line(seed: int, index: int) -> Line:
    return spoken_line("train", seed, index)


def training_scene(seed: int, index: int) -> Scene:
    return draw_scene(generator("train", seed, "scene", index))


class SpeechPool:
    """Spoken lines of training, by shard.

    A shard's name tells its lines and not how they are read: after a change of the readers, delete those that exist.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.seed = folder, seed
        self._readers: Readers | None = None
        self._open: dict[int, SpeechShard] = {}

    def shard(self, k: int) -> SpeechShard:
        if k not in self._open:
            lines = [training_line(self.seed, k * SPEECH_SHARD + i) for i in range(SPEECH_SHARD)]
            path = self.folder / f"speech-{self.seed}-{k:04d}-{fingerprint(line.text for line in lines)}"
            mel, starts = _stored_pair(path, lambda: self._make(k))
            self._open[k] = SpeechShard(k * SPEECH_SHARD, mel, starts, tuple(line.kind for line in lines))
        return self._open[k]

    def _make(self, k: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        self._readers = self._readers or Readers()
        mels = []
        for index in range(k * SPEECH_SHARD, (k + 1) * SPEECH_SHARD):
            rng = generator("train", self.seed, "speech", index)
            reader = in_another_throat(draw_reader(rng, unseen=False), rng)
            samples, sounds = self._readers.read_with_sounds(training_line(self.seed, index).text, reader)
            mel = stored(mel_of(in_a_room(samples, rng)))[:MAX_FRAMES]
            mels.append(np.concatenate((mel, sound_labels(sounds, len(mel))[:, None]), axis=1))
        starts = np.concatenate(([0], np.cumsum([len(m) for m in mels])))
        return np.concatenate(mels), starts.astype(np.int64)


class PicturePool:
    """Drawn scenes of training, by shard: uint8 (PICTURE_SHARD, 3, side, side)."""

    def __init__(self, folder: Path, seed: int, side: int) -> None:
        self.folder, self.seed, self.side = folder, seed, side
        self._open: dict[int, NDArray[np.uint8]] = {}

    def shard(self, k: int) -> NDArray[np.uint8]:
        if k not in self._open:
            scenes = (repr(training_scene(self.seed, k * PICTURE_SHARD + i)) for i in range(PICTURE_SHARD))
            path = self.folder / f"pictures-{self.side}-{self.seed}-{k:04d}-{fingerprint(scenes)}"
            self._open[k] = _stored_pair(path, lambda: (self._make(k), np.zeros(0, np.int64)))[0]
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


def _stored_pair(
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
