"""The teacher's readings as small arrays: codes, sounds and durations, some 5 MB for ten hours.

A shard is a folder of ``.npy`` files read through memory maps, made of one shard of readings.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from muomni.speech.phonemes import Phonemes
from muomni_export.modules.codec import Codec
from recipe.seeds import Split
from recipe.teachers.shards import read_shard, shards

from .alignment import Aligned, aligned
from .mel import log_mel
from .phonemes import phoneme_ids


@dataclass(frozen=True)
class Example:
    """One sentence: codes (T, 2), sound ids (S,), frames of each sound (S,), text."""

    codes: NDArray[np.int16]
    sounds: NDArray[np.int16]
    frames: NDArray[np.int16]


def spoken(readings: Path, split: Split, seed: int = 0) -> Iterator[Aligned]:
    """All that the teacher has read in the model's voice, in order."""
    for path in shards(readings, "voice", split, seed):
        yield from (aligned(reading) for reading in read_shard(path))


def write_shard(folder: Path, source: Path, codec: Codec, phonemes: Phonemes) -> None:
    """Make the corpus' shard of one shard of readings, unless it is there."""
    split, _, number = source.stem.rsplit("-", 2)
    target = folder / f"{split}-{number}"
    if target.is_dir():
        return
    codes, sounds, frames, ends = [], [], [], []
    for reading in read_shard(source):
        heard = aligned(reading)
        ids = phoneme_ids(phonemes, heard.sounds)
        if ids is None:
            continue
        codes.append(encode(codec, heard.samples))
        sounds.append(ids)
        frames.append(heard.frames)
        ends.append((len(codes[-1]), len(ids)))
    temporary = target.with_suffix(".tmp")
    temporary.mkdir(parents=True, exist_ok=True)
    np.save(temporary / "codes.npy", np.concatenate(codes).astype(np.int16))
    np.save(temporary / "sounds.npy", np.concatenate(sounds).astype(np.int16))
    np.save(temporary / "frames.npy", np.concatenate(frames).astype(np.int16))
    np.save(temporary / "ends.npy", np.cumsum(np.array(ends, dtype=np.int64), axis=0))
    temporary.rename(target)


def encode(codec: Codec, samples: NDArray[np.float32]) -> NDArray[np.int64]:
    """Samples -> codes (T, 2)."""
    with torch.no_grad():
        result: NDArray[np.int64] = codec.encode(torch.from_numpy(log_mel(samples))[None])[0].numpy()
    return result


class Corpus:
    """All shards of a split in a folder, as one sequence of examples."""

    def __init__(self, folder: Path, split: Split) -> None:
        self.shards = [
            {
                name: np.load(path / f"{name}.npy", mmap_mode="r")
                for name in ("codes", "sounds", "frames", "ends")
            }
            for path in sorted(folder.glob(f"{split}-?????"))
        ]
        if not self.shards:
            raise FileNotFoundError(f"no shards in {folder}: run `python -m recipe.speaking corpus` first")
        self.index = [(s, i) for s, shard in enumerate(self.shards) for i in range(len(shard["ends"]))]
        self.lengths = np.concatenate([np.diff(shard["ends"][:, 0], prepend=0) for shard in self.shards])

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, item: int) -> Example:
        s, i = self.index[item]
        shard = self.shards[s]
        frame, sound = shard["ends"][i - 1] if i else (0, 0)
        next_frame, next_sound = shard["ends"][i]
        return Example(
            np.asarray(shard["codes"][frame:next_frame]),
            np.asarray(shard["sounds"][sound:next_sound]),
            np.asarray(shard["frames"][sound:next_sound]),
        )

    def batches(self, seed: int, frames: int) -> Iterator[list[int]]:
        """Endless batches of about ``frames`` frames; sentences of like length go together.

        Batch ``n`` depends on the seed and ``n`` alone, whatever epoch it falls in.
        """
        epoch = 0
        while True:
            rng = np.random.default_rng((seed, epoch))
            noisy = self.lengths * rng.uniform(0.9, 1.1, len(self.lengths))
            batches: list[list[int]] = []
            batch: list[int] = []
            longest = 0
            for item in np.argsort(noisy):
                longest = max(longest, int(self.lengths[item]))
                if batch and longest * (len(batch) + 1) > frames:
                    batches.append(batch)
                    batch, longest = [], int(self.lengths[item])
                batch.append(int(item))
            batches.append(batch)
            for i in rng.permutation(len(batches)):
                yield batches[i]
            epoch += 1


def collate(examples: list[Example]) -> tuple[Tensor, Tensor, Tensor]:
    """Examples -> codes (B, T, 2), sounds (B, S), frames of each sound (B, S); padded with -1, 0 and 0."""
    size = len(examples)
    codes = torch.full((size, max(len(e.codes) for e in examples), 2), -1)
    sounds = torch.zeros((size, max(len(e.sounds) for e in examples)), dtype=torch.long)
    frames = torch.zeros_like(sounds)
    for i, e in enumerate(examples):
        codes[i, : len(e.codes)] = torch.from_numpy(e.codes.astype(np.int64))
        sounds[i, : len(e.sounds)] = torch.from_numpy(e.sounds.astype(np.int64))
        frames[i, : len(e.frames)] = torch.from_numpy(e.frames.astype(np.int64))
    return codes, sounds, frames


def write_json(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
