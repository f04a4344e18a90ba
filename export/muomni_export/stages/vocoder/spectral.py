"""A vocoder that predicts a spectrum: its sizes, graph and check."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from muomni_export.modules.vocoder import SpectralSizes, SpectralVocoder
from muomni_export.notes import Note
from muomni_export.parity.compare import GraphCheck, generator, parameters_of, to_numpy
from muomni_export.parity.replay import Arrays
from muomni_export.stages.evidence import Evidence
from muomni_export.stages.weights import StageWeights


def spectral_sizes(weights: StageWeights, notes: list[Note]) -> SpectralSizes:
    """Sizes of a vocoder that predicts a spectrum; ``hop_length`` comes from the config, or is refused.

    Raises:
        CheckpointError: tensors that are missing or do not fit together, or a hop that is not known or does not
            divide the transform.
    """
    found = Evidence("vocoder", weights, notes)
    width, mel_bins, pre_kernel = found.shape("conv_pre.weight", 3)
    _, _, kernel = found.shape("blocks.0.conv.weight", 3)
    for name, size in (("conv_pre.weight", pre_kernel), ("blocks.0.conv.weight", kernel)):
        if size % 2 == 0:
            raise found.refuse(name, "an odd kernel, which keeps the length", f"{size}")
    rows, _ = found.shape("spectrum_head.weight", 2)
    if rows % 2 or rows < 4:
        raise found.refuse(
            "spectrum_head.weight", "magnitudes and angles, an even number of rows", f"{rows} rows"
        )
    n_fft = rows - 2
    found.compare("n_mels", mel_bins)
    found.compare("n_fft", n_fft)
    hop = found.positive("hop_length")
    if hop is None or n_fft % (2 * hop):
        raise found.wrong_value("hop_length", f"a divisor of {n_fft // 2} (half of the transform)", hop)
    hidden, _ = found.shape("blocks.0.fc1.weight", 2)
    return SpectralSizes(mel_bins, width, hidden, found.count("blocks."), kernel, pre_kernel, n_fft, hop)


class SpectralVocoderGraph(nn.Module):
    """Mel -> real and imaginary parts; the runtime inverts them, which needs no table of cosines in the file."""

    def __init__(self, vocoder: SpectralVocoder) -> None:
        super().__init__()
        self.vocoder = vocoder

    def forward(self, mel: Tensor) -> tuple[Tensor, Tensor]:
        return self.vocoder.spectrum(mel)


def spectral_check(vocoder: SpectralVocoder) -> GraphCheck:
    random = generator()

    def case(batch: int, frames: int) -> Arrays:
        return {"mel": random.random((batch, frames, vocoder.sizes.mel_bins), dtype=np.float32)}

    def reference(case: Arrays) -> Arrays:
        with torch.inference_mode():
            real, imaginary = vocoder.spectrum(torch.from_numpy(case["mel"]))
            return to_numpy(real=real, imaginary=imaginary)

    return GraphCheck("vocoder", parameters_of(vocoder), [case(1, 6), case(1, 1), case(2, 25)], reference)
