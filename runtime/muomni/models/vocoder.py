"""The vocoder stage: mel frames to samples, by HiFi-GAN, by a predicted spectrum, or by Griffin-Lim."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

from muomni.bundle.manifest import GriffinLimVocoder, HifiganVocoder, SpectralVocoder, VocoderStage
from muomni.dsp.griffin_lim import griffin_lim
from muomni.dsp.stft import hann_window, synthesise
from muomni.errors import InputError
from muomni.ort.session import GraphSession

from .vocoder_stream import VocoderStream


class Vocoder(ABC):
    """Mel to samples; its classes are the kinds of the manifest.

    Example:
        >>> samples = omni.vocoder.speak(omni.codec.decode(codes), omni.talker.stage.frame_rate_hz)
    """

    def __init__(self, stage: VocoderStage) -> None:
        self.stage = stage

    @property
    def frame_rate_hz(self) -> float:
        """Mel frames a second that :meth:`samples` takes."""
        return self.stage.sample_rate_hz / self.stage.hop_samples

    def samples(self, mel: NDArray[np.float32]) -> NDArray[np.float32]:
        """Mel in 0…1 (T, bins) at :attr:`frame_rate_hz` -> samples in -1…1 (T · hop,).

        Raises:
            InputError: another shape.
        """
        bins = self.stage.mel_bins
        if mel.ndim != 2 or mel.shape[1] != bins or len(mel) == 0:
            raise InputError(f"mel: expected (T, {bins}) with T of at least 1, got {mel.shape}")
        return self._samples(mel)

    def speak(self, mel: NDArray[np.float32], frame_rate_hz: float) -> NDArray[np.float32]:
        """Codec mel (T, bins) at its own frame rate -> samples lasting T / frame_rate_hz seconds."""
        ranged = mel if self.stage.normalisation == "fixed_range" else normalise_mel(mel)
        return self.samples(stretch(ranged, frame_rate_hz, self.frame_rate_hz))

    @abstractmethod
    def _samples(self, mel: NDArray[np.float32]) -> NDArray[np.float32]: ...


class Hifigan(Vocoder):
    """A graph that gives samples."""

    def __init__(self, stage: HifiganVocoder, session: GraphSession) -> None:
        super().__init__(stage)
        self._session = session

    def _samples(self, mel: NDArray[np.float32]) -> NDArray[np.float32]:
        samples: NDArray[np.float32] = self._session.run({"mel": _one(mel)})["samples"][0]
        return samples


class Spectral(Vocoder):
    """A graph that gives a spectrum, which is inverted here; the only kind that can speak while frames come."""

    stage: SpectralVocoder

    def __init__(self, stage: SpectralVocoder, session: GraphSession) -> None:
        super().__init__(stage)
        self._session = session

    def spectrum(self, mel: NDArray[np.float32]) -> NDArray[np.complex64]:
        """Mel in 0…1 (T, bins) -> spectrum (T, n_fft / 2 + 1)."""
        result = self._session.run({"mel": _one(mel)})
        spectrum: NDArray[np.complex64] = result["real"][0] + 1j * result["imaginary"][0]
        return spectrum

    def stream(self) -> VocoderStream:
        """One utterance, frame by frame: the same samples as from all its frames at once."""
        return VocoderStream(self)

    def _samples(self, mel: NDArray[np.float32]) -> NDArray[np.float32]:
        stage = self.stage
        whole = synthesise(self.spectrum(mel), hann_window(stage.n_fft), stage.hop_samples)
        start = stage.n_fft // 2
        return whole[start : start + len(mel) * stage.hop_samples].clip(-1, 1)


class GriffinLim(Vocoder):
    """No graph: the phases are estimated.

    Args:
        filters: (n_fft / 2 + 1, bins), those that made the mel.
    """

    stage: GriffinLimVocoder

    def __init__(self, stage: GriffinLimVocoder, filters: NDArray[np.float32]) -> None:
        super().__init__(stage)
        self._filters = filters

    def _samples(self, mel: NDArray[np.float32]) -> NDArray[np.float32]:
        stage = self.stage
        return griffin_lim(
            mel, self._filters, n_fft=stage.n_fft, hop=stage.hop_samples, iterations=stage.iterations
        )


def _one(mel: NDArray[np.float32]) -> NDArray[np.float32]:
    """A batch of one (1, T, bins), as graphs take it."""
    return np.ascontiguousarray(mel[None], dtype=np.float32)


def normalise_mel(mel: NDArray[np.float32]) -> NDArray[np.float32]:
    """Min-max of the whole utterance to 0…1, as the reference does before its vocoder.

    A constant mel has no range to stretch and becomes zeros.
    """
    low, high = mel.min(), mel.max()
    if high <= low:
        return np.zeros_like(mel)
    scaled: NDArray[np.float32] = ((mel - low) / (high - low)).astype(np.float32)
    return scaled


def stretch(mel: NDArray[np.float32], from_hz: float, to_hz: float) -> NDArray[np.float32]:
    """Linear interpolation in time from one frame rate to another, (T, bins) -> (round(T · to / from), bins).

    Frames are taken to lie at the centres of their intervals; before the first and after the last
    centre the edge frame is held. Equal rates change nothing.
    """
    frames = max(1, round(len(mel) * to_hz / from_hz))
    if frames == len(mel):
        return mel
    position = np.clip((np.arange(frames) + 0.5) * len(mel) / frames - 0.5, 0, len(mel) - 1)
    before = position.astype(np.int64)
    after = np.minimum(before + 1, len(mel) - 1)
    weight = (position - before).astype(np.float32)[:, None]
    return (mel[before] * (1 - weight) + mel[after] * weight).astype(np.float32)
