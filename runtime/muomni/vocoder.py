"""The vocoder stage: mel frames to samples, by HiFi-GAN or Griffin-Lim."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .errors import InputError
from .griffin_lim import griffin_lim
from .manifest import VocoderStage
from .session import GraphSession


class Vocoder:
    """The vocoder of a bundle.

    Args:
        session: the HiFi-GAN graph; None for Griffin-Lim.
        filters: mel filters (n_fft / 2 + 1, bins) for Griffin-Lim; None for HiFi-GAN.
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
        if mel.ndim != 2 or mel.shape[1] != self.stage.mel_bins or len(mel) == 0:
            raise InputError(
                f"mel: expected (T, {self.stage.mel_bins}) with T of at least 1, got {mel.shape}"
            )
        if self._session is not None:
            result = self._session.run({"mel": np.ascontiguousarray(mel[None], dtype=np.float32)})
            samples: NDArray[np.float32] = result["samples"][0]
            return samples
        assert self._filters is not None and self.stage.iterations is not None
        return griffin_lim(
            mel,
            self._filters,
            n_fft=self.stage.n_fft,
            hop=self.stage.hop_samples,
            iterations=self.stage.iterations,
        )

    def speak(self, mel: NDArray[np.float32], frame_rate_hz: float) -> NDArray[np.float32]:
        """Codec mel (T, bins) at its own frame rate -> samples lasting T / frame_rate_hz seconds."""
        return self.samples(stretch(normalise(mel), frame_rate_hz, self.frame_rate_hz))


def normalise(mel: NDArray[np.float32]) -> NDArray[np.float32]:
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
