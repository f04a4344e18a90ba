"""Pools of speech as training hears it: mel spectrograms, what is said in them, and which sound is when.

Three in four recordings are of the teachers' readings (:mod:`recipe.teachers`): Kokoro's, which took hours to make, in
another throat, room and line every time one is used, and Hibari's, of which there are so many that none is used twice;
the others are of espeak-ng, Flite and Pico, and of nothing to be heard. Shard k is a pure function of the seed, k and
how many shards of readings there are to choose from, but for espeak-ng's flutter.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import soxr
from numpy.typing import NDArray

from muomni.speech.normalise import MARKS

from .heard import Utterance, hesitating, nothing, recorded, throat_for
from .pico import ENGLISH_VOICES, FOREIGN_VOICES
from .seeds import generator
from .shards import fingerprint, stored_pair
from .sound import mel_of, sound_labels, stored
from .teachers.kokoro import SAMPLE_RATE_HZ as TEACHER_RATE_HZ
from .teachers.kokoro_phonemes import SPACE
from .teachers.readings import SHARDS, Stream, is_mans
from .teachers.shards import LEAD_S, Recorded, read_shard, shard_path
from .throat import in_another_throat as in_this_throat
from .transmission import RATE_HZ
from .voices import Readers, draw_reader, foreign_reader, in_another_throat, pico_reader
from .world.foreign import foreign_text
from .world.lines import (
    FOREIGN,
    LOOSE_WORDS,
    NOTHING,
    NOTHING_REPLIES,
    Line,
    LineKind,
    single_word,
    spoken_line,
    spoken_vocabulary,
)
from .world.phrasing import as_heard, chance, pick

SPEECH_SHARD = 1000
READING_SHARDS: dict[Stream, int] = {"hearing": 3, "english": 7, "heart": 5}
"""Shards of readings that one shard hears: some 740 recordings are made of them."""
NOTHING_SHARE, FOREIGN_SHARE, WORD_SHARE, PICO_SHARE = 0.2, 0.2, 0.2, 0.35
"""Of the other recordings; the rest are lines of the world. Pico reads its share, espeak-ng and
Flite the others."""
MAX_FRAMES = 620
"""Longest utterance kept, 6.2 s; with pauses at its ends it still fits the audio share of the context."""
SLOWEST, FASTEST = 0.62, 1.8
STRESSES = "',"
PAUSES = (SPACE, *MARKS)


@dataclass(frozen=True)
class SpeechShard:
    """Recordings ``first`` …; ``mel`` holds their frames one after the other.

    The last column of ``mel`` is the sound each frame holds.
    """

    first: int
    mel: NDArray[np.uint8]
    starts: NDArray[np.int64]
    lines: tuple[Heard, ...]

    def utterance(self, i: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Stored mel (T, bins), and the sound of each frame (T,)."""
        rows = self.mel[self.starts[i] : self.starts[i + 1]]
        return rows[:, :-1], rows[:, -1]

    def lengths(self) -> NDArray[np.int64]:
        return np.diff(self.starts)


