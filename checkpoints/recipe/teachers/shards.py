"""The teachers' readings on disk: a FLAC of samples at 24 kHz and a JSON beside it, a shard at a time.

Making them takes hours, so it may be stopped and killed at any moment: a shard is there when its JSON is, and the same
command goes on with the first one missing. Everything about a shard follows from stream, split, seed and number.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from recipe.seeds import Split
from recipe.speaking.espeak import Espeak, MismatchError, Voice

from .hibari import Hibari
from .kokoro import SAMPLE_RATE_HZ, Blend, Kokoro
from .kokoro_phonemes import Piece, pieces
from .readings import VOICE, Stream, reading

READINGS = 50
"""A shard: two minutes of speech, which a kill may lose."""
BEFORE_S, AFTER_S = 0.15, 0.1
"""Kept before the first sound's start and after the last one's end; Kokoro makes 0.4 s of silence. What is heard comes
some 40 ms before what the durations say (:data:`LEAD_S`), as much as 75 ms for vowels."""
LEAD_S = 0.0375
STORED_LEVEL = 0.5
"""Samples are stored at half their level: peaks reach 1.2."""
AMERICAN, BRITISH = Voice("en-us"), Voice("en-gb-x-rp")


@dataclass(frozen=True)
class Recorded:
    """A reading, its samples at 24 kHz, where the first piece starts in them, and where each of its pieces ends."""

    text: str
    kind: str
    timbre: Blend
    speed: float
    line: int | None
    pieces: tuple[Piece, ...]
    start: int
    ends: NDArray[np.int64]
    samples: NDArray[np.float32]


class Reader:
    """The teachers, and espeak-ng, which says what is to be pronounced."""

    def __init__(self, kokoro: Kokoro, hibari: Hibari) -> None:
        self.kokoro, self.hibari, self.espeak = kokoro, hibari, Espeak()

    def read(self, stream: Stream, split: Split, seed: int, index: int) -> Recorded:
        """Reading ``index``.

        Raises:
            MismatchError: espeak's two ways of writing it do not belong together.
        """
        wanted = reading(stream, split, seed, index)
        self.espeak.use(BRITISH if wanted.british else AMERICAN)
        found = pieces(self.espeak, wanted.text, british=wanted.british)
        texts = [p.text for p in found]
        if wanted.timbre == wanted.manner == VOICE and not wanted.british:
            spoken = self.hibari.speak(texts, wanted.speed, index)
        else:
            spoken = self.kokoro.speak(texts, self.kokoro.style(wanted.timbre, wanted.manner), wanted.speed)
        first = max(spoken.start - round(BEFORE_S * SAMPLE_RATE_HZ), 0)
        last = int(spoken.ends[-1]) + round(AFTER_S * SAMPLE_RATE_HZ)
        return Recorded(
            wanted.text,
            wanted.kind,
            wanted.timbre,
            wanted.speed,
            wanted.line,
            tuple(found),
            spoken.start - first,
            spoken.ends - first,
            spoken.samples[first:last],
        )


def shard_path(folder: Path, stream: Stream, split: Split, seed: int, number: int) -> Path:
    """The JSON of a shard."""
    return folder / stream / f"{split}-{seed}-{number:05d}.json"


def write_shard(
    folder: Path, reader: Reader, stream: Stream, split: Split, seed: int, number: int
) -> float | None:
    """Make a shard, unless it is there; its seconds of speech."""
    target = shard_path(folder, stream, split, seed, number)
    if target.exists():
        return None
    recorded = []
    for index in range(number * READINGS, (number + 1) * READINGS):
        with contextlib.suppress(MismatchError):
            recorded.append(reader.read(stream, split, seed, index))
    target.parent.mkdir(parents=True, exist_ok=True)
    samples = np.concatenate([r.samples for r in recorded])
    audio = target.with_suffix(f".{os.getpid()}.partial")
    soundfile.write(
        audio, np.clip(samples * STORED_LEVEL, -1, 1), SAMPLE_RATE_HZ, format="FLAC", subtype="PCM_16"
    )
    audio.replace(target.with_suffix(".flac"))
    entries = target.with_suffix(f".{os.getpid()}.json.partial")
    entries.write_text(json.dumps([_entry(r) for r in recorded], ensure_ascii=False), encoding="utf-8")
    entries.replace(target)
    return len(samples) / SAMPLE_RATE_HZ


def _entry(r: Recorded) -> dict[str, Any]:
    return {
        "text": r.text,
        "kind": r.kind,
        "timbre": dict(r.timbre),
        "speed": round(r.speed, 4),
        "line": r.line,
        "pieces": [list(asdict(p).values()) for p in r.pieces],
        "start": r.start,
        "ends": r.ends.tolist(),
        "samples": len(r.samples),
    }


def read_shard(path: Path) -> Iterator[Recorded]:
    """The readings of a shard, by the path of its JSON."""
    entries = json.loads(path.read_text(encoding="utf-8"))
    samples, rate = soundfile.read(path.with_suffix(".flac"), dtype="float32")
    assert rate == SAMPLE_RATE_HZ, f"{path}: {rate} Hz"
    first = 0
    for e in entries:
        yield Recorded(
            e["text"],
            e["kind"],
            e["timbre"],
            e["speed"],
            e["line"],
            tuple(Piece(*p) for p in e["pieces"]),
            e["start"],
            np.array(e["ends"]),
            samples[first : first + e["samples"]] / STORED_LEVEL,
        )
        first += e["samples"]


def shards(folder: Path, stream: Stream, split: Split, seed: int) -> list[Path]:
    """The shards that are there, in order, up to the first one missing."""
    found = []
    while (path := shard_path(folder, stream, split, seed, len(found))).exists():
        found.append(path)
    return found
