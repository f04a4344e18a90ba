"""WAV files: whole or not at all."""

from __future__ import annotations

import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from muomni.errors import InputError, OutputError
from muomni.wav import check_writable, write_wav

SAMPLES = np.random.default_rng(0).uniform(-1, 1, 5000).astype(np.float32)


def test_samples_survive_to_16_bits(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    write_wav(path, SAMPLES, 16_000)
    read, rate = soundfile.read(path, dtype="int16")
    assert rate == 16_000 and (read == np.rint(SAMPLES * 32767)).all()
    assert soundfile.info(path).subtype == "PCM_16" and list(tmp_path.iterdir()) == [path]


def test_an_older_file_is_replaced_or_kept_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.wav"
    write_wav(path, SAMPLES, 16_000)
    before = path.read_bytes()

    def fail(self: Any, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(wave.Wave_write, "writeframes", fail)
        with pytest.raises(OutputError, match=r"a\.wav"):
            write_wav(path, SAMPLES[:10], 16_000)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]
    write_wav(path, SAMPLES[:10], 8_000)
    assert len(soundfile.read(path)[0]) == 10


@pytest.mark.parametrize(
    ("samples", "says"),
    [
        (np.array([0.0, np.nan]), "finite"),
        (np.array([0.0, 1.5]), "1.5"),
        (np.zeros((2, 2)), "(n,)"),
        (np.zeros(3, np.int16), "int16"),
    ],
)
def test_unusable_samples_are_refused(tmp_path: Path, samples: np.ndarray, says: str) -> None:
    with pytest.raises(InputError) as caught:
        write_wav(tmp_path / "a.wav", samples, 16_000)
    assert says in str(caught.value) and not list(tmp_path.iterdir())


def test_where_a_file_cannot_go(tmp_path: Path) -> None:
    (tmp_path / "folder.wav").mkdir()
    (tmp_path / "file").touch()
    for name, error in (
        ("a.mp3", InputError),
        ("a", InputError),
        ("nowhere/a.wav", OutputError),
        ("folder.wav", OutputError),
        ("file/a.wav", OutputError),
    ):
        with pytest.raises(error):
            check_writable(tmp_path / name)
    assert check_writable(tmp_path / "new.wav") == tmp_path / "new.wav"
    assert not (tmp_path / "new.wav").exists()
