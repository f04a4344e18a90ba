"""The numpy front end against the libraries that models of this kind were trained with."""

from __future__ import annotations

import math
from pathlib import Path

import librosa
import numpy as np
import pytest
import soundfile
import torch
from torch.nn import functional as F

import muomni
from muomni.griffin_lim import griffin_lim
from muomni.resample import resample
from muomni.stft import hann_window, istft, stft

SPEECH = Path(__file__).parents[1] / "data" / "parity" / "inputs" / "speech_16k.wav"


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    return soundfile.read(SPEECH, dtype="float32")[0]


def test_mel_filters_and_spectrogram(parity_bundle: Path, speech: np.ndarray) -> None:
    listening = muomni.Omni.load(parity_bundle, device="cpu").listening
    bank = librosa.filters.mel(sr=16_000, n_fft=1024, n_mels=128, htk=True, norm=None)
    assert np.abs(listening.filters - bank.T).max() < 1e-7
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
    got = listening.mel(SPEECH)
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


@pytest.mark.parametrize(("source", "target"), [(22_050, 16_000), (48_000, 16_000), (8_000, 16_000)])
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
