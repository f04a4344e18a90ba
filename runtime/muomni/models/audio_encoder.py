"""The audio encoder: sound to features and to what the Thinker reads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from muomni.bundle.manifest import AudioStage
from muomni.dsp.mel import MelParameters, mel_power
from muomni.errors import InputError
from muomni.media.audio import AudioSource, load_audio
from muomni.ort.rows import Rows
from muomni.ort.session import GraphSession


@dataclass(frozen=True)
class AudioFeatures:
    """What the audio encoder computes of one recording.

    Attributes:
        mel: mel power spectrogram (T, bins).
        features: encoder output (E, d), E = ceil(T / downsampling).
        embeds: what the Thinker reads (E, D); None without a projector.

    Example:
        >>> heard = omni.audio_encoder.encode("days.wav")
        >>> heard.mel.shape[1], heard.features.shape[1], heard.embeds.shape[1]
        (128, 160, 192)
    """

    mel: NDArray[np.float32]
    features: NDArray[np.float32]
    embeds: NDArray[np.float32] | None


class AudioEncoder:
    """The audio encoder of a bundle.

    Args:
        filters: mel filters (n_fft / 2 + 1, bins), as stored in the bundle.

    Example:
        >>> second = np.zeros(16_000, dtype=np.float32)
        >>> len(omni.audio_encoder.encode((second, 16_000)).embeds)
        13
    """

    def __init__(self, session: GraphSession, stage: AudioStage, filters: NDArray[np.float32]) -> None:
        self.session, self.stage, self.filters = session, stage, filters
        mel = stage.mel
        self.parameters = MelParameters(
            sample_rate_hz=mel.sample_rate_hz,
            n_fft=mel.n_fft,
            window_samples=mel.window_samples,
            hop_samples=mel.hop_samples,
            n_mels=mel.bins,
        )

    def load(
        self, audio: AudioSource, max_seconds: float | None = None, notes: list[str] | None = None
    ) -> NDArray[np.float32]:
        """Samples (n,) of a path, bytes or (samples, rate), at the encoder's rate.

        Args:
            max_seconds: nothing after that is needed; where the result is longer, there is more.
            notes: gets what there is to say of the recording.

        Raises:
            MediaError: the audio cannot be read, is empty or holds NaN.
        """
        return load_audio(audio, self.parameters.sample_rate_hz, max_seconds=max_seconds, notes=notes)

    def mel(self, audio: AudioSource) -> NDArray[np.float32]:
        """Mel power spectrogram (T, bins) of a path, bytes or (samples, rate).

        Raises:
            MediaError: as :meth:`load`.
        """
        return mel_power(self.load(audio), self.parameters, self.filters)

    def encode(self, audio: AudioSource) -> AudioFeatures:
        """Encode one recording.

        Raises:
            MediaError: as :meth:`load`.

        Example:
            >>> omni.audio_encoder.encode("question.wav").embeds.shape  # (E, D)
        """
        return self.encode_mel(self.mel(audio))

    def encode_samples(self, samples: NDArray[np.float32]) -> AudioFeatures:
        """Encode samples (n,) at the encoder's rate."""
        return self.encode_mel(mel_power(samples, self.parameters, self.filters))

    def embeddings_of(self, samples: int) -> int:
        """How many embeddings so many samples become; costs nothing."""
        return -(-self.parameters.frames(samples) // self.stage.downsampling)

    def samples_of(self, embeddings: int) -> int:
        """The most samples that become no more than so many embeddings."""
        return embeddings * self.stage.downsampling * self.parameters.hop_samples - 1

    def rows(self, samples: NDArray[np.float32]) -> Rows:
        """What the Thinker reads (E, D) of samples (n,) at the encoder's rate; on a device they stay there."""
        mel = mel_power(samples, self.parameters, self.filters)
        return self.session.rows({"mel": np.ascontiguousarray(mel[None], dtype=np.float32)}, "embeds")

    def encode_mel(self, mel: NDArray[np.float32]) -> AudioFeatures:
        """Encode a mel power spectrogram (T, bins)."""
        if mel.ndim != 2 or mel.shape[1] != self.stage.mel.bins or len(mel) == 0:
            raise InputError(
                f"mel: expected (T, {self.stage.mel.bins}) with T of at least 1, got {mel.shape}"
            )
        result = self.session.run({"mel": np.ascontiguousarray(mel[None], dtype=np.float32)})
        embeds = result.get("embeds")
        return AudioFeatures(mel, result["features"][0], None if embeds is None else embeds[0])

    def seconds(self, embeddings: int) -> float:
        """How much audio that many embeddings stand for."""
        return (
            embeddings
            * self.stage.downsampling
            * self.parameters.hop_samples
            / self.parameters.sample_rate_hz
        )
