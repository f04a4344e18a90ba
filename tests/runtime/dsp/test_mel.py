"""The mel power spectrogram, and the short-time Fourier transform and its inverse."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest

from muomni.dsp import mel as mel_module
from muomni.dsp.mel import MelParameters, mel_power
from muomni.dsp.stft import hann_window, istft, stft
from muomni.errors import InputError, MediaError

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


def test_power_is_the_squared_magnitude_of_the_windowed_frame() -> None:
    """One frame, written out: 400 samples around its centre under a Hann window, in 1024 bins."""
    power = mel_power(NOISE, MelParameters(n_mels=513), np.eye(513, dtype=np.float32))
    centre = 50 * 160
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    frame = NOISE[centre - 200 : centre + 200] * window
    expected = np.abs(np.exp(-2j * np.pi * np.outer(np.arange(513), np.arange(400)) / 1024) @ frame) ** 2
    assert np.abs(power[50] - expected).max() < 1e-4 * expected.max()


def test_the_ends_are_reflected() -> None:
    tone = np.cos(2 * np.pi * 1000 * np.arange(1601) / 16_000).astype(np.float32)  # even about both ends
    power = mel_power(tone, MelParameters(n_mels=513), np.eye(513, dtype=np.float32))
    assert np.abs(power / power.max() - power[5] / power.max()).max() < 1e-5


@pytest.mark.parametrize("frames_per_block", [1, 2, 100, 101, 102])
def test_every_size_of_block_gives_the_same_frames(
    frames_per_block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = mel_power(NOISE, PARAMETERS, FILTERS)
    monkeypatch.setattr(mel_module, "FRAMES_PER_BLOCK", frames_per_block)
    blocks = mel_power(NOISE, PARAMETERS, FILTERS)
    assert blocks.shape == whole.shape and np.allclose(blocks, whole, rtol=1e-5)


@pytest.mark.parametrize("name", ["sample_rate_hz", "n_fft", "window_samples", "hop_samples", "n_mels"])
def test_parameters_below_one_are_refused(name: str) -> None:
    with pytest.raises(InputError, match=name):
        MelParameters(**{name: 0})


def test_stereo_is_no_signal() -> None:
    with pytest.raises(InputError, match="shape"):
        mel_power(np.zeros((400, 2), np.float32), PARAMETERS, FILTERS)


@pytest.mark.parametrize("hop", [100, 256, 300, 512])
@pytest.mark.parametrize("pad_mode", ["constant", "reflect"])
def test_any_hop_with_overlap_can_be_undone(hop: int, pad_mode: Literal["constant", "reflect"]) -> None:
    window = hann_window(1024)
    spectrum = stft(NOISE, window, hop, pad_mode)
    assert spectrum.shape == (1 + len(NOISE) // hop, 513) and spectrum.dtype == np.complex64
    back = istft(spectrum, window, hop, len(NOISE))
    assert back.dtype == np.float32 and np.abs(back - NOISE)[: len(NOISE) // hop * hop].max() < 1e-3


def test_what_no_frame_reaches_is_silent() -> None:
    window = hann_window(1024)
    signal = istft(stft(NOISE[:2048], window, 256), window, 256, 10_000)
    assert signal.shape == (10_000,) and np.abs(signal[:2048] - NOISE[:2048]).max() < 1e-3
    assert not signal[2048 + 1024 :].any()


def test_the_window_is_periodic() -> None:
    window = hann_window(400)
    assert window[0] == 0 and window[200] == 1 and np.allclose(window[1:], window[:0:-1])
    assert np.allclose(window.reshape(4, 100).sum(axis=0), 2)  # overlapped by three quarters it is flat
