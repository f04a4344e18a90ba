"""What is done to speech on its way to the model: throats, hesitation, rooms, lines; and recordings without speech."""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("librosa")
pytest.importorskip("av")

import librosa
import torch

from muomni_export.modules.audio_encoder import compress_mel
from recipe import heard, noises, speech_pool, throat, transmission, word_lists
from recipe.cases import Case
from recipe.evaluate import is_right_in
from recipe.heard import Utterance
from recipe.pico import Pico
from recipe.seeds import generator
from recipe.speech_pool import Heard, SpeechPool
from recipe.teachers import shards
from recipe.teachers.readings import Stream
from recipe.world import foreign
from recipe.world.foreign import HELD_OUT_SENTENCES, SENTENCES, foreign_text
from recipe.world.lines import FOREIGN, HOMOPHONES, NOTHING, listed_words, single_word, spoken_vocabulary

from .test_teachers import OneReading, recorded

RATE_HZ = 16_000


def voiced(seconds: float = 1.0, pitch_hz: float = 150.0) -> np.ndarray:
    """Harmonics of a pitch under one resonance at 900 Hz."""
    t = np.arange(int(RATE_HZ * seconds)) / RATE_HZ
    tones = [
        np.exp(-(((k * pitch_hz - 900) / 500) ** 2)) * np.sin(2 * np.pi * k * pitch_hz * t)
        for k in range(1, 40)
    ]
    return (0.2 * np.sum(tones, axis=0)).astype(np.float32)


def resonance_hz(samples: np.ndarray) -> float:
    power = np.abs(np.fft.rfft(samples)) ** 2
    return float((power * np.fft.rfftfreq(len(samples), 1 / RATE_HZ)).sum() / power.sum())


def pitch_hz(samples: np.ndarray) -> float:
    return float(np.median(librosa.yin(samples, fmin=60, fmax=500, sr=RATE_HZ)))


@pytest.mark.parametrize(("pitch", "tract"), [(0.7, 1.0), (1.3, 1.0), (1.0, 0.85), (0.7, 0.85)])
def test_pitch_and_resonances_change_one_without_the_other(pitch: float, tract: float) -> None:
    source = voiced()
    out = throat.in_another_throat(source, RATE_HZ, pitch, tract)
    assert len(out) == pytest.approx(len(source) / pitch, rel=0.02)
    assert pitch_hz(out) == pytest.approx(150 * pitch, rel=0.05)
    assert resonance_hz(out) == pytest.approx(resonance_hz(source) * tract, rel=0.08)


def snr_db(samples: np.ndarray, out: np.ndarray) -> float:
    """After the delay that a codec has is taken away."""
    delays = range(0, 800, 1)
    n = len(samples) - 800
    best = min(float(np.square(out[d : d + n] - samples[:n]).sum()) for d in delays)
    return float(10 * np.log10(np.square(samples[:n]).sum() / max(best, 1e-12)))


