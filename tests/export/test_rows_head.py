"""A head in 8 bits with another product for several rows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import muomni
from muomni_export import export
from muomni_export.export import export_bundle
from muomni_export.synthetic.checkpoint_set import set_sizes, write_random_set
from muomni_export.verify import verify_bundle

VOCABULARY = 3001  # no multiple of anything that a kernel works by


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """With one product for the head, and with two."""
    sizes = set_sizes("micro")
    sizes = replace(sizes, thinker=replace(sizes.thinker, vocabulary=VOCABULARY))
    folder = tmp_path_factory.mktemp("rows head")
    checkpoint = write_random_set(folder / "set", sizes, without=("vision", "audio", "talker", "ocr"))
    export_bundle(checkpoint, folder / "one", precision="int8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export, "LARGE_HEAD", 0)
        export_bundle(checkpoint, folder / "two", precision="int8")
    assert [row.graph for row in verify_bundle(folder / "two", checkpoint)] == ["thinker"]
    return folder / "one", folder / "two"


def logits_of(bundle: Path, rows: int, last: int) -> NDArray[np.float32]:
    """Of a step of that many rows, each of which has read other ids; ``last`` is fed to the last one."""
    omni = muomni.Omni.load(bundle, device="cpu", threads=1)
    cache = omni.thinker.start(8, rows)
    for row in range(rows):
        omni.thinker.feed(cache, [3 + row, 40 + row], row=row)
    return omni.thinker.step(cache, [*range(7, 6 + rows), last]).copy()


def test_a_lone_row_and_one_of_several_differ_in_the_last_bits_alone(bundles: tuple[Path, Path]) -> None:
    lone, several = logits_of(bundles[1], 1, 7), logits_of(bundles[1], 2, 8)
    np.testing.assert_allclose(several[:1], lone, atol=1e-5 * np.abs(lone).max())


def test_several_rows_are_as_near_as_8_bits_are(bundles: tuple[Path, Path]) -> None:
    one, two = (logits_of(bundle, 6, 12) for bundle in bundles)
    scale = np.abs(one).max()
    assert 0 < np.abs(one - two).max() < 0.02 * scale
    assert (one.argmax(axis=1) == two.argmax(axis=1)).all()


def test_the_bits_of_a_row_depend_on_no_other_row(bundles: tuple[Path, Path]) -> None:
    few, many, other = (logits_of(bundles[1], rows, last) for rows, last in ((2, 8), (8, 14), (8, 2000)))
    np.testing.assert_array_equal(few, many[:2])
    np.testing.assert_array_equal(many[:7], other[:7])
    assert (many[7] != other[7]).any()


def test_a_small_head_is_stored_once(bundles: tuple[Path, Path]) -> None:
    one, two = (sum(f.stat().st_size for f in bundle.glob("thinker.onnx*")) for bundle in bundles)
    width = muomni.Omni.load(bundles[0]).manifest.thinker.width
    assert one + width * VOCABULARY < two
