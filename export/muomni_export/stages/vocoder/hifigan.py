"""A HiFi-GAN generator: its sizes and its check."""

from __future__ import annotations

from math import prod

import numpy as np
import torch

from muomni.errors import CheckpointError
from muomni_export.modules.vocoder import Vocoder, VocoderSizes
from muomni_export.notes import Note
from muomni_export.parity.compare import GraphCheck, generator, parameters_of, to_numpy
from muomni_export.parity.replay import Arrays
from muomni_export.stages.evidence import Evidence
from muomni_export.stages.weights import StageWeights

KERNELS = (16, 16, 4, 4)  # the reference's upsampling, by 8 · 8 · 2 · 2
DILATIONS = {2: (1, 2), 3: (1, 3, 5)}
"""The reference's (and HiFi-GAN's own), by how many dilated convolutions a residual block has."""


def vocoder_sizes(weights: StageWeights, notes: list[Note]) -> VocoderSizes:
    """Sizes of a HiFi-GAN generator; rates and dilations come from the config, or are the reference's.

    Raises:
        CheckpointError: tensors that are missing or do not fit together; rates, dilations or a hop that
            disagree with the tensors.
    """
    found = Evidence("vocoder", weights, notes)
    channels, mel_bins, pre_kernel = found.shape("conv_pre.weight", 3)
    _, _, post_kernel = found.shape("conv_post.weight", 3)
    ups, blocks = found.count("ups."), found.count("resblocks.")
    if channels % 2**ups:
        raise found.refuse("conv_pre.weight", f"channels that halve {ups} times", f"{channels} channels")
    if blocks % ups:
        raise found.refuse("resblocks", f"the same number for each of the {ups} upsamplings", f"{blocks}")
    branches = range(blocks // ups)
    kernels = tuple(found.shape(f"resblocks.{i}.convs1.0.weight", 3)[2] for i in branches)
    for name, kernel in (
        ("conv_pre.weight", pre_kernel),
        ("conv_post.weight", post_kernel),
        *((f"resblocks.{i}.convs1.0.weight", kernels[i]) for i in branches),
    ):
        if kernel % 2 == 0:
            raise found.refuse(name, "an odd kernel, which keeps the length", f"{kernel}")
    up_kernels = tuple(found.shape(f"ups.{i}.weight", 3)[2] for i in range(ups))
    found.compare("n_mels", mel_bins)
    found.compare("upsample_initial_channel", channels)
    found.compare("resblock_kernel_sizes", list(kernels))
    found.compare("upsample_kernel_sizes", list(up_kernels))
    sizes = VocoderSizes(
        mel_bins,
        channels,
        _upsampling(found, up_kernels),
        up_kernels,
        kernels,
        _dilations(found, len(kernels)),
        pre_kernel,
        post_kernel,
    )
    hop = found.positive("hop_length")
    if hop is not None and hop != sizes.hop_samples:
        rates = " · ".join(map(str, sizes.upsampling))
        raise found.wrong_value(
            "hop_length", f"the product of its upsamplings, {rates} = {sizes.hop_samples}", hop
        )
    return sizes


def _upsampling(found: Evidence, kernels: tuple[int, ...]) -> tuple[int, ...]:
    """Rates from the config; else half of each kernel, as in every HiFi-GAN of the reference and of its authors."""
    rates = found.positives("upsample_rates")
    if rates is None:
        rates = tuple(max(1, kernel // 2) for kernel in kernels)
        if kernels != KERNELS and found.positive("hop_length") != prod(rates):
            found.note_default("upsample_rates", list(rates), "half of each kernel,")
    if len(rates) != len(kernels):
        raise found.wrong_value("upsample_rates", f"{len(kernels)} rates, one for each ups.N", list(rates))
    for i, (rate, kernel) in enumerate(zip(rates, kernels, strict=True)):
        if kernel < rate or (kernel - rate) % 2:
            raise found.refuse(
                f"ups.{i}.weight",
                f"a kernel that is longer than its rate {rate} by an even number",
                f"{kernel}",
            )
    return rates


def _dilations(found: Evidence, kernels: int) -> tuple[tuple[int, ...], ...]:
    key = "resblock_dilation_sizes"
    counts = [found.count(f"resblocks.{i}.convs1.") for i in range(kernels)]
    said = found.config.get(key)
    if said is None:
        if any(count not in DILATIONS for count in counts):
            raise CheckpointError(
                f"{found.config_name}: {key} is missing, and tensors do not tell dilations; the residual blocks of "
                f"{found.weights.source} have {counts} dilated convolutions. Add {key} to "
                'configs/vocoder_*.json, or as "vocoder": {"' + key + '": […]} to the config of the set'
            )
        used = tuple(DILATIONS[count] for count in counts)
        found.note_default(key, list(map(list, used)))
        return used
    if not isinstance(said, list) or len(said) != kernels:
        raise found.wrong_value(key, f"a list for each of the {kernels} kernels", said)
    dilations = tuple(found.as_positives(key, item) for item in said)
    if [len(item) for item in dilations] != counts:
        raise found.wrong_value(key, f"{counts} dilations (as many as convolutions in the tensors)", said)
    return dilations


def hifigan_check(vocoder: Vocoder) -> GraphCheck:
    random = generator()

    def case(batch: int, frames: int) -> Arrays:
        return {"mel": random.random((batch, frames, vocoder.sizes.mel_bins), dtype=np.float32)}

    def reference(case: Arrays) -> Arrays:
        with torch.inference_mode():
            return to_numpy(samples=vocoder(torch.from_numpy(case["mel"])))

    return GraphCheck("vocoder", parameters_of(vocoder), [case(1, 6), case(1, 1), case(2, 25)], reference)
