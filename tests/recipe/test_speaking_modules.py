"""What speaking adds to the torch modules: the spectral vocoder, and nothing to a reference Talker."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from muomni_export.modules.decoder import DecoderSizes
from muomni_export.modules.talker import Talker, TalkerSizes
from muomni_export.modules.vocoder import SpectralSizes, SpectralVocoder, inverse_basis


def small_vocoder() -> SpectralVocoder:
    torch.manual_seed(0)
    return SpectralVocoder(SpectralSizes(8, width=16, hidden=16, layers=2, n_fft=64, hop_samples=16))


def test_samples_depend_on_the_receptive_field_only() -> None:
    vocoder = small_vocoder()
    reach = vocoder.sizes.receptive_field_frames()
    mel = torch.rand(1, 60, 8)
    changed = mel.clone()
    changed[:, 30] += 1
    hop = vocoder.sizes.hop_samples
    difference = (vocoder(mel) - vocoder(changed)).abs().detach()[0].view(60, hop).amax(dim=1)
    moved = difference.nonzero().flatten()
    assert moved.min() >= 30 - reach
    assert moved.max() <= 30 + reach
    assert len(moved) > reach


def test_chunks_with_context_are_the_whole() -> None:
    vocoder = small_vocoder()
    reach, hop = vocoder.sizes.receptive_field_frames(), vocoder.sizes.hop_samples
    mel = torch.rand(1, 60, 8)
    whole = vocoder(mel)
    chunk = vocoder(mel[:, 20 - reach : 30 + reach])[:, reach * hop : (reach + 10) * hop]
    assert torch.allclose(chunk, whole[:, 20 * hop : 30 * hop], atol=1e-6)


def test_the_basis_inverts_the_transform() -> None:
    samples = torch.randn(1, 4000) / 10
    window = torch.hann_window(1024)
    padded = F.pad(samples, (512, 512))
    spectrum = torch.stft(padded, 1024, 256, window=window, center=False, return_complex=True)
    parts = torch.cat((spectrum.real, spectrum.imag), dim=1)
    made = F.conv_transpose1d(parts, inverse_basis(1024, 256), stride=256)[0, 0, 512:4000]
    assert torch.allclose(made[512:-512], samples[0, 512 : 3488 - 512], atol=1e-5)


def test_a_reference_talker_has_nothing_more() -> None:
    talker = Talker(TalkerSizes(DecoderSizes(32, 1, 2, 1, 32), codebook_size=16, frame_rate_hz=12.5))
    names = {name.split(".")[0] for name in talker.state_dict()}
    assert names == {"emb", "start", "blocks", "norm", "base_head", "res_head"}
