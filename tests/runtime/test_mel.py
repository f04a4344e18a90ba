"""The mel power spectrogram and the transforms below it."""

from __future__ import annotations

import numpy as np
import pytest

from muomni import mel as mel_module
from muomni.errors import InputError, MediaError
from muomni.griffin_lim import griffin_lim
from muomni.mel import MelParameters, mel_power
from muomni.stft import hann_window, istft, stft

PARAMETERS = MelParameters()
RANDOM = np.random.default_rng(0)
FILTERS = RANDOM.random((513, 128), dtype=np.float32)
NOISE = RANDOM.standard_normal(16_000).astype(np.float32)


@pytest.mark.parametrize("samples", [2, 3, 159, 160, 161, 512, 513, 16_000])
def test_there_is_a_frame_for_each_hop_and_one_more(samples: int) -> None:
    mel = mel_power(NOISE[:samples], PARAMETERS, FILTERS)
    assert mel.shape == (1 + samples // 160, 128) and mel.dtype == np.float32
    assert np.isfinite(mel).all()


def test_blocks_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = mel_power(NOISE, PARAMETERS, FILTERS)
    monkeypatch.setattr(mel_module, "FRAMES_PER_BLOCK", 7)
    assert np.abs(mel_power(NOISE, PARAMETERS, FILTERS) / whole - 1).max() < 1e-5


def test_power_grows_with_the_square_of_the_gain() -> None:
    assert np.allclose(
        mel_power(3 * NOISE, PARAMETERS, FILTERS), 9 * mel_power(NOISE, PARAMETERS, FILTERS), rtol=1e-4
    )
    assert not mel_power(np.zeros(4000, np.float32), PARAMETERS, FILTERS).any()


def test_a_tone_is_in_its_bin() -> None:
    tone = np.sin(2 * np.pi * 1000 * np.arange(16_000) / 16_000).astype(np.float32)
    spectrum = mel_power(tone, MelParameters(n_mels=513), np.eye(513, dtype=np.float32))
    assert (spectrum[10:-10].argmax(axis=1) == 1000 * 1024 // 16_000).all()


def test_unusable_input_is_refused() -> None:
    with pytest.raises(MediaError, match="too short"):
        mel_power(NOISE[:1], PARAMETERS, FILTERS)
    with pytest.raises(InputError):
        mel_power(NOISE, PARAMETERS, FILTERS[:100])
    with pytest.raises(InputError):
        MelParameters(window_samples=2048)


def test_the_transform_and_its_inverse_cancel() -> None:
    window = hann_window(1024)
    spectrum = stft(NOISE, window, 256)
    assert np.abs(istft(spectrum, window, 256, len(NOISE)) - NOISE).max() < 1e-4


def test_griffin_lim_finds_a_signal_with_that_spectrum() -> None:
    time = np.arange(16_000) / 16_000
    signal = (np.sin(2 * np.pi * 300 * time) + 0.5 * np.sin(2 * np.pi * 1200 * time * (1 + time))).astype(
        np.float32
    )
    filters = np.eye(513, dtype=np.float32)
    magnitude = np.abs(stft(signal, hann_window(1024), 256)).astype(np.float32)
    magnitude = magnitude if magnitude.shape[1] == 513 else magnitude.T
    samples = griffin_lim(magnitude, filters, iterations=32)
    assert samples.shape == (len(magnitude) * 256,) and samples.dtype == np.float32
    assert np.abs(samples).max() == pytest.approx(0.95, abs=1e-4)
    again = np.abs(stft(samples, hann_window(1024), 256))
    again = (again if again.shape[1] == 513 else again.T)[: len(magnitude)]
    again *= np.linalg.norm(magnitude) / np.linalg.norm(again)
    assert np.linalg.norm(again - magnitude) / np.linalg.norm(magnitude) < 0.15
    assert (samples == griffin_lim(magnitude, filters, iterations=32)).all()
    assert (samples != griffin_lim(magnitude, filters, iterations=32, seed=1)).any()


def test_silence_stays_silence() -> None:
    assert np.abs(griffin_lim(np.zeros((5, 128), np.float32), FILTERS)).max() < 1e-3
