"""Mel frames to samples while the frames still come: the same samples as from all of them at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from muomni.dsp.stft import hann_window, synthesise

if TYPE_CHECKING:
    from .vocoder import Spectral


class VocoderStream:
    """One utterance through a vocoder that predicts a spectrum.

    A frame's spectrum is computed when the frames around it that it depends on are there; a sample is given when
    all frames that overlap it have been added up.
    """

    def __init__(self, vocoder: Spectral) -> None:
        stage = vocoder.stage
        self._vocoder, self._hop, self._half = vocoder, stage.hop_samples, stage.n_fft // 2
        self._window = hann_window(stage.n_fft)
        # Of the frames whose samples a frame can change, the last ones only overlap with it.
        self._reach = stage.receptive_field_frames - self._half // self._hop
        self._mel = np.zeros((0, stage.mel_bins), dtype=np.float32)
        self._done = 0  # frames at the start of self._mel that are added up and only surround what follows
        self._open = np.zeros(stage.n_fft - self._hop, dtype=np.float32)  # samples that more frames overlap
        self._skip = self._half  # the first frame begins that much before the first sample

    def feed(self, mel: NDArray[np.float32]) -> NDArray[np.float32]:
        """Frames (n, bins) -> the samples (m,) that they settle; m may be 0."""
        self._mel = np.concatenate((self._mel, mel))
        return self._advance(len(self._mel) - self._reach)

    def finish(self) -> NDArray[np.float32]:
        """No more frames come: the remaining samples."""
        settled = self._advance(len(self._mel))
        rest = self._open[: self._half] if len(self._mel) else self._open[:0]
        return np.concatenate((settled, rest[self._skip :].clip(-1, 1)))

    def _advance(self, end: int) -> NDArray[np.float32]:
        """Add up the kept frames up to ``end``; the samples settled by that."""
        count = end - self._done
        if count <= 0:
            return np.zeros(0, dtype=np.float32)
        spectrum = self._vocoder.spectrum(self._mel)[self._done : end]
        made = synthesise(spectrum, self._window, self._hop)
        made[: len(self._open)] += self._open
        settled, self._open = made[: count * self._hop], made[count * self._hop :]
        self._done = min(end, self._reach)
        self._mel = self._mel[end - self._done :]
        skipped = min(self._skip, len(settled))
        self._skip -= skipped
        return settled[skipped:].clip(-1, 1)