@pytest.mark.parametrize(
    ("through", "rate_hz", "least_db"),
    [
        (transmission.through_mu_law, 8000, 25),
        (transmission.through_gsm, 8000, 5),
        (lambda x: transmission.through_amr(x, 12_200), 8000, 3),
        (lambda x: transmission.through_opus(x, 24_000), 16_000, 3),
        (lambda x: transmission.through_mp3(x, 32_000), 16_000, 3),
    ],
)
def test_codecs_keep_speech_and_its_length(
    through: Callable[[np.ndarray], np.ndarray], rate_hz: int, least_db: float
) -> None:
    source = voiced(1.0)[:: RATE_HZ // rate_hz] * np.float32(0.5)
    out = through(source)
    assert out.shape == source.shape and out.dtype == np.float32 and not np.array_equal(out, source)
    assert snr_db(source, out) > least_db


def test_a_telephone_carries_nothing_above_4_khz() -> None:
    noise = np.random.default_rng(0).standard_normal(RATE_HZ).astype(np.float32) * 0.1
    for index in range(10):
        out = transmission.by_telephone(noise, np.random.default_rng(index))
        power = np.abs(np.fft.rfft(out)) ** 2
        assert len(out) == len(noise)
        assert power[len(power) * 5 // 8 :].sum() < 1e-3 * power.sum()


@functools.cache
def utterance() -> Utterance:
    samples = voiced(1.5)
    return Utterance(samples, "red two star", ((0.1, "r"), (0.5, "t"), (1.0, "s")), (0.48, 0.98))


def test_hesitation_adds_time_and_says_what_a_listener_writes() -> None:
    transcripts = set()
    for index in range(300):
        out = heard.hesitating(utterance(), generator("train", 0, "test", index))
        assert len(out.samples) >= 1.5 * RATE_HZ and out.samples.dtype == np.float32
        assert out.sounds is not None
        assert [t for t, _ in out.sounds] == sorted(t for t, _ in out.sounds)
        assert all(t <= len(out.samples) / RATE_HZ for t, _ in out.sounds)
        transcripts.add(out.transcript)
    assert transcripts == {"red two star", "red red two star", "red two red two star"}


def test_a_pause_moves_what_comes_after_it() -> None:
    out = heard._with_pause(utterance(), 0.48, 0.3)
    assert len(out.samples) == round(1.8 * RATE_HZ)
    assert {name: round(t, 2) for t, name in out.sounds or ()} == {
        "r": 0.1,
        "_": 0.48,
        "t": 0.8,
        "s": 1.3,
    }
    assert out.gaps == pytest.approx((0.48, 1.28))
    quiet = out.samples[round(0.48 * RATE_HZ) : round(0.78 * RATE_HZ)]
    assert np.abs(quiet).max() == 0


def test_recordings_are_reproducible_and_of_any_level() -> None:
    source = voiced()
    peaks, cut = [], 0
    for index in range(40):
        first, again = (
            heard.recorded(source, generator("train", 0, "test", index), source) for _ in range(2)
        )
        assert np.array_equal(first[0], again[0]) and first[1] == again[1]
        assert len(first[0]) > 0.95 * len(source) and -0.1 < first[1] < 0.6
        cut += first[1] <= 0
        peaks.append(float(np.abs(first[0]).max()))
    assert max(peaks) <= 1.0 and min(peaks) < 0.05 and 1 <= cut < 20


def test_noises_have_the_power_they_are_asked_for() -> None:
    for index, make in enumerate((noises.coloured, noises.hum, noises.knocks, noises.music)):
        out = make(RATE_HZ, np.random.default_rng(index))
        assert out.shape == (RATE_HZ,) and out.dtype == np.float32
        assert np.sqrt(np.mean(np.square(out))) == pytest.approx(1, abs=0.01)


def test_nothing_is_finite_and_at_times_silent() -> None:
    levels = [float(np.abs(heard.nothing(np.random.default_rng(i), bool(i % 2))).max()) for i in range(60)]
    assert 0.0 in levels and max(levels) <= 1.0 and np.isfinite(levels).all()


def test_evaluation_has_languages_of_its_own() -> None:
    assert not set(SENTENCES) & set(HELD_OUT_SENTENCES)
    languages = {foreign_text(np.random.default_rng(i), "evaluation")[0] for i in range(60)}
    assert languages == set(HELD_OUT_SENTENCES)


def test_words_said_alone_have_one_spelling_for_each_sound() -> None:
    words = {single_word(np.random.default_rng(i)) for i in range(3000)}
    assert set(listed_words()) <= words <= set(spoken_vocabulary())
    assert not words & set(HOMOPHONES)
    assert len(listed_words()) == 47


def test_a_recording_without_english_is_written_down_as_such() -> None:
    assert Heard(NOTHING, "").line().written == "I heard nothing."
    assert Heard(FOREIGN, "").line().reply == "I heard no words that I know."
    assert Heard("word", "two").line().written == "two"
    repeated = Heard("chat", "what is what is two plus three", (0, 5)).line()
    assert repeated.written == "what is what is two plus three" and repeated.reply


@pytest.mark.parametrize(
    ("measure", "reply", "right"),
    [
        ("exact", "I heard nothing.", True),
        ("exact", "I heard no words that I know.", True),
        ("exact", "two plus two", False),
        ("said", "two plus two", True),
        ("said", "I heard nothing", False),
    ],
)
def test_nothing_heard_is_said_in_either_way(measure: str, reply: str, right: bool) -> None:
    case = Case(
        "any", NOTHING, ("",), "I heard nothing.", measure=measure, also=("I heard no words that I know.",)
    )  # type: ignore[arg-type]
    assert is_right_in(case, reply) == right


def has_synthesizers() -> bool:
    try:
        ctypes.CDLL("libespeak-ng.so.1")
        ctypes.CDLL("libflite.so.1")
    except OSError:
        return False
    if importlib.util.find_spec("py_nanotts") is None:
        return False
    return all((word_lists.FOLDER / name).is_file() for name in foreign.DICTIONARIES.values())


@pytest.mark.skipif(not has_synthesizers(), reason="needs libespeak-ng1, libflite1, Pico, word lists")
def test_a_pool_is_a_function_of_its_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "READINGS", 4)
    monkeypatch.setattr(speech_pool, "SPEECH_SHARD", 16)
    monkeypatch.setattr(speech_pool, "READING_SHARDS", {"hearing": 2, "heart": 1})
    for stream, number in (("hearing", 0), ("hearing", 1), ("heart", 1)):
        shards.write_shard(tmp_path / "teacher", OneReading(), stream, "train", 0, number)
    readings: dict[Stream, int] = {"hearing": 2, "heart": 2}
    first, again = (SpeechPool(tmp_path / name, 0, tmp_path / "teacher", readings).shard(1) for name in "ab")
    assert (np.asarray(first.starts[:13]) == again.starts[:13]).all()
    # The phase of espeak-ng's flutter goes on from text to text, and may make a recording 40 ms longer.
    assert np.abs(first.lengths() - again.lengths()).max() <= 4 and first.lines == again.lines
    assert [line.kind for line in first.lines[:12]] == ["word"] * 12
    assert first.lengths().min() > 30
    mel, sounds = first.utterance(0)
    assert mel.shape == (len(sounds), 128) and mel.max() > 60
    reopened = SpeechPool(tmp_path / "a", 0, tmp_path / "teacher", readings).shard(1)
    assert reopened.lines == first.lines and (np.asarray(reopened.mel) == first.mel).all()


def test_a_pool_says_which_readings_are_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"run `python -m recipe\.teachers generate`"):
        SpeechPool(tmp_path, 0, tmp_path / "teacher").shard(0)


