"""Letters -> sounds: a small bidirectional transformer over one word, trained with CTC on what espeak says.

Each letter of the word has three slots for sounds (or nothing), and CTC (Graves et al. 2006) finds by itself which
letter makes which sound, so no alignment of spelling and sound is needed. The data are made as it trains: espeak
says a sentence in a millisecond.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from muomni.speech.letters import BLANK, PADDING, SIZE, SLOTS, collapse, windows
from muomni.speech.normalise import MARKS
from muomni.speech.phonemes import Phonemes
from muomni_export.modules.decoder import DecoderSizes
from muomni_export.modules.phonemizer import Phonemizer, PhonemizerSizes
from recipe.seeds import Split
from recipe.teachers.kokoro_phonemes import NOT_IN_IPA

from .alignment import PAUSE, name_sounds, sentence_case, split_words
from .espeak import Espeak, MismatchError, Voice
from .sentences import FUNCTION_WORDS, sentence, vocabulary
from .state import Run

LEARNING_RATE = 1.5e-3
SENTENCES_PER_BATCH = 48
GROUPS = 3
COMMON_SHARE = 0.25
OPEN_SHARE = 0.85
FAST = Voice(words_per_minute=450)
"""A third of the synthesis, the same sounds."""
LOG_EVERY, EVALUATE_EVERY = 100, 500


def sizes(symbols: int) -> PhonemizerSizes:
    """1 million parameters."""
    decoder = DecoderSizes(width=192, layers=3, heads=6, kv_heads=3, hidden=384)
    return PhonemizerSizes(decoder, SIZE, SLOTS, symbols)


@dataclass(frozen=True)
class Word:
    token: str
    letters: np.ndarray
    first: int
    """Of the letters, the word's own first one."""
    symbols: list[int]


def words(espeak: Espeak, phonemes: Phonemes, text: str) -> list[Word]:
    """Each word of a normalised text with what espeak says for it; none where that cannot be told."""
    tokens = text.split(" ")
    try:
        said = sounds_of_words(espeak, text, len(tokens))
        numbers = [[1 + phonemes.symbols.index(s) for s in word if is_heard(s)] for word in said]
    except (MismatchError, ValueError):  # a sound too rare for the list of phonemes
        return []
    return [
        Word(token, letters, first, symbols)
        for token, (letters, first), symbols in zip(tokens, windows(tokens), numbers, strict=True)
    ]


def is_heard(symbol: str) -> bool:
    """Not a pause, nor a mark that the teacher does not pronounce."""
    return not symbol.startswith(PAUSE) and symbol not in NOT_IN_IPA


def sounds_of_words(espeak: Espeak, text: str, count: int) -> list[list[str]]:
    """The sounds of each of ``count`` words; where espeak joins two, its events tell which of them has the sounds."""
    text = sentence_case(text)
    said = espeak.words(text)
    if len(said) == count:
        return said
    sounds, _, _ = name_sounds(espeak.speak(text), text, *split_words(text))
    return [[s.symbol for s in sounds if s.word == i and s.symbol not in MARKS] for i in range(count)]


def batch(espeak: Espeak, phonemes: Phonemes, split: Split, number: int, open_share: float) -> list[Word]:
    """The words of batch ``number``: a pure function of it."""
    first = number * SENTENCES_PER_BATCH
    indices = range(first, first + SENTENCES_PER_BATCH)
    # Stream 1: other sentences than those the Talker hears.
    return [w for i in indices for w in words(espeak, phonemes, sentence(split, 1, i, open_share))]


def thin_out(batch_: list[Word], rng: np.random.Generator) -> list[Word]:
    """Leave out most of the common words, which are half of the text and soon known; shortest windows first."""
    common = {*FUNCTION_WORDS, *vocabulary()}
    kept = [w for w in batch_ if w.token.rstrip(MARKS) not in common or rng.random() < COMMON_SHARE]
    return sorted(kept, key=lambda w: len(w.letters))


