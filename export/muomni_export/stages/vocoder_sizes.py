"""The vocoder and its sizes, and the rate of what it (or Griffin-Lim) makes."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from muomni.errors import CheckpointError
from muomni_export.checkpoint.checkpoint_set import StageWeights
from muomni_export.checkpoint.evidence import Evidence
from muomni_export.modules.vocoder import SpectralSizes, SpectralVocoder, Vocoder, VocoderSizes

HIFI_GAN_DILATIONS = (1, 3, 5)


@dataclass(frozen=True)
class SpeechFrontEnd:
    """The mel spectrogram that speech is made from."""

    sample_rate_hz: int = 16_000
    n_fft: int = 1024
    hop_samples: int = 256


def make_vocoder(weights: StageWeights, notes: list[str]) -> Vocoder | SpectralVocoder:
    """The kind of vocoder whose tensors these are, in its size."""
    if "spectrum_head.weight" in weights.state:
        return SpectralVocoder(spectral_sizes(weights, notes))
    return Vocoder(vocoder_sizes(weights, notes))


def spectral_sizes(weights: StageWeights, notes: list[str]) -> SpectralSizes:
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


def vocoder_sizes(weights: StageWeights, notes: list[str]) -> VocoderSizes:
    """Sizes of a HiFi-GAN generator; upsampling rates and dilations come from the config, or are refused.

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


def speech_front_end(
    weights: StageWeights, stage: str, default: SpeechFrontEnd, notes: list[str]
) -> SpeechFrontEnd:
    """``sample_rate`` (Hz), ``n_fft`` and ``hop_length`` (samples) from the config of the vocoder or Talker.

    Raises:
        CheckpointError: values that are no positive whole numbers.
    """
    found = Evidence(stage, weights, notes)
    return SpeechFrontEnd(
        found.positive("sample_rate") or default.sample_rate_hz,
        found.positive("n_fft") or default.n_fft,
        found.positive("hop_length") or default.hop_samples,
    )


def _upsampling(found: Evidence, kernels: tuple[int, ...]) -> tuple[int, ...]:
    rates = found.positives("upsample_rates")
    if rates is None:
        rates = tuple(max(1, kernel // 2) for kernel in kernels)
        shown = ", ".join(map(str, rates))
        found.note(
            f"upsample_rates is not in the config; used half of each kernel ({shown}, hop {prod(rates)})"
        )
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
        if any(count != len(HIFI_GAN_DILATIONS) for count in counts):
            raise CheckpointError(
                f"{found.config_name}: {key} is missing, and tensors do not tell dilations; the "
                f"residual blocks of {found.weights.source} have {counts} dilated convolutions. "
                f"Add {key} to the config"
            )
        found.note(f"{key} is not in the config; used HiFi-GAN's 1, 3, 5")
        return (HIFI_GAN_DILATIONS,) * kernels
    if not isinstance(said, list) or len(said) != kernels:
        raise found.wrong_value(key, f"a list for each of the {kernels} kernels", said)
    dilations = tuple(found.as_positives(key, item) for item in said)
    if [len(item) for item in dilations] != counts:
        raise found.wrong_value(key, f"{counts} dilations (as many as convolutions in the tensors)", said)
    return dilations