def test_a_reading_has_its_words_and_sounds_in_seconds() -> None:
    out = speech_pool.as_utterance(recorded(), pitch=0.8)
    assert out.transcript == "no two"
    assert len(out.samples) == pytest.approx(1.525 / 0.8 * RATE_HZ, rel=0.01)
    assert out.sounds is not None and [name for _, name in out.sounds] == [
        "n",
        "oU",
        "_",
        "_",
        "t",
        "u:",
        "_",
    ]
    assert out.gaps == pytest.approx(((0.15 + 0.4 - 0.0375) / 0.8,), abs=0.01)
    json.dumps(out.sounds)  # plain numbers


def test_the_logarithm_alone_takes_each_frame_by_itself() -> None:
    mel = torch.rand(1, 30, 128) * 10 ** torch.linspace(-6, 4, 30)[None, :, None]
    whole = compress_mel(mel, "log")
    assert torch.equal(whole[:, 10:12], compress_mel(mel[:, 10:12], "log"))
    assert whole.min() > -3.1 and whole.max() < 3.5


@pytest.mark.skipif(not has_synthesizers(), reason="needs libespeak-ng1, libflite1, Pico, word lists")
def test_pico_reads_at_the_pace_and_pitch_asked_for() -> None:
    pico = Pico()
    plain, fast = (pico.samples("one two three four", "en-US", speed) for speed in (1.0, 1.6))
    assert 0.5 < len(fast) / len(plain) < 0.8 and 0.1 < np.abs(plain).max() <= 1.0
    again = pico.samples("one two three four", "en-US")
    assert np.abs(again - plain).max() < 0.01  # breath is noise that goes on


def test_other_languages_have_more_words_than_can_be_learned_by_heart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(word_lists, "FOLDER", tmp_path)
    foreign._dictionary.cache_clear()
    with pytest.raises(FileNotFoundError, match="apt install wngerman"):
        foreign._dictionary("de")
    (tmp_path / "ngerman").write_text("Haus Fluss O'Brien x Donaudampfschifffahrt\n", encoding="utf-8")
    assert foreign._dictionary("de") == ("Haus", "Fluss")
    foreign._dictionary.cache_clear()
