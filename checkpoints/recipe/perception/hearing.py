"""Stage two: the audio encoder learns to transcribe, by CTC over the text pieces."""

from __future__ import annotations

import functools
from collections.abc import Container
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from sentencepiece import SentencePieceProcessor
from torch import Tensor, nn
from torch.nn import functional as F

from recipe.scoring import error_rate, word_errors
from recipe.seeds import Split, generator
from recipe.shards import MAX_FRAMES, SPEECH_SHARD, SpeechPool, training_line
from recipe.sound import NO_SOUND, disturbed, in_a_room, mel_of, restored, with_noise
from recipe.voices import Readers, draw_reader, is_unseen
from recipe.world.lines import Line, LineKind, spoken_line

from .model import BLANK, Perception, half_precision

NEW_SHARD_EVERY = 300  # steps
MAX_SHARDS = 40
FIRST_SHORT_STEPS, FIRST_SHORT_FRAMES = 800, 220
"""Alignments are found sooner in short utterances, so only these are used at first."""

CLEAN_STEPS = 1500  # until when part of the utterances is left as it is


@dataclass(frozen=True)
class Recordings:
    """Mel power (B, T, bins), what is said, and which sound each frame holds (B, T)."""

    mel: Tensor
    lines: list[Line]
    sounds: Tensor


class SpeechBatches:
    """Batches of utterances of similar length from the shards that exist at a step."""

    def __init__(
        self,
        pool: SpeechPool,
        shards: int = MAX_SHARDS,
        every: int = NEW_SHARD_EVERY,
        first: int = 1,
        kinds: Container[LineKind] | None = None,
    ) -> None:
        self.pool, self.shards, self.every, self.first, self.kinds = pool, shards, every, first, kinds
        self._wanted: list[NDArray[np.bool_]] = []

    def _usable(self, k: int) -> NDArray[np.bool_]:
        """Utterances of shard k that are whole and of the kinds asked for."""
        whole = self.pool.shard(k).lengths() < MAX_FRAMES
        if self.kinds is None:
            return whole
        return whole & np.array([kind in self.kinds for kind in self.pool.shard(k).kinds])

    @functools.lru_cache(maxsize=2)  # noqa: B019 - lives as long as the training
    def _by_length(self, shards: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        while len(self._wanted) < shards:
            self._wanted.append(self._usable(len(self._wanted)))
        lengths = np.concatenate([self.pool.shard(k).lengths() for k in range(shards)])
        order = np.argsort(lengths, kind="stable")
        order = order[np.concatenate(self._wanted[:shards])[order]]
        return order, lengths[order]

    def draw(
        self, rng: np.random.Generator, step: int, count: int, longest: int = MAX_FRAMES, clean: float = 0.0
    ) -> Recordings:
        """Recordings of similar length; a part ``clean`` of them is not disturbed."""
        order, lengths = self._by_length(min(self.first + step // self.every, self.shards))
        usable = int(np.searchsorted(lengths, longest))
        first = int(rng.integers(0, max(usable - count, 1)))
        chosen = [int(i) for i in order[first : first + count]]
        frames = int(lengths[first + count - 1]) + int(rng.integers(8, 110))
        mels, lines = [], []
        sounds = np.zeros((count, frames), np.int64)
        for i, index in enumerate(chosen):
            stored_mel, labels = self.pool.shard(index // SPEECH_SHARD).utterance(index % SPEECH_SHARD)
            mel, start = restored(stored_mel), 4
            if rng.random() < clean:
                mel = np.pad(mel, ((start, frames - len(mel) - start), (0, 0)))
            else:
                mel, start = disturbed(mel, frames, rng)
            mels.append(mel)
            sounds[i, start : start + len(labels)] = labels
            lines.append(training_line(self.pool.seed, index))
        return Recordings(torch.from_numpy(np.stack(mels)), lines, torch.from_numpy(sounds))


class Hearing:
    """Batches, loss and evaluation of the stage."""

    def __init__(
        self,
        model: Perception,
        tokenizer: SentencePieceProcessor,
        pool: SpeechPool,
        batch: int = 32,
        device: str = "cpu",
    ) -> None:
        self.model, self.tokenizer, self.batch, self.device = model, tokenizer, batch, device
        self.batches = SpeechBatches(pool)

    def loss(self, step: int) -> tuple[Tensor, dict[str, float]]:
        rng = generator("train", self.batches.pool.seed, "hearing batch", step)
        longest = FIRST_SHORT_FRAMES if step < FIRST_SHORT_STEPS else MAX_FRAMES
        batch = self.batches.draw(rng, step, self.batch, longest, clean=max(0.0, 1 - step / CLEAN_STEPS))
        with half_precision(self.device):
            features = self.model.audio(batch.mel.to(self.device))
        return hearing_loss(self.model, self.tokenizer, features, batch)

    @torch.no_grad()
    def evaluate(self, samples: int = 60) -> dict[str, float]:
        """Word error rate of the greedy CTC transcript, voices seen and unseen."""
        out = {}
        for name, unseen in (("wer_seen", False), ("wer_unseen", True)):
            pairs = []
            for mel, line in heard_lines("dev", unseen, samples):
                features = self.model.audio(torch.from_numpy(mel)[None].to(self.device))
                best = self.model.ctc_head(features)[0].argmax(-1).unique_consecutive().tolist()
                text = self.tokenizer.decode([i for i in best if i != BLANK])
                pairs.append(word_errors(text, line.transcript))
            out[name] = error_rate(pairs)
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
    lengths = torch.tensor([len(t) for t in targets])
    flat = torch.tensor([i for t in targets for i in t])
    frames = torch.full((len(targets),), logits.shape[1], dtype=torch.long)
    total = F.ctc_loss(
        log_probabilities, flat, frames, lengths, blank=BLANK, reduction="sum", zero_infinity=True
    )
    return total / lengths.sum()


@functools.cache
def heard_lines(split: Split, unseen: bool, samples: int) -> list[tuple[NDArray[np.float32], Line]]:
    """Recordings (as mel power) that training never hears; made once a process."""
    readers = Readers()
    out = []
    for index in range(int(unseen), 2 * samples, 2):
        assert is_unseen(split, index) == unseen
        line, samples_16k = recording(split, 0, index, readers)
        out.append((mel_of(samples_16k), line))
    return out


def recording(split: Split, seed: int, index: int, readers: Readers) -> tuple[Line, NDArray[np.float32]]:
    """Line ``index`` of a split, read aloud in a room with noise; odd ones in voices never trained on."""
    line = spoken_line(split, seed, index)
    rng = generator(split, seed, "recording", index)
    samples = readers.read(line.text, draw_reader(rng, is_unseen(split, index)))
    return line, with_noise(in_a_room(samples, rng), rng)


def trained_part(model: Perception) -> nn.ModuleDict:
    """The modules this stage trains."""
    return nn.ModuleDict({"audio": model.audio, "ctc_head": model.ctc_head, "sound_head": model.sound_head})
