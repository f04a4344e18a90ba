"""The numpy front end against the libraries that models of this kind were trained with."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Literal

import librosa
import numpy as np
import pytest
import soundfile
import torch
from torch.nn import functional as F

import muomni
from muomni.dsp.griffin_lim import griffin_lim
from muomni.dsp.mel import MelParameters, mel_power
from muomni.dsp.resample import resample
from muomni.dsp.stft import hann_window, istft, stft

SPEECH = Path(__file__).parents[1] / "data" / "parity" / "inputs" / "speech_16k.wav"


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    return soundfile.read(SPEECH, dtype="float32")[0]


def test_mel_filters_and_spectrogram(parity_bundle: Path, speech: np.ndarray) -> None:
    encoder = muomni.Omni.load(parity_bundle, device="cpu").audio_encoder
    bank = librosa.filters.mel(sr=16_000, n_fft=1024, n_mels=128, htk=True, norm=None)
    assert np.abs(encoder.filters - bank.T).max() < 1e-7
    spectrum = torch.stft(
        torch.from_numpy(speech),
        1024,
        160,
        400,
        torch.hann_window(400),
        center=True,
        pad_mode="reflect",
        return_complex=True,
    )
    expected = (spectrum.abs().square().T @ torch.from_numpy(bank.T)).numpy()
    got = encoder.mel(SPEECH)
    assert got.shape == expected.shape
    assert np.abs(got - expected).max() / expected.max() < 1e-6


def test_the_transforms(speech: np.ndarray) -> None:
    window = hann_window(1024)
    spectrum = stft(speech, window, 256)
    expected = librosa.stft(speech, n_fft=1024, hop_length=256, pad_mode="constant").T
    assert np.abs(spectrum - expected).max() < 1e-3 * np.abs(expected).max()
    back = librosa.istft(expected.T, hop_length=256, n_fft=1024, length=len(speech))
    assert np.abs(istft(spectrum, window, 256, len(speech)) - back).max() < 1e-4


def test_griffin_lim_converges_as_librosas_does(speech: np.ndarray) -> None:
    magnitude = np.abs(librosa.stft(speech, n_fft=1024, hop_length=256)).astype(np.float32)

    def distance(samples: np.ndarray) -> float:
        got = np.abs(librosa.stft(samples, n_fft=1024, hop_length=256))[:, : magnitude.shape[1]]
        got *= np.linalg.norm(magnitude) / np.linalg.norm(got)
        return float(np.linalg.norm(got - magnitude) / np.linalg.norm(magnitude))

    ours = griffin_lim(np.ascontiguousarray(magnitude.T), np.eye(513, dtype=np.float32), iterations=32)
    theirs = librosa.griffinlim(
        magnitude, n_iter=32, hop_length=256, n_fft=1024, momentum=0.99, random_state=0
    )
    assert distance(ours) < 1.1 * distance(theirs)


@pytest.mark.parametrize(
    ("source", "target"),
    [(22_050, 16_000), (44_100, 16_000), (48_000, 16_000), (8_000, 16_000), (16_000, 24_000)],
)
def test_resampling_is_the_windowed_sinc_in_float32(speech: np.ndarray, source: int, target: int) -> None:
    """The textbook form: one convolution with every phase of the filter."""
    divisor = math.gcd(source, target)
    step, phases = source // divisor, target // divisor
    cutoff = min(step, phases) * 0.99
    reach = math.ceil(6 * step / cutoff)
    inputs = torch.arange(-reach, reach + step, dtype=torch.float32) / step
    times = (torch.arange(0, -phases, -1, dtype=torch.float32)[:, None] / phases + inputs) * cutoff
    times = times.clamp(-6, 6)
    kernel = torch.sinc(times) * torch.cos(times * math.pi / 12).square() * (cutoff / step)
    padded = F.pad(torch.from_numpy(speech), (reach, reach + step))
    expected = F.conv1d(padded[None, None], kernel[:, None], stride=step)[0].T.reshape(-1)
    got = resample(speech, source, target)
    assert np.abs(got - expected[: len(got)].numpy()).max() < 1e-5


@pytest.mark.parametrize("samples", [513, 16_000, 16_001, 16_159, 16_160])
@pytest.mark.parametrize(("n_fft", "window", "hop", "n_mels"), [(1024, 400, 160, 128), (512, 512, 128, 80)])
def test_spectrograms_of_any_length_are_torchs(
    samples: int, n_fft: int, window: int, hop: int, n_mels: int
) -> None:
    noise = np.random.default_rng(0).standard_normal(samples).astype(np.float32)
    bank = librosa.filters.mel(sr=16_000, n_fft=n_fft, n_mels=n_mels, htk=True, norm=None)
    spectrum = torch.stft(
        torch.from_numpy(noise),
        n_fft,
        hop,
        window,
        torch.hann_window(window),
        center=True,
        pad_mode="reflect",
        return_complex=True,
    )
    expected = (spectrum.abs().square().T @ torch.from_numpy(bank.T)).numpy()
    parameters = MelParameters(n_fft=n_fft, window_samples=window, hop_samples=hop, n_mels=n_mels)
    got = mel_power(noise, parameters, np.ascontiguousarray(bank.T))
    assert got.shape == expected.shape
    assert np.abs(got - expected).max() < 1e-5 * expected.max()


@pytest.mark.parametrize("pad_mode", ["constant", "reflect"])
@pytest.mark.parametrize("hop", [160, 256])
def test_the_transform_pads_as_librosas_does(
    speech: np.ndarray, pad_mode: Literal["constant", "reflect"], hop: int
) -> None:
    expected = librosa.stft(speech, n_fft=1024, hop_length=hop, pad_mode=pad_mode).T
    got = stft(speech, hann_window(1024), hop, pad_mode)
    assert got.shape == expected.shape
    assert np.abs(got - expected).max() < 1e-5 * np.abs(expected).max()


def test_a_spectrum_that_no_signal_has_becomes_librosas_signal() -> None:
    """Griffin-Lim lives on the inverse of such spectra."""
    random = np.random.default_rng(0)
    spectrum = (random.standard_normal((40, 513)) + 1j * random.standard_normal((40, 513))).astype(
        np.complex64
    )
    spectrum[:, [0, -1]] = spectrum[:, [0, -1]].real
    length = 39 * 256
    expected = librosa.istft(spectrum.T, hop_length=256, n_fft=1024, length=length)
    got = istft(spectrum, hann_window(1024), 256, length)
    assert np.abs(got - expected).max() < 1e-4 * np.abs(expected).max()


def test_the_windows_are_torchs() -> None:
    for size in (400, 512, 1024):
        assert np.abs(hann_window(size) - torch.hann_window(size).numpy()).max() < 1e-6
