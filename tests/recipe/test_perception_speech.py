"""Speech data: storage, disturbance and voices."""

from __future__ import annotations

import ctypes
import shutil

import numpy as np
import pytest

pytest.importorskip("librosa")
pytest.importorskip("torch")
pytest.importorskip("soxr")

import librosa

from recipe.abilities import what_is_missing
from recipe.cases import CaseMaker
from recipe.festival_voices import PROGRAM
from recipe.perception.hearing import SpeechBatches
from recipe.seeds import generator
from recipe.sound import (
    NO_SOUND,
    cut_close,
    disturbed,
    echoing,
    in_a_room,
    mel_of,
    noise_mel,
    paced,
    restored,
    sound_labels,
    stored,
    with_noise,
)
from recipe.speech_pool import SPEECH_SHARD
from recipe.voices import (
    HELD_OUT_VARIANTS,
    SOUNDS,
    VARIANTS,
    Flite,
    Readers,
    draw_reader,
    in_another_throat,
)
from recipe.world.lines import Line


def has(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


needs_synthesizers = pytest.mark.skipif(
    not (has("libespeak-ng.so.1") and has("libflite.so.1")), reason="needs libespeak-ng1 and libflite1"
)


def tone(seconds: float = 0.5) -> np.ndarray:
    t = np.arange(int(16_000 * seconds)) / 16_000
    return (0.3 * np.sin(2 * np.pi * 440 * t)).astype(np.float32)


def test_storage_keeps_the_spectrogram_to_half_a_decibel() -> None:
    mel = mel_of(tone())
    loud = mel > 1e-5
    ratio = restored(stored(mel))[loud] / mel[loud]
    assert np.abs(10 * np.log10(ratio)).max() < 0.25


def test_disturbing_keeps_the_speech_and_fills_the_frames() -> None:
    mel = mel_of(tone())
    for i in range(20):
        out, start = disturbed(mel, 120, generator("train", 0, "test", i))
        assert 0 <= start <= 120 - len(mel)
        assert out.shape == (120, 128) and out.dtype == np.float32
        assert np.isfinite(out).all() and (out >= 0).all() and out.max() > 0


def test_cutting_close_leaves_what_is_loud_with_its_labels() -> None:
    mel = np.full((9, 4), 1e-6, np.float32)
    mel[3:7] = 1.0
    mel[4] = 0.0  # a pause stays
    labels = np.arange(9, dtype=np.uint8)
    cut, cut_labels = cut_close(mel, labels, 30)
    assert np.array_equal(cut, mel[3:7]) and cut_labels.tolist() == [3, 4, 5, 6]
    silence = np.zeros((5, 4), np.float32)
    assert cut_close(silence, labels[:5], 30)[0] is silence


@pytest.mark.parametrize("factor", [0.8, 1.0, 1.25])
def test_at_another_pace_the_same_sounds_are_longer_or_shorter(factor: float) -> None:
    mel = np.arange(40, dtype=np.float32)[:, None] * np.ones(4, np.float32)
    labels = np.repeat(np.arange(4, dtype=np.uint8), 10)
    slower, slower_labels = paced(mel, labels, factor)
    assert len(slower) == len(slower_labels) == round(40 * factor)
    assert np.bincount(slower_labels) == pytest.approx(10 * factor, abs=1)
    assert np.abs(slower[:, 0] - np.arange(len(slower)) / factor).max() <= 1.01 and slower.dtype == np.float32


def test_an_echo_follows_the_sound_and_dies_away() -> None:
    mel = np.zeros((120, 4), np.float32)
    mel[10:20] = 1.0
    for i in range(10):
        out = echoing(mel, generator("train", 0, "test", i))
        assert out.dtype == np.float32 and (out[:10] == 0).all() and (out[10:20] >= 1).all()
        tail = out[20:, 0]
        assert (np.diff(tail) <= 0).all() and 0 < tail[0] < 0.6 and tail[75] < tail[0] * 1e-5


class Recorded:
    """A pool of one shard: words of half a second between pauses of many lengths."""

    seed, kind = 0, "word"

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.mels = []
        for _ in range(SPEECH_SHARD):
            before, after, length = *rng.integers(2, 50, 2).tolist(), int(rng.integers(45, 55))
            mel = np.zeros((before + length + after, 128), np.uint8)
            mel[before : before + length] = 140
            self.mels.append(mel)
        self.lines = [self] * SPEECH_SHARD

    def shard(self, k: int) -> Recorded:
        return self

    def lengths(self) -> np.ndarray:
        return np.array([len(mel) for mel in self.mels])

    def utterance(self, i: int) -> tuple[np.ndarray, np.ndarray]:
        return self.mels[i], (self.mels[i][:, 0] > 0).astype(np.uint8)

    def line(self) -> Line:
        return Line("word", "red")


def test_some_batches_are_cut_close_and_their_labels_stay_with_the_sound() -> None:
    batches = SpeechBatches(Recorded(), shards=1)  # type: ignore[arg-type]
    close = 0
    for step in range(60):
        batch = batches.draw(generator("train", 0, "test", step), step, 16)
        assert batch.mel.shape[0] == len(batch.lines) == 16 and batch.mel.shape[1] == batch.sounds.shape[1]
        spoken = batch.sounds.sum(dim=1)
        # Nothing of a word is lost, but it may be said at another pace: by a factor of exp(-0.8) to exp(0.1).
        assert ((spoken >= 45 * 0.44) & (spoken < 55 * 1.12)).all()
        close += bool((spoken >= batch.mel.shape[1] * 0.9).all())
    assert 5 < close < 30


def test_sounds_are_labelled_from_where_they_start() -> None:
    labels = sound_labels([(0.02, "t"), (0.05, "u:"), (0.08, "_")], 10)
    assert [SOUNDS[i] for i in labels] == ["_"] * 2 + ["t"] * 3 + ["u:"] * 3 + ["_"] * 2
    assert (sound_labels(None, 4) == NO_SOUND).all()


def test_noise_has_its_loudest_band_near_one() -> None:
    level = noise_mel(400, np.random.default_rng(0)).mean(axis=0).max()
    assert 0.3 < level < 6


def test_rooms_and_noise_are_reproducible() -> None:
    first, again = (
        with_noise(in_a_room(tone(), rng), rng) for rng in (generator("dev", 0, "test", 1) for _ in range(2))
    )
    assert np.array_equal(first, again) and np.abs(first).max() < 4


def test_unseen_voices_are_not_trained() -> None:
    assert not set(VARIANTS) & set(HELD_OUT_VARIANTS)
    seen = {draw_reader(np.random.default_rng(i), unseen=False).voice for i in range(2000)}
    unseen = {draw_reader(np.random.default_rng(i), unseen=True).voice for i in range(2000)}
    assert not seen & unseen


def test_another_throat_keeps_the_voice_and_the_pace() -> None:
    sizes, pitches = set(), set()
    for i in range(40):
        rng = generator("train", 0, "test", i)
        reader = draw_reader(rng, unseen=False)
        other = in_another_throat(reader, rng)
        assert (other.synthesizer, other.voice) == (reader.synthesizer, reader.voice)
        pace = other.words_per_minute * other.speed / (reader.words_per_minute * reader.speed)
        assert pace == pytest.approx(1, abs=0.01)
        sizes.add(round(other.speed / reader.speed, 2))
        pitches.add(other.pitch_factor)
    assert 1.0 in sizes and min(sizes) < 0.95 and max(sizes) > 1.1 and len(pitches) > 20


@needs_synthesizers
def test_flite_speaks_higher_in_the_same_time() -> None:
    flite = Flite()
    pitches, lengths = [], []
    for factor in (1.0, 1.4, 1.0):
        samples, rate = flite.samples("a big red circle", "awb", 1.0, factor)
        pitches.append(float(np.median(librosa.yin(samples, fmin=60, fmax=400, sr=rate))))
        lengths.append(len(samples))
    assert 1.2 < pitches[1] / pitches[0] < 1.6 and len(set(lengths)) == 1
    assert pitches[2] == pytest.approx(pitches[0], rel=0.1)  # the factor does not stay on


@needs_synthesizers
def test_every_voice_speaks() -> None:
    readers = Readers()
    for i in range(12):
        reader = draw_reader(np.random.default_rng(i), unseen=bool(i % 2))
        samples = readers.read("two plus three is five", reader)
        assert 0.6 < len(samples) / 16_000 < 6 and np.abs(samples).max() > 0.02
        again = readers.read("two plus three is five", reader)  # espeak's flutter goes on from text to text
        assert abs(len(again) / len(samples) - 1) < 0.02


@pytest.mark.skipif(shutil.which(PROGRAM) is None, reason="text2wave is not installed")
def test_festival_reads_the_line_or_the_missing_voice_is_named() -> None:
    missing = what_is_missing("hearing, another synthesizer")
    if missing:
        with pytest.raises(RuntimeError, match="voice_"):
            for index in range(8):  # in one voice or the other
                CaseMaker("dev", 0).heard_from_festival(index)
        assert "festvox" in missing
        return
    for index in range(4):
        case = CaseMaker("dev", 0).heard_from_festival(index)
        assert case.audio is not None and case.audio.dtype == np.float32
        assert 0.1 * len(case.expected.split()) < len(case.audio) / 16_000 < 3 + len(case.expected.split())
        assert np.abs(case.audio).max() > 0.02
