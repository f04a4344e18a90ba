"""Stage two: the audio encoder learns to transcribe, by CTC over the text pieces."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sentencepiece import SentencePieceProcessor
from torch import Tensor, nn
from torch.nn import functional as F

from recipe.heard import recorded
from recipe.patchwork import PAUSE, patchwork, words_of
from recipe.scoring import error_rate, word_errors
from recipe.seeds import generator
from recipe.sound import NO_SOUND, cut_close, disturbed, mel_of, paced, restored
from recipe.speech_pool import MAX_FRAMES, SPEECH_SHARD, SpeechPool, as_utterance
from recipe.teachers.shards import read_shard, shards
from recipe.world.lines import FOREIGN, Line, LineKind
from recipe.world.phrasing import chance

from .model import BLANK, Perception, half_precision

NEW_SHARD_EVERY = 300  # steps
MAX_SHARDS = 40
FIRST_SHARDS_IF_IT_HEARS = 8
"""A model that hears already has the recordings of one shard by heart after 300 steps, and of eight it has not."""
FIRST_SHORT_STEPS, FIRST_SHORT_FRAMES = 800, 220
"""Alignments are found sooner in short utterances, so only these are used at first."""

CLOSE_BATCHES, CLOSE_CANDIDATES = 0.25, 3
"""Of batches, whose recordings have neither silence at their ends nor padding; they are chosen from that many times as
many, to be of one length. A model that has always heard silence around words hears those cut close worse."""
PATCHWORKS, MOST_OTHERS = 0.75, 2
"""Of loose words, how many are in an order that nobody read, with words of up to so many other recordings."""
LOOSE_WORDS: tuple[LineKind, ...] = ("words", "word")
LINES: tuple[LineKind, ...] = ("chat", "picture", "sentence")
PACED = 0.75  # of the batches
PACES = {False: (-0.35, 0.2), True: (-0.8, 0.1)}
"""Logarithms of how much slower: of lines, and of words said alone. The median word takes the teacher 0.77 s and joe
0.40: a model that knew the teacher's pace alone had 33 % of joe's words wrong, 23 % when they were slowed by 1.3."""
SHORTEST = 22  # frames of speech
FOREIGN_TIMES = 3
"""Five recordings in a hundred are of other languages. One in ten of these was taken for English; used twice, one in
twelve."""
CLEAN_STEPS = 1500  # until when part of the utterances is left as it is


Utterance = tuple[NDArray[np.float32], NDArray[np.uint8], Line]
"""Mel power (T, bins), the sound of each frame (T,), and what is said."""


@dataclass(frozen=True)
class Recordings:
    """Mel power (B, T, bins), what is said, and which sound each frame holds (B, T)."""

    mel: Tensor
    lines: list[Line]
    sounds: Tensor


class SpeechBatches:
    """Batches of utterances of similar length from the shards that exist at a step.

    Args:
        kinds: of lines that are drawn; None for all.
        patched: of those, the kinds whose words are mostly put in an order that nobody read.
    """

    def __init__(
        self,
        pool: SpeechPool,
        shards: int = MAX_SHARDS,
        every: int = NEW_SHARD_EVERY,
        first: int = 1,
        kinds: Container[LineKind] | None = None,
        patched: Container[LineKind] = ("words",),
    ) -> None:
        self.pool, self.shards, self.every, self.first = pool, shards, every, first
        self.kinds, self.patched = kinds, patched
        self._wanted: list[NDArray[np.int64]] = []

    def _times(self, k: int) -> NDArray[np.int64]:
        """How often each utterance of shard k is drawn from: those that are whole and of the kinds asked for."""
        whole = self.pool.shard(k).lengths() < MAX_FRAMES
        kinds = [line.kind for line in self.pool.shard(k).lines]
        times = [
            0
            if self.kinds is not None and kind not in self.kinds
            else FOREIGN_TIMES
            if kind == FOREIGN
            else 1
            for kind in kinds
        ]
        return np.where(whole, times, 0)

    @functools.lru_cache(maxsize=2)  # noqa: B019 - lives as long as the training
    def _by_length(self, shards: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        while len(self._wanted) < shards:
            self._wanted.append(self._times(len(self._wanted)))
        lengths = np.concatenate([self.pool.shard(k).lengths() for k in range(shards)])
        order = np.argsort(lengths, kind="stable")
        order = np.repeat(order, np.concatenate(self._wanted[:shards])[order])
        return order, lengths[order]

    def draw(
        self, rng: np.random.Generator, step: int, count: int, longest: int = MAX_FRAMES, clean: float = 0.0
    ) -> Recordings:
        """Recordings of similar length; a part ``clean`` of them is not disturbed."""
        order, lengths = self._by_length(min(self.first + step // self.every, self.shards))
        usable = int(np.searchsorted(lengths, longest))
        close = clean == 0.0 and chance(rng, CLOSE_BATCHES)
        candidates = count * CLOSE_CANDIDATES if close else count
        first = int(rng.integers(0, max(usable - candidates, 1)))
        chosen = map(int, order[first : first + candidates])
        found = [self._utterance(index) for index in chosen]
        if clean == 0.0:
            found = with_patchworks(at_another_pace(found, rng), self.patched, rng)
        if close:
            threshold_db = rng.uniform(26, 40)  # 20 dB lose the first sound of "set"
            found = [(*cut_close(mel, labels, threshold_db), line) for mel, labels, line in found]
            found.sort(key=lambda utterance: len(utterance[0]))
            at = int(rng.integers(0, len(found) - count + 1))
            found = found[at : at + count]
        frames = max(len(mel) for mel, _, _ in found) + (0 if close else int(rng.integers(8, 110)))
        mels = []
        sounds = np.zeros((count, frames), np.int64)
        for i, (mel, labels, _) in enumerate(found):
            start = 4
            if rng.random() < clean:
                mel = np.pad(mel, ((start, frames - len(mel) - start), (0, 0)))
            else:
                mel, start = disturbed(mel, frames, rng)
            mels.append(mel)
            sounds[i, start : start + len(labels)] = labels
        lines = [line for _, _, line in found]
        return Recordings(torch.from_numpy(np.stack(mels)), lines, torch.from_numpy(sounds))

    def _utterance(self, index: int) -> Utterance:
        shard, i = self.pool.shard(index // SPEECH_SHARD), index % SPEECH_SHARD
        stored_mel, labels = shard.utterance(i)
        return restored(stored_mel), labels, shard.lines[i].line()


def at_another_pace(found: list[Utterance], rng: np.random.Generator) -> list[Utterance]:
    """In most cases slower or faster, all lines alike and all words said alone, so that they stay of one length."""
    if not chance(rng, PACED):
        return found
    factors = {alone: float(np.exp(rng.uniform(*PACES[alone]))) for alone in (False, True)}
    out = []
    for mel, labels, line in found:
        factor = min(factors[line.kind == "word"], MAX_FRAMES / len(mel))
        spoken = int((labels != PAUSE).sum())
        out.append((*paced(mel, labels, max(factor, min(1.0, SHORTEST / max(spoken, 1)))), line))
    return out


def with_patchworks(
    found: list[Utterance], patched: Container[LineKind], rng: np.random.Generator
) -> list[Utterance]:
    """Most lines of the ``patched`` kinds in an order of their own, none longer than the longest of all."""
    longest = max(len(mel) for mel, _, _ in found)
    known = {
        i: words
        for i, (mel, labels, line) in enumerate(found)
        if (line.kind in LOOSE_WORDS or line.kind in patched)
        and (words := words_of(mel, labels, line.transcript))
    }
    loose = list(known)
    out = list(found)
    for i in loose:
        if found[i][2].kind in patched and chance(rng, PATCHWORKS):
            others = rng.choice(loose, int(rng.integers(0, MOST_OTHERS + 1)))
            made = patchwork([known[i], *(known[other] for other in others)], longest, rng)
            if made:
                out[i] = made.mel, made.labels, Line("words", made.text)
    return out


class Hearing:
    """Batches, loss and evaluation of the stage."""

    def __init__(
        self,
        model: Perception,
        tokenizer: SentencePieceProcessor,
        pool: SpeechPool,
        batch: int = 32,
        first: int = 1,
        device: str = "cpu",
    ) -> None:
        self.model, self.tokenizer, self.batch, self.device = model, tokenizer, batch, device
        self.batches = SpeechBatches(pool, first=first)

    def loss(self, step: int) -> tuple[Tensor, dict[str, float]]:
        rng = generator("train", self.batches.pool.seed, "hearing batch", step)
        longest = FIRST_SHORT_FRAMES if step < FIRST_SHORT_STEPS else MAX_FRAMES
        batch = self.batches.draw(rng, step, self.batch, longest, clean=max(0.0, 1 - step / CLEAN_STEPS))
        with half_precision(self.device):
            features = self.model.audio(batch.mel.to(self.device))
        return hearing_loss(self.model, self.tokenizer, features, batch)

    @torch.no_grad()
    def evaluate(self, samples: int = 100) -> dict[str, float]:
        """Word error rate of the greedy CTC transcript in held-out blends, and single words right; by line, too."""
        out, pool = {}, self.batches.pool
        for name, telephone in (("", False), ("_telephone", True)):
            lines, words = [], []
            for mel, kind, transcript in held_out_recordings(
                pool.readings, pool.reading_seed, samples, telephone
            ):
                features = self.model.audio(torch.from_numpy(mel)[None].to(self.device))
                best = self.model.ctc_head(features)[0].argmax(-1).unique_consecutive().tolist()
                text = self.tokenizer.decode([i for i in best if i != BLANK])
                (words if kind == "word" else lines).append(word_errors(text, transcript))
            out[f"wer{name}"] = error_rate(lines)
            out[f"words{name}"] = sum(errors == 0 for errors, _ in words) / len(words)
        return out


def hearing_loss(
    model: Perception, tokenizer: SentencePieceProcessor, features: Tensor, batch: Recordings
) -> tuple[Tensor, dict[str, float]]:
    """CTC over the text pieces, and the sound at two moments of each feature.

    The sounds are what makes it quick: CTC alone has to find out where words are before it can learn them.
    """
    features = features.float()
    ctc = ctc_loss(model.ctc_head(features), tokenizer.encode([line.transcript for line in batch.lines]))
    moments = model.sizes.audio.downsampling // 2
    labels = batch.sounds[:, moments // 2 :: moments]  # frames 2 and 6 of each 8
    logits = model.sound_head(features).unflatten(-1, (2, -1)).flatten(1, 2)[:, : labels.shape[1]]
    labels = labels[:, : logits.shape[1]].to(logits.device)
    total = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=NO_SOUND, reduction="sum")
    sound = total / (labels != NO_SOUND).sum().clamp(min=1)
    return ctc + sound, {"ctc": float(ctc.detach()), "sound": float(sound.detach())}


def ctc_loss(logits: Tensor, targets: list[list[int]]) -> Tensor:
    """CTC per text piece: logits (B, E, V), one list of pieces each."""
    log_probabilities = logits.log_softmax(-1).transpose(0, 1)
    lengths = torch.tensor([len(t) for t in targets])  # 0 where nothing is said
    flat = torch.tensor([i for t in targets for i in t], dtype=torch.long)
    frames = torch.full((len(targets),), logits.shape[1], dtype=torch.long)
    total = F.ctc_loss(
        log_probabilities, flat, frames, lengths, blank=BLANK, reduction="sum", zero_infinity=True
    )
    return total / lengths.sum().clamp(min=1)


@functools.cache
def held_out_recordings(
    readings: Path, seed: int, samples: int, telephone: bool
) -> list[tuple[NDArray[np.float32], str, str]]:
    """Mel power, kind and transcript of the teacher's readings in voices that training never hears."""
    out = []
    dev = (reading for path in shards(readings, "hearing", "dev", seed) for reading in read_shard(path))
    for index, reading in enumerate(itertools.islice(dev, samples)):
        utterance = as_utterance(reading)
        rng = generator("dev", 0, "recording", index)
        heard, _ = recorded(utterance.samples, rng, telephone=telephone)
        out.append((mel_of(heard), reading.kind, utterance.transcript))
    return out


def trained_part(model: Perception) -> nn.ModuleDict:
    """The modules this stage trains."""
    return nn.ModuleDict({"audio": model.audio, "ctc_head": model.ctc_head, "sound_head": model.sound_head})
