"""WAV files: whole or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from muomni.errors import InputError, OutputError
from muomni.media.wav import check_writable, wav_bytes, write_wav

SAMPLES = np.random.default_rng(0).uniform(-1, 1, 5000).astype(np.float32)


def test_samples_survive_to_16_bits(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    write_wav(path, SAMPLES, 16_000)
    read, rate = soundfile.read(path, dtype="int16")
    assert rate == 16_000 and (read == np.rint(SAMPLES * 32767)).all()
    assert soundfile.info(path).subtype == "PCM_16" and list(tmp_path.iterdir()) == [path]


def test_the_bytes_for_a_pipe_are_those_of_the_file(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", SAMPLES, 16_000)
    assert wav_bytes(SAMPLES, 16_000) == (tmp_path / "a.wav").read_bytes()


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
        (np.array([-np.inf, np.nan, 0.0]), "2 of 3"),
        (np.array([-1.01, 0.0]), "1.01"),
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
        ("a.wav.txt", InputError),
        (".wav", InputError),
        ("x" * 300 + ".wav", OutputError),
        ("a\0b.wav", OutputError),
        ("nowhere/a.wav", OutputError),
        ("folder.wav", OutputError),
        ("file/a.wav", OutputError),
    ):
        with pytest.raises(error):
            check_writable(tmp_path / name)
    assert check_writable(tmp_path / "new.wav") == tmp_path / "new.wav"
    assert not (tmp_path / "new.wav").exists()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats_of_every_width(tmp_path: Path, dtype: type[np.floating[Any]]) -> None:
    path = tmp_path / "a.WAV"
    write_wav(path, np.array([0, 1, -1, 0.5, 1 + 1e-4], dtype), 8_000)
    read, rate = soundfile.read(path, dtype="int16")
    assert rate == 8_000 and read.tolist() == [0, 32767, -32767, 16384, 32767]


def test_no_samples_make_an_empty_wav(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", np.zeros(0, np.float32), 16_000)
    assert soundfile.info(tmp_path / "a.wav").frames == 0


@pytest.mark.parametrize("rate", [0, -1, 16_000.0, 2**31, None])
def test_impossible_rates_are_refused(tmp_path: Path, rate: Any) -> None:
    with pytest.raises(InputError, match="sample rate"):
        write_wav(tmp_path / "a.wav", SAMPLES, rate)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize("interruption", [OSError(5, "Input/output error"), KeyboardInterrupt()])
def test_nothing_is_left_of_an_interrupted_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, interruption: BaseException
) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(b"older")

    def fail(*_: Any) -> None:
        raise interruption

    target = os if step == "fsync" else Path
    with monkeypatch.context() as patched:
        patched.setattr(target, step, fail)
        expected = OutputError if isinstance(interruption, OSError) else KeyboardInterrupt
        with pytest.raises(expected):
            write_wav(path, SAMPLES, 16_000)
    assert path.read_bytes() == b"older" and list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(sys.platform == "win32", reason="no limits on file sizes there")
def test_a_file_that_hits_the_limit_leaves_the_older_one(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(b"older")
    script = """
        import resource, sys
        import numpy as np
        from muomni.errors import OutputError
        from muomni.media.wav import write_wav
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
        try:
            write_wav(sys.argv[1], np.zeros(100_000, np.float32), 16_000)
        except OutputError as error:
            print(error)
    """
    result = subprocess.run(
        [sys.executable, "-B", "-c", textwrap.dedent(script), str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0 and result.stderr == ""
    assert "a.wav: could not be written: File too large" in result.stdout
    assert path.read_bytes() == b"older" and list(tmp_path.iterdir()) == [path]


def test_a_link_is_followed_and_kept(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    link, target = tmp_path / "a.wav", tmp_path / "there" / "b.wav"
    link.symlink_to(target)
    write_wav(link, SAMPLES, 16_000)
    assert link.is_symlink() and soundfile.info(target).frames == len(SAMPLES)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes there")
def test_a_pipe_is_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.wav")
    with pytest.raises(OutputError, match="pipe"):
        check_writable(tmp_path / "pipe.wav")


def test_where_one_may_not_write(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir(mode=0o500)
    if os.access(tmp_path / "mine", os.W_OK):
        pytest.skip("this user may write everywhere (root, Windows)")
    (tmp_path / "old.wav").touch(mode=0o400)
    for name, says in (("mine/a.wav", "no permission"), ("old.wav", "read-only")):
        with pytest.raises(OutputError, match=says):
            check_writable(tmp_path / name)