class SpeechPool:
    """Recordings of training, by shard.

    Args:
        folder: where shards are kept.
        readings: the folder of the teachers' readings, of which seed they are, and how many shards of each stream are
            used; they take turns.
    """

    def __init__(
        self,
        folder: Path,
        seed: int,
        readings: Path,
        reading_shards: Mapping[Stream, int] = SHARDS,
        reading_seed: int = 0,
    ) -> None:
        self.folder, self.seed = folder, seed
        self.readings, self.reading_shards, self.reading_seed = readings, reading_shards, reading_seed
        self._synthesizers: Readers | None = None
        self._open: dict[int, SpeechShard] = {}

    def shard(self, k: int) -> SpeechShard:
        """Shard k, made first if it is not there.

        Raises:
            FileNotFoundError: The teacher has not read so many shards yet.
        """
        if k not in self._open:
            world = fingerprint(spoken_vocabulary())  # another world, other shards
            readings = [
                (stream, self.reading_shards[stream], each) for stream, each in READING_SHARDS.items()
            ]
            sources = fingerprint((str(readings), str(self.reading_seed), world))
            path = self.folder / f"speech-{self.seed}-{k:04d}-{sources}"
            lines_file = path.with_suffix(".lines.json")
            mel, starts = stored_pair(path, lambda: self._make(k, lines_file))
            rows = json.loads(lines_file.read_text(encoding="utf-8"))
            lines = tuple(Heard(**{**row, "source": row["source"] and tuple(row["source"])}) for row in rows)
            self._open[k] = SpeechShard(k * SPEECH_SHARD, mel, starts, lines)
        return self._open[k]

    def _make(self, k: int, lines_file: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        readings = self._readings_for(k)
        mels, lines = [], []
        for i in range(SPEECH_SHARD):
            rng = generator("train", self.seed, "recording", k * SPEECH_SHARD + i)
            if i < len(readings):
                utterance, line = self._read_by_the_teacher(readings[i], rng)
            else:
                utterance, line = self._other(k * SPEECH_SHARD + i, rng)
            samples, start_s, sounds = utterance.samples, 0.0, None
            if line.kind != NOTHING:
                others = in_16_khz(readings[int(rng.integers(len(readings)))])
                samples, start_s = recorded(samples, rng, others)
            if utterance.sounds:
                sounds = [(max(time + start_s, 0.0), name) for time, name in utterance.sounds]
            mel = stored(mel_of(samples))[:MAX_FRAMES]
            mels.append(np.concatenate((mel, sound_labels(sounds, len(mel))[:, None]), axis=1))
            lines.append(line)
        starts = np.concatenate(([0], np.cumsum([len(m) for m in mels])))
        partial = lines_file.with_suffix(f".{os.getpid()}.partial")
        partial.write_text(json.dumps([asdict(line) for line in lines]), encoding="utf-8")
        partial.replace(lines_file)
        return np.concatenate(mels), starts.astype(np.int64)

    def _readings_for(self, k: int) -> list[Recorded]:
        """The teachers' readings of shard k, in an order of its own."""
        found = []
        for stream, each in READING_SHARDS.items():
            for i in range(k * each, (k + 1) * each):
                number = i % self.reading_shards[stream]
                path = shard_path(self.readings, stream, "train", self.reading_seed, number)
                if not path.exists():
                    raise FileNotFoundError(
                        f"{path} is missing: the teachers have not read so much; run "
                        "`python -m recipe.teachers generate`"
                    )
                found += list(read_shard(path))
        rng = generator("train", self.seed, "readings of a shard", k)
        return [found[i] for i in rng.permutation(len(found))]

    def _read_by_the_teacher(self, reading: Recorded, rng: np.random.Generator) -> tuple[Utterance, Heard]:
        utterance = hesitating(as_utterance(reading, *throat_of(reading, rng)), rng)
        source = None if reading.line is None else (self.reading_seed, reading.line)
        return utterance, Heard(reading.kind, utterance.transcript, source)

    def _other(self, index: int, rng: np.random.Generator) -> tuple[Utterance, Heard]:
        """Nothing, another language, or a synthesizer's reading of a word or a line."""
        self._synthesizers = self._synthesizers or Readers()
        share = rng.random()
        if share < NOTHING_SHARE:
            return Utterance(nothing(rng), ""), Heard(NOTHING, "")
        if share < NOTHING_SHARE + FOREIGN_SHARE:
            language, text = foreign_text(rng, "train")
            if language in FOREIGN_VOICES and chance(rng, 0.5):
                reader = pico_reader(FOREIGN_VOICES[language], rng)
            else:
                reader = foreign_reader(language, rng)
            return Utterance(self._synthesizers.read(text, reader), ""), Heard(FOREIGN, "")
        if chance(rng, PICO_SHARE):
            reader = pico_reader(pick(rng, ENGLISH_VOICES), rng)
        else:
            reader = in_another_throat(draw_reader(rng, unseen=False), rng)
        if chance(rng, WORD_SHARE):
            line, source = Line("word", single_word(rng)), None
        else:
            line, source = spoken_line("train", self.seed, index), (self.seed, index)
        samples, sounds = self._synthesizers.read_with_sounds(line.text, reader)
        utterance = Utterance(samples, line.transcript, tuple(sounds) if sounds else None)
        return utterance, Heard(line.kind, line.transcript, source)


@dataclass(frozen=True)
class Heard:
    """What is known of a recording; ``source`` is the seed and the number of the world's line that it is of."""

    kind: LineKind
    transcript: str
    source: tuple[int, int] | None = None

    def line(self) -> Line:
        """The line, with what was said in this recording of it."""
        if self.source is None:
            return Line(self.kind, self.transcript, NOTHING_REPLIES.get(self.kind, ""))
        seed, index = self.source
        loose_words = 0.0 if self.kind != "words" else LOOSE_WORDS
        return replace(spoken_line("train", seed, index, loose_words), text=self.transcript)


def throat_of(reading: Recorded, rng: np.random.Generator) -> tuple[float, float]:
    """Factors of pitch and resonances; a pitch also makes the pace, which must stay a person's."""
    pitch, tract = throat_for(is_mans(reading.timbre), rng)
    return float(np.clip(pitch, SLOWEST / reading.speed, FASTEST / reading.speed)), tract


def as_utterance(reading: Recorded, pitch: float = 1.0, tract: float = 1.0) -> Utterance:
    """A reading at 16 kHz in another throat, with its words and sounds in seconds."""
    samples = in_this_throat(reading.samples, TEACHER_RATE_HZ, pitch, tract)
    starts = [reading.start, *reading.ends[:-1]]
    seconds = [max(float(s) / TEACHER_RATE_HZ - LEAD_S, 0.0) / pitch for s in starts]
    sounds = tuple(
        (time, "_" if piece.text in PAUSES else piece.symbol.lstrip(STRESSES))
        for time, piece in zip(seconds, reading.pieces, strict=True)
    )
    gaps = tuple(time for time, piece in zip(seconds, reading.pieces, strict=True) if piece.text == SPACE)
    transcript = " ".join(as_heard(reading.text).split())
    out = soxr.resample(samples, TEACHER_RATE_HZ, RATE_HZ, "MQ").astype(np.float32)
    return Utterance(out, transcript, sounds, gaps)


def in_16_khz(reading: Recorded) -> NDArray[np.float32]:
    return np.asarray(soxr.resample(reading.samples, TEACHER_RATE_HZ, RATE_HZ, "QQ"), np.float32)
