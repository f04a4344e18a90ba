"""The vocoder stage: mel frames to samples, by HiFi-GAN, by a predicted spectrum, or by Griffin-Lim."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from muomni.bundle.manifest import VocoderStage
from muomni.dsp.griffin_lim import griffin_lim
from muomni.dsp.stft import hann_window, synthesise
from muomni.errors import InputError, StageError
from muomni.ort.session import GraphSession


class Vocoder:
    """The vocoder of a bundle.

    Args:
        session: the graph; None for Griffin-Lim.
        filters: mel filters (n_fft / 2 + 1, bins) for Griffin-Lim; else None.
    """

    def __init__(
        self, stage: VocoderStage, session: GraphSession | None, filters: NDArray[np.float32] | None
    ) -> None:
        self.stage, self._session, self._filters = stage, session, filters

    @property
    def frame_rate_hz(self) -> float:
        """Mel frames a second that :meth:`samples` takes."""
        return self.stage.sample_rate_hz / self.stage.hop_samples

    def samples(self, mel: NDArray[np.float32]) -> NDArray[np.float32]:
        """Mel in 0…1 (T, bins) at :attr:`frame_rate_hz` -> samples in -1…1 (T · hop,).

        Raises:
            InputError: another shape.
        """
        stage = self.stage
        if stage.kind == "spectral":
            whole = synthesise(self.spectrum(mel), hann_window(stage.n_fft), stage.hop_samples)
            start = stage.n_fft // 2
            return whole[start : start + len(mel) * stage.hop_samples].clip(-1, 1)
        self._check(mel)
        if self._session is not None:
            samples: NDArray[np.float32] = self._run(mel)["samples"][0]
            return samples
        assert self._filters is not None and stage.iterations is not None
        return griffin_lim(
            mel, self._filters, n_fft=stage.n_fft, hop=stage.hop_samples, iterations=stage.iterations
        )

    def spectrum(self, mel: NDArray[np.float32]) -> NDArray[np.complex64]:
        """Mel in 0…1 (T, bins) -> spectrum (T, n_fft / 2 + 1), of a vocoder that predicts one.

        Raises:
            InputError: another shape.
            StageError: this vocoder predicts no spectrum.
        """
        if self.stage.kind != "spectral":
            raise StageError(f"this bundle's vocoder ({self.stage.kind}) predicts no spectrum")
        self._check(mel)
        result = self._run(mel)
        spectrum: NDArray[np.complex64] = result["real"][0] + 1j * result["imaginary"][0]
        return spectrum

    def speak(self, mel: NDArray[np.float32], frame_rate_hz: float) -> NDArray[np.float32]:
        """Codec mel (T, bins) at its own frame rate -> samples lasting T / frame_rate_hz seconds."""
        ranged = mel if self.stage.normalisation == "fixed_range" else normalise_mel(mel)
        return self.samples(stretch(ranged, frame_rate_hz, self.frame_rate_hz))

    def _check(self, mel: NDArray[np.float32]) -> None:
        if mel.ndim != 2 or mel.shape[1] != self.stage.mel_bins or len(mel) == 0:
            raise InputError(
                f"mel: expected (T, {self.stage.mel_bins}) with T of at least 1, got {mel.shape}"
            )

    def _run(self, mel: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        assert self._session is not None
        return self._session.run({"mel": np.ascontiguousarray(mel[None], dtype=np.float32)})


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
