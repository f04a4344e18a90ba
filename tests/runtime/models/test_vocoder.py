"""Vocoders by kind, mel normalisation and the stretch between frame rates."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from muomni import Omni
from muomni.bundle.demo import demo_bundle
from muomni.bundle.folder import sha256_of
from muomni.bundle.manifest import MANIFEST_NAME
from muomni.errors import BundleError, InputError
from muomni.models.vocoder import GriffinLim, Spectral, normalise_mel, stretch

MEL = np.random.default_rng(0).random((7, 4), dtype=np.float32) * 5 - 2


def test_normalise_fills_zero_to_one() -> None:
    out = normalise_mel(MEL)
    assert out.min() == 0 and out.max() == 1
    assert np.allclose(out, (MEL - MEL.min()) / (MEL.max() - MEL.min()))


def test_a_constant_mel_becomes_zeros() -> None:
    assert not normalise_mel(np.full((3, 2), 4.0, dtype=np.float32)).any()


def test_equal_rates_change_nothing() -> None:
    assert stretch(MEL, 62.5, 62.5) is MEL


@pytest.mark.parametrize(("source", "target"), [(12.5, 62.5), (25.0, 62.5), (62.5, 12.5), (10.0, 86.1)])
def test_the_duration_is_kept(source: float, target: float) -> None:
    out = stretch(MEL, source, target)
    assert abs(len(out) / target - len(MEL) / source) <= 0.5 / target
    assert out.min() >= MEL.min() and out.max() <= MEL.max()


def test_a_straight_line_stays_straight() -> None:
    line = np.arange(10, dtype=np.float32)[:, None]
    out = stretch(line, 10.0, 50.0)[:, 0]
    inner = out[(out > 0) & (out < 9)]
    assert np.allclose(np.diff(inner), 0.2, atol=1e-6)
    assert out[0] == 0 and out[-1] == 9


def with_griffin_lim(folder: Path, filters: Any) -> Omni:
    """The demo, its spectral vocoder replaced by Griffin-Lim with these filters."""
    bundle = folder / "bundle"
    shutil.copytree(demo_bundle(), bundle)
    np.save(bundle / "filters.npy", filters)
    path = bundle / MANIFEST_NAME
    manifest = json.loads(path.read_text(encoding="utf-8"))
    file = bundle / "filters.npy"
    manifest["files"][file.name] = {"bytes": file.stat().st_size, "sha256": sha256_of(file)}
    sizes = {key: manifest["vocoder"][key] for key in ("sample_rate_hz", "hop_samples", "n_fft", "mel_bins")}
    kind = {"kind": "griffin_lim", "normalisation": "fixed_range", "filters": file.name, "iterations": 2}
    manifest["vocoder"] = sizes | kind
    path.write_text(json.dumps(manifest), encoding="utf-8")
    return Omni.load(bundle, device="cpu")


def filter_bank() -> np.ndarray:
    return np.abs(np.random.default_rng(0).standard_normal((513, 80))).astype(np.float32)


@pytest.mark.parametrize("cuts", [[3, 30], range(1, 40)], ids=["pieces", "frame by frame"])
def test_the_shipped_vocoder_is_spectral_and_streams_what_it_says_at_once(cuts: Sequence[int]) -> None:
    vocoder = Omni.load(demo_bundle(), device="cpu").vocoder
    assert isinstance(vocoder, Spectral)
    mel = np.random.default_rng(0).random((40, 80), dtype=np.float32)
    stream = vocoder.stream()
    made = np.concatenate([*(stream.feed(piece) for piece in np.split(mel, cuts)), stream.finish()])
    assert np.abs(made - vocoder.samples(mel)).max() < 1e-5


def test_griffin_lim_speaks_whole_and_has_no_stream(tmp_path: Path) -> None:
    omni = with_griffin_lim(tmp_path, filter_bank())
    given: list[np.ndarray] = []
    speech = omni.speak("yes.", on_audio=given.append)
    assert isinstance(omni.vocoder, GriffinLim) and not hasattr(omni.vocoder, "stream")
    assert len(given) == 1 and np.array_equal(given[0], speech.samples)
    assert len(speech.samples) == 256 * len(speech.codes)


@pytest.mark.parametrize("filters", [filter_bank()[1:], filter_bank().T, filter_bank().astype(np.int64)])
def test_filters_that_do_not_fit_the_manifest_are_refused(tmp_path: Path, filters: Any) -> None:
    omni = with_griffin_lim(tmp_path, filters)
    with pytest.raises(BundleError, match=r"filters\.npy: expected floats of shape \(513, 80\), got"):
        _ = omni.vocoder


@pytest.mark.parametrize("shape", [(0, 80), (3, 79), (80,)])
def test_a_mel_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    vocoder = Omni.load(demo_bundle(), device="cpu").vocoder
    with pytest.raises(InputError, match=r"mel: expected \(T, 80\)"):
        vocoder.samples(np.zeros(shape, dtype=np.float32))
