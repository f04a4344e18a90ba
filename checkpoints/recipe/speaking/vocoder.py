"""Training the vocoder on mels that have been through the codec, so that it also mends what the codec breaks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from muomni_export.modules.codec import Codec
from muomni_export.modules.vocoder import SpectralSizes, SpectralVocoder
from recipe.seeds import Split

from .corpus import encode, spoken
from .espeak import Espeak
from .mel import SPEC
from .state import Run

LEARNING_RATE = 1e-3
SEGMENT_FRAMES, SEGMENTS = 64, 16
POOL_SENTENCES = 1200  # an hour of speech, made anew (with other sentences) at every start
RESOLUTIONS = ((256, 64), (512, 128), (1024, 256), (2048, 512))
QUIETEST = 1e-2
"""Magnitudes below this sound like silence; without a floor, their logarithms would rule the loss."""
LOG_EVERY = 100


@dataclass(frozen=True)
class Recording:
    samples: NDArray[np.float32]
    codes: NDArray[np.int64]


def sizes() -> SpectralSizes:
    """1.1 million parameters."""
    return SpectralSizes(SPEC.bins, width=192, hidden=512, layers=4)


def from_config(config: dict[str, Any]) -> SpectralVocoder:
    return SpectralVocoder(SpectralSizes(**config))


def as_function(model: SpectralVocoder) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """Mel (T, M) -> samples (T · hop,)."""

    @torch.no_grad()
    def vocode(mel: NDArray[np.float32]) -> NDArray[np.float32]:
        samples: NDArray[np.float32] = model(torch.from_numpy(mel)[None])[0].numpy()
        return samples

    return vocode


def magnitudes(samples: Tensor, n_fft: int, hop: int) -> Tensor:
    """(B, n) -> |STFT| (B, bins, frames); the square root's gradient is kept finite at silence."""
    window = torch.hann_window(n_fft)
    spectrum = torch.stft(samples, n_fft, hop, window=window, return_complex=True)
    return (spectrum.real.square() + spectrum.imag.square() + 1e-9).sqrt()


def spectral_loss(made: Tensor, real: Tensor) -> Tensor:
    """Distance of magnitudes, logarithmic and linear, at several resolutions (Yamamoto et al. 2020)."""
    total = made.new_zeros(())
    for n_fft, hop in RESOLUTIONS:
        a, b = magnitudes(made, n_fft, hop), magnitudes(real, n_fft, hop)
        scale = (n_fft / RESOLUTIONS[-1][0]) ** 0.5
        floor = QUIETEST * scale
        total = total + ((a + floor).log() - (b + floor).log()).abs().mean()
        total = total + (a - b).norm() / b.norm().clamp(min=scale)
    return total / len(RESOLUTIONS)


def pool(codec: Codec, first: int, count: int, split: Split = "train") -> list[Recording]:
    """Sentences ``first`` … of a split, long enough for a segment."""
    espeak = Espeak()
    return [
        Recording(a.samples, encode(codec, a.samples))
        for a in spoken(espeak, split, first, count, seed=2)
        if len(a.samples) > SEGMENT_FRAMES * SPEC.hop_samples
    ]


def segments(recordings: list[Recording], seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Endless batches: codes (B, F, 2) and samples (B, F · hop)."""
    rng = np.random.default_rng(seed)
    while True:
        codes, samples = [], []
        for _ in range(SEGMENTS):
            r = recordings[int(rng.integers(len(recordings)))]
            first = int(rng.integers(len(r.codes) - SEGMENT_FRAMES + 1))
            codes.append(r.codes[first : first + SEGMENT_FRAMES])
            samples.append(r.samples[first * SPEC.hop_samples :][: SEGMENT_FRAMES * SPEC.hop_samples])
        yield torch.from_numpy(np.stack(codes)), torch.from_numpy(np.stack(samples))


@torch.no_grad()
def compare(
    codec: Codec, vocode: Callable[[NDArray[np.float32]], NDArray[np.float32]], count: int = 20
) -> float:
    """Mean spectral distance of what a vocoder makes of the teacher's codes from the teacher's samples."""
    distances = []
    for r in pool(codec, 0, count, "dev"):
        made = vocode(codec.decode(torch.from_numpy(r.codes)[None])[0].numpy())
        # Griffin-Lim's level is its own, so that of all is set to the original's.
        made = made * float(np.linalg.norm(r.samples) / max(np.linalg.norm(made), 1e-9))
        distances.append(
            spectral_loss(torch.from_numpy(made)[None], torch.from_numpy(r.samples)[None]).item()
        )
    return float(np.mean(distances))


def train(folder: Path, codec: Codec, steps: int, seed: int = 0) -> None:
    """Train, or go on, up to so many steps."""
    torch.manual_seed(seed)
    model = SpectralVocoder(sizes())
    run = Run(folder / "vocoder.pt", model, LEARNING_RATE, steps, asdict(model.sizes))
    run.stop_when_asked()
    recordings = pool(codec, run.step, POOL_SENTENCES)
    margin = model.sizes.receptive_field_frames() * SPEC.hop_samples  # what the cut-off context may change
    began, total, first = time.monotonic(), 0.0, run.step
    for codes, real in segments(recordings, seed + run.step):
        if run.step >= steps:
            break
        with torch.no_grad():
            mel = codec.decode(codes)
        made = model(mel)
        loss = spectral_loss(made[:, margin:-margin], real[:, margin:-margin])
        run.update(loss)
        total += loss.item() / LOG_EVERY
        if run.step % LOG_EVERY == 0:
            seconds = (time.monotonic() - began) / (run.step - first)
            run.log(loss=round(total, 4), s_per_step=round(seconds, 3))
            total = 0.0
    run.save()
