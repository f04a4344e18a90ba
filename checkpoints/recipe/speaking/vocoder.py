"""Training the vocoder on mels that have been through the codec, so that it also mends what the codec breaks.

First by the distance of spectra alone, then also against discriminators, which hear buzz that the distance forgives.
"""

from __future__ import annotations

import itertools
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
from .discriminators import Discriminators, discriminator_loss, generator_losses
from .mel import SPEC
from .state import Run

LEARNING_RATE = 1e-3
SEGMENT_FRAMES, SEGMENTS = 64, 16
POOL_READINGS = 4000  # three hours of speech, read at every start
JUDGED = 8  # of a batch's segments: the judges take three times as long as the vocoder
ALONE = 2_500
"""Steps before the discriminators come: what the spectrum alone teaches is learned sooner without them."""
JUDGES_RATE = 5e-4
TAKEN_WEIGHT, ALIKE_WEIGHT = 0.15, 0.3
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


def pool(codec: Codec, readings: Path, split: Split = "train", most: int = POOL_READINGS) -> list[Recording]:
    """The first readings of a split that are long enough for a segment."""
    long = (a for a in spoken(readings, split) if len(a.samples) > SEGMENT_FRAMES * SPEC.hop_samples)
    return [Recording(a.samples, encode(codec, a.samples)) for a in itertools.islice(long, most)]


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
    codec: Codec,
    vocode: Callable[[NDArray[np.float32]], NDArray[np.float32]],
    readings: Path,
    count: int = 20,
) -> float:
    """Mean spectral distance of what a vocoder makes of the teacher's codes from the teacher's samples."""
    distances = []
    for r in pool(codec, readings, "dev", count):
        made = vocode(codec.decode(torch.from_numpy(r.codes)[None])[0].numpy())
        # Griffin-Lim's level is its own, so that of all is set to the original's.
        made = made * float(np.linalg.norm(r.samples) / max(np.linalg.norm(made), 1e-9))
        distances.append(
            spectral_loss(torch.from_numpy(made)[None], torch.from_numpy(r.samples)[None]).item()
        )
    return float(np.mean(distances))


def train(folder: Path, codec: Codec, readings: Path, steps: int, alone: int = ALONE, seed: int = 0) -> None:
    """Train, or go on, up to so many steps; from step ``alone`` on against discriminators."""
    torch.manual_seed(seed)
    model, judges = SpectralVocoder(sizes()), Discriminators()
    opponents = Run(folder / "discriminators.pt", judges, JUDGES_RATE, steps, {})
    run = Run(folder / "vocoder.pt", model, LEARNING_RATE, steps, asdict(model.sizes), beside=opponents)
    run.stop_when_asked()
    recordings = pool(codec, readings)
    margin = model.sizes.receptive_field_frames() * SPEC.hop_samples  # what the cut-off context may change
    began, first = time.monotonic(), run.step
    sums: dict[str, float] = {}
    for codes, real in segments(recordings, seed + run.step):
        if run.step >= steps:
            break
        with torch.no_grad():
            mel = codec.decode(codes)
        made, real = model(mel)[:, margin:-margin], real[:, margin:-margin]
        parts = {"spectral": spectral_loss(made, real)}
        if run.step >= alone:
            judged, true = made[:JUDGED], real[:JUDGED]
            verdict = discriminator_loss(judges(true), judges(judged.detach()))
            opponents.update(verdict)
            judges.requires_grad_(False)
            taken, alike = generator_losses(judges(true), judges(judged))
            judges.requires_grad_(True)
            sums["judges"] = sums.get("judges", 0.0) + verdict.item()
            parts |= {"taken": TAKEN_WEIGHT * taken, "alike": ALIKE_WEIGHT * alike}
        run.update(torch.stack(list(parts.values())).sum())
        for name, part in parts.items():
            sums[name] = sums.get(name, 0.0) + part.item()
        if run.step % LOG_EVERY == 0:
            seconds = (time.monotonic() - began) / (run.step - first)
            run.log(**{k: round(v / LOG_EVERY, 4) for k, v in sums.items()}, s_per_step=round(seconds, 3))
            sums = {}
    run.save()
