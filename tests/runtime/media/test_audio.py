"""Sound of every kind becomes the right samples, or a clear error."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from muomni.errors import MediaError
from muomni.media.audio import load_audio

RATE = 16_000
TONE = (0.5 * np.sin(2 * np.pi * 440 * np.arange(RATE // 2) / RATE)).astype(np.float32)


def encoded(samples: np.ndarray, rate: int = RATE, kind: str = "WAV", subtype: str | None = None) -> bytes:
    stream = io.BytesIO()
    soundfile.write(stream, samples, rate, format=kind, subtype=subtype)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("kind", "subtype", "close"),
    [
        ("WAV", "PCM_U8", 0.01),
        ("WAV", "PCM_16", 1e-4),
        ("WAV", "PCM_24", 1e-6),
        ("WAV", "PCM_32", 1e-6),
        ("WAV", "FLOAT", 0),
        ("WAV", "DOUBLE", 1e-7),
        ("FLAC", "PCM_16", 1e-4),
        ("AIFF", "PCM_16", 1e-4),
        ("OGG", "VORBIS", 0.05),
        ("W64", "PCM_16", 1e-4),
        ("RF64", "PCM_16", 1e-4),
        ("CAF", "PCM_16", 1e-4),
        ("CAF", "ALAC_16", 1e-4),
        ("NIST", "PCM_16", 1e-4),
        ("VOC", "PCM_16", 1e-4),
        ("WAV", "ULAW", 0.02),
    ],
)
def test_formats_and_widths(kind: str, subtype: str, close: float) -> None:
    got = load_audio(encoded(TONE, kind=kind, subtype=subtype), RATE)
    assert got.dtype == np.float32 and got.shape == TONE.shape
    assert np.abs(got - TONE).max() <= close


def test_mp3_is_heard() -> None:
    got = load_audio(encoded(TONE, kind="MP3"), RATE)
    spectrum = np.abs(np.fft.rfft(got[:4096]))
    assert abs(spectrum.argmax() * RATE / 4096 - 440) < 8


@pytest.mark.parametrize("channels", range(1, 7))
def test_channels_are_averaged(channels: int) -> None:
    weights = np.linspace(0.1, 1, channels, dtype=np.float32)
    got = load_audio(encoded(TONE[:, None] * weights, subtype="FLOAT"), RATE)
    assert np.abs(got - TONE * weights.mean()).max() < 1e-6


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 48_000, 96_000])
def test_rates_are_converted(rate: int) -> None:
    tone = np.sin(2 * np.pi * 440 * np.arange(rate) / rate).astype(np.float32)
    got = load_audio((tone, rate), RATE)
    assert len(got) == RATE
    expected = np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)
    assert np.abs(got - expected)[200:-200].max() < 2e-3


@pytest.mark.parametrize(
    "array",
    [
        TONE.astype(np.float64),
        np.rint(TONE * 2**15).astype(np.int16),
        np.rint(TONE * 2.0**31).astype(np.int32),
        np.rint(TONE * 128 + 128).astype(np.uint8),
        np.stack((TONE, TONE), axis=1),
    ],
)
def test_arrays_of_every_type(array: np.ndarray) -> None:
    assert np.abs(load_audio((array, RATE), RATE) - TONE).max() < 0.01


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ((np.zeros(0, np.float32), RATE), "no samples"),
        ((np.array([0.0, np.nan, np.inf]), RATE), "2 of 3 samples"),
        ((np.array([0.0, -32768.0, 12.0]), RATE), "got up to 32768"),
        ((TONE, 10), "10"),
        ((TONE, 10**7), "10000000"),
        ((TONE, 1.5), "1.5"),
        ((TONE, None), "None"),
        ((TONE, "fast"), "fast"),
        ((np.zeros((2, 2, 2)), RATE), "(2, 2, 2)"),
        ((np.zeros((2, 9000)), RATE), "transpose"),
        ((np.zeros(3, complex), RATE), "complex"),
        ((np.zeros(3, np.uint16), RATE), "uint16"),
        ((np.zeros(3, bool), RATE), "bool"),
        ((TONE, True), "True"),
        ((TONE, -8000), "-8000"),
        ((np.float32(0), RATE), "()"),
        ((np.zeros((3, 0)), RATE), "(3, 0)"),
        ((np.zeros((99, 65)), RATE), "64 channels"),
        ((np.broadcast_to(np.float32(0), (3601 * 1000,)), 1000), "3601 s"),
        ((TONE,), "1 values"),
        (7, "got int"),
        (b"", "0 bytes"),
        (b"RIFF but not really", "not audio"),
        (encoded(TONE[:0]), "no samples"),
        (encoded(np.array([0, np.nan], np.float32), subtype="FLOAT"), "NaN"),
        (encoded(np.array([0, 16384], np.float32), subtype="FLOAT"), "got up to 16384"),
        (encoded(TONE)[:2000], "truncated"),
        (encoded(TONE, kind="FLAC")[:2000], "audio"),
        (encoded(TONE)[:-1], "truncated"),
        (encoded(TONE)[:44], "truncated"),
        (encoded(TONE)[:30], "truncated"),
        (encoded(TONE, kind="AIFF")[:2000], "truncated"),
        (encoded(TONE, kind="AU")[:2000], "truncated"),
        (encoded(TONE, kind="OGG")[:-100], "truncated"),
        (encoded(TONE, kind="MP3")[:-100], "truncated"),
        (encoded(TONE, rate=500), "500"),
    ],
)
def test_unusable_sound_is_refused(source: Any, says: str) -> None:
    with pytest.raises(MediaError) as caught:
        load_audio(source, RATE)
    assert says in str(caught.value)


def test_a_wav_streamed_to_a_pipe_promises_nothing() -> None:
    data = bytearray(encoded(TONE))
    data[4:8] = data[40:44] = b"\xff\xff\xff\xff"
    assert len(load_audio(bytes(data), RATE)) == len(TONE)


def test_files_that_are_not_there(tmp_path: Path) -> None:
    (tmp_path / "empty.wav").touch()
    for path, says in (
        (tmp_path / "no.wav", "no such file"),
        (tmp_path, "folder"),
        (tmp_path / "empty.wav", "empty"),
    ):
        with pytest.raises(MediaError, match=says):
            load_audio(path, RATE)


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32, np.int64])
def test_whole_numbers_reach_minus_one_at_their_least(dtype: type[np.signedinteger[Any]]) -> None:
    least = np.iinfo(dtype).min
    got = load_audio((np.array([least, 0, least // 2], dtype), RATE), RATE)
    assert got.tolist() == [-1.0, 0.0, -0.5]


def test_unsigned_bytes_are_centred() -> None:
    assert load_audio((np.array([0, 128, 192], np.uint8), RATE), RATE).tolist() == [-1.0, 0.0, 0.5]


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000, 96_000])
def test_files_of_any_rate_become_the_models(rate: int) -> None:
    tone = (0.5 * np.sin(2 * np.pi * 440 * np.arange(rate // 2) / rate)).astype(np.float32)
    got = load_audio(encoded(tone, rate), RATE)
    assert len(got) == RATE // 2
    assert np.abs(got - TONE)[200:-200].max() < 2e-3


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "AIFF", "OGG", "MP3"])
def test_stereo_files_are_averaged(kind: str) -> None:
    got = load_audio(encoded(np.stack((TONE, 0 * TONE), axis=1), kind=kind), RATE)
    assert np.sqrt(np.mean(got**2)) == pytest.approx(np.sqrt(np.mean(TONE**2)) / 2, rel=0.05)


def test_the_callers_samples_are_left_alone() -> None:
    samples = TONE.copy()
    got = load_audio((samples, RATE), RATE)
    got[:] = 0
    assert (samples == TONE).all()


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "AIFF", "AU", "W64", "RF64"])
def test_no_cut_of_a_file_shortens_the_sound_unsaid(kind: str) -> None:
    data = encoded(TONE, kind=kind)
    for cut in (*np.linspace(1, len(data) - 1, 40).astype(int), *range(len(data) - 9, len(data))):
        with pytest.raises(MediaError):
            load_audio(data[:cut], RATE)


def test_an_ogg_cut_inside_a_page_is_refused() -> None:
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 3 * RATE).astype(np.float32)
    data = encoded(noise, kind="OGG")
    pages = [at for at in range(len(data)) if data.startswith(b"OggS\0", at)]
    assert len(pages) > 4
    for cut in np.linspace(1, len(data) - 1, 40).astype(int):
        if cut not in pages:  # a cut between two pages is not seen
            with pytest.raises(MediaError):
                load_audio(data[:cut], RATE)


def test_a_wav_with_chunks_before_and_after_its_samples() -> None:
    plain = encoded(TONE)
    extra = b"LIST" + struct.pack("<I", 5) + b"hello\0"  # odd lengths are padded
    body = plain[12:36] + extra + plain[36:] + extra
    data = b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WAVE" + body
    assert (load_audio(data, RATE) == load_audio(plain, RATE)).all()


@pytest.mark.parametrize("length", [0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF])
def test_a_streamed_wav_of_unknown_length_is_read_whole(length: int) -> None:
    data = bytearray(encoded(TONE))
    data[4:8] = data[40:44] = struct.pack("<I", length)
    assert len(load_audio(bytes(data), RATE)) == len(TONE)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "cut.wav"
    path.write_bytes(encoded(TONE)[:1000])
    with pytest.raises(MediaError, match=r"cut\.wav: the file is truncated: .* 956 are there"):
        load_audio(path, RATE)


def test_an_mp3_cut_between_two_frames_is_found() -> None:
    """Every cut where a frame begins: libsndfile plays what is left without a word."""
    data = encoded(np.tile(TONE, 4), kind="MP3")
    starts = [
        at for at in range(len(data) // 4, len(data) - 4) if data[at : at + 2] == data[:2] == b"\xff\xf3"
    ]
    assert len(starts) > 5
    for at in starts:
        with pytest.raises(MediaError, match="truncated"):
            load_audio(data[:at], RATE)
    assert len(load_audio(data, RATE)) >= 4 * len(TONE)