def collate(batch_: list[Word]) -> tuple[Tensor, Tensor]:
    """Letters (B, L) and which of them are the word's own (B, L)."""
    letters = torch.full((len(batch_), max(len(w.letters) for w in batch_)), PADDING)
    own = torch.zeros_like(letters, dtype=torch.bool)
    for i, w in enumerate(batch_):
        letters[i, : len(w.letters)] = torch.from_numpy(w.letters)
        own[i, w.first : w.first + len(w.token.rstrip(MARKS))] = True
    return letters, own


def slots_of(logits: Tensor, own: Tensor) -> tuple[Tensor, Tensor]:
    """Logits (B, L, SLOTS, P) of the words' own letters, moved to the left: (B, W · SLOTS, P), and lengths (B,)."""
    lengths = own.sum(dim=1)
    first = own.int().argmax(dim=1)
    positions = first[:, None] + torch.arange(int(lengths.max()))[None]
    positions = positions.clamp(max=logits.shape[1] - 1)
    index = positions[..., None, None].expand(-1, -1, *logits.shape[2:])
    return logits.gather(1, index).flatten(1, 2), lengths * SLOTS


def loss(model: Phonemizer, batch_: list[Word]) -> Tensor:
    """CTC, nats a word. Words that stand together in the batch are padded together."""
    size = -(-len(batch_) // GROUPS)
    groups = [batch_[i : i + size] for i in range(0, len(batch_), size)]
    return torch.stack([group_loss(model, group) for group in groups]).sum() / len(batch_)


def group_loss(model: Phonemizer, batch_: list[Word]) -> Tensor:
    letters, own = collate(batch_)
    logits, lengths = slots_of(model(letters, letters != PADDING), own)
    targets = torch.tensor([s for w in batch_ for s in w.symbols])
    target_lengths = torch.tensor([len(w.symbols) for w in batch_])
    log_probabilities = logits.float().log_softmax(dim=-1).transpose(0, 1)
    total: Tensor = F.ctc_loss(
        log_probabilities, targets, lengths, target_lengths, BLANK, reduction="sum", zero_infinity=True
    )
    return total


@torch.no_grad()
def spell(model: Phonemizer, batch_: list[Word]) -> list[list[int]]:
    letters, own = collate(batch_)
    logits, lengths = slots_of(model(letters, letters != PADDING), own)
    best = logits.argmax(dim=-1).numpy()
    return [collapse(row[: int(n)]) for row, n in zip(best, lengths, strict=True)]


def accuracy(model: Phonemizer, batch_: list[Word]) -> float:
    heard = spell(model, batch_)
    return float(np.mean([h == w.symbols for h, w in zip(heard, batch_, strict=True)]))


def train(folder: Path, phonemes: Phonemes, steps: int, seed: int = 0) -> None:
    """Train, or go on, up to so many steps."""
    torch.manual_seed(seed)
    model = Phonemizer(sizes(1 + len(phonemes.symbols)))
    run = Run(folder / "letters.pt", model, LEARNING_RATE, steps, asdict(model.sizes))
    run.stop_when_asked()
    espeak = Espeak(FAST)
    unseen = [w for n in range(8) for w in batch(espeak, phonemes, "dev", n, 1.0) if len(w.token) > 5]
    closed = [w for n in range(2) for w in batch(espeak, phonemes, "dev", n, 0.0)]
    began, said, total = time.monotonic(), 0, 0.0
    while run.step < steps:
        batch_ = batch(espeak, phonemes, "train", run.step, OPEN_SHARE)
        batch_ = thin_out(batch_, np.random.default_rng((seed, run.step)))
        with torch.autocast("cpu", torch.bfloat16):
            value = loss(model, batch_)
        run.update(value)
        said += len(batch_)
        total += value.item() / LOG_EVERY
        if run.step % LOG_EVERY == 0:
            values = {"loss": round(total, 4), "words_per_s": round(said / (time.monotonic() - began))}
            total = 0.0
            if run.step % EVALUATE_EVERY == 0:
                averaged = Phonemizer(model.sizes)
                averaged.load_state_dict(run.average.weights)
                values |= {"closed": round(accuracy(averaged, closed), 4)}
                values |= {"unseen": round(accuracy(averaged, unseen), 4)}
            run.log(**values)
    run.save()
