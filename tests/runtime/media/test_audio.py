"""Sound of every kind becomes the right samples, or a clear error."""

from __future__ import annotations

import io
import os
import struct
import sys
import threading
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from muomni.errors import InputError, MediaError
from muomni.media.audio import duration_seconds, load_audio

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
        ((RATE, TONE), "swap them"),
        (7, "got int"),
        (b"", "0 bytes"),
        (b"RIFF but not really", "not audio"),
        (encoded(TONE[:0]), "no samples"),
        (encoded(np.array([0, np.nan], np.float32), subtype="FLOAT"), "NaN"),
        (encoded(np.array([0, 16384], np.float32), subtype="FLOAT"), "got up to 16384"),
        (encoded(TONE)[:2000], "truncated"),
        (encoded(TONE, kind="FLAC")[:2000], "the given bytes"),
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


@pytest.mark.parametrize("length", [1, 99, 2**31, 2**32 - 1])
def test_a_wrong_length_of_what_follows_the_samples_does_not_matter(length: int) -> None:
    data = encoded(TONE) + b"LIST" + struct.pack("<I", length) + b"INFOISFT"
    notes: list[str] = []
    assert len(load_audio(data, RATE, notes=notes)) == len(TONE) and notes == []


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


HEARD = [np.rint(TONE * 32767).astype("<i2").tobytes()]


def killed_wav(riff: int, data: int, chunks: bytes = b"") -> bytes:
    """A WAV of TONE with these two lengths in its header."""
    form = struct.pack("<HHIIHH", 1, 1, RATE, 2 * RATE, 2, 16)
    head = b"RIFF" + struct.pack("<I", riff) + b"WAVEfmt " + struct.pack("<I", 16) + form + chunks
    return head + b"data" + struct.pack("<I", data) + HEARD[0]


@pytest.mark.parametrize("riff", [0, 36, 0x7FFF_FFFF, 0xFFFF_FFFF])
@pytest.mark.parametrize("data", [0, 0x7FFF_FFDB, 0xFFFF_FFFF])
def test_a_recorder_that_was_killed_is_read_to_the_end_with_a_note(riff: int, data: int) -> None:
    notes: list[str] = []
    got = load_audio(killed_wav(riff, data), RATE, notes=notes)
    assert len(got) == len(TONE) and np.abs(got - TONE).max() < 1e-4
    assert len(notes) == 1 and "header does not tell its length" in notes[0]


def test_other_headers_that_promise_nothing() -> None:
    rf64 = bytearray(encoded(TONE, kind="RF64"))
    at = rf64.index(b"ds64")
    rf64[at + 8 : at + 32] = bytes(24)
    aiff = bytearray(encoded(TONE, kind="AIFF"))
    aiff[4:8] = bytes(4)
    at = aiff.index(b"SSND")
    aiff[at + 4 : at + 8] = bytes(4)
    flac = bytearray(encoded(TONE, kind="FLAC"))
    flac[21] &= 0xF0  # 36 bits of STREAMINFO: the number of samples
    flac[22:26] = bytes(4)
    for data in (rf64, aiff, flac):
        notes: list[str] = []
        assert np.abs(load_audio(bytes(data), RATE, notes=notes) - TONE).max() < 1e-4
        assert len(notes) == 1 and "header does not tell its length" in notes[0]


def test_a_wav_that_is_really_empty_is_said_to_be() -> None:
    empty = encoded(TONE[:0])[:40] + bytes(4) + b"LIST" + struct.pack("<I", 400) + bytes(400)
    whole = empty[:4] + struct.pack("<I", len(empty) - 8) + empty[8:]
    with pytest.raises(MediaError, match="no samples"):
        load_audio(whole, RATE)


def test_whole_sound_has_no_notes() -> None:
    for kind in ("WAV", "FLAC", "OGG", "MP3", "AIFF"):
        notes: list[str] = []
        load_audio(encoded(TONE, kind=kind), RATE, notes=notes)
        assert notes == [], kind


@pytest.mark.parametrize(
    ("kind", "subtype"),
    [
        ("WAV", "GSM610"),
        ("WAV", "IMA_ADPCM"),
        ("WAV", "MS_ADPCM"),
        ("WAV", "G721_32"),
        ("AU", "G723_24"),
        ("AIFF", "GSM610"),
    ],
)
def test_codecs_of_telephones_are_heard(kind: str, subtype: str) -> None:
    got = load_audio(encoded(TONE, 8000, kind, subtype), 8000)
    heard = np.abs(np.fft.rfft(got[1000:5000]))
    assert len(got) >= len(TONE) and heard.argmax() == np.abs(np.fft.rfft(TONE[1000:5000])).argmax()


def phone_memo(codec: str, container: str, rate: int = 48_000) -> bytes:
    av = pytest.importorskip("av")
    tone = (0.5 * np.sin(2 * np.pi * 440 * np.arange(rate) / rate)).astype(np.float32)
    stream = io.BytesIO()
    with av.open(stream, "w", format=container) as out:
        track = out.add_stream(codec, rate=rate)
        track.layout = "stereo"
        frame = av.AudioFrame.from_ndarray(np.stack((tone, tone)), format="fltp", layout="stereo")
        frame.sample_rate = rate
        for piece in av.AudioResampler(format=track.format, frame_size=track.frame_size or 1152).resample(
            frame
        ):
            out.mux(track.encode(piece))
        out.mux(track.encode())
    return stream.getvalue()


@pytest.mark.parametrize(
    ("codec", "container"),
    [
        ("aac", "ipod"),
        ("aac", "adts"),
        ("alac", "mov"),
        ("libopus", "webm"),
        ("mp2", "mp2"),
        ("ac3", "ac3"),
    ],
)
def test_what_libsndfile_does_not_read_pyav_does(codec: str, container: str) -> None:
    data = phone_memo(codec, container)
    notes: list[str] = []
    got = load_audio(data, RATE, notes=notes)
    assert len(got) == pytest.approx(RATE, abs=2000) and notes == []
    assert abs(np.abs(np.fft.rfft(got[4000:12_000])).argmax() * 2 - 440) <= 2
    assert np.abs(got).max() == pytest.approx(0.5, abs=0.05)


def test_without_pyav_the_error_says_what_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    data = phone_memo("aac", "ipod")
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MediaError, match=r"(?s)M4A.*muomni\[video\].*ffmpeg"):
        load_audio(data, RATE)


def test_a_cut_m4a_is_refused() -> None:
    data = phone_memo("aac", "ipod")
    for cut in np.linspace(1, len(data) - 1, 20).astype(int):
        with pytest.raises(MediaError):
            load_audio(data[:cut], RATE)


def mp3_without_a_length(samples: np.ndarray, bits_per_second: int) -> bytes:
    av = pytest.importorskip("av")
    stream = io.BytesIO()
    with av.open(stream, "w", format="mp3", options={"write_xing": "0"}) as out:
        track = out.add_stream("libmp3lame", rate=RATE)
        track.layout, track.bit_rate = "mono", bits_per_second
        frame = av.AudioFrame.from_ndarray(samples[None].astype(np.float32), format="fltp", layout="mono")
        frame.sample_rate = RATE
        for piece in av.AudioResampler(format=track.format, frame_size=576).resample(frame):
            out.mux(track.encode(piece))
        out.mux(track.encode())
    return stream.getvalue()


def test_an_mp3_of_variable_bit_rate_without_a_length_is_read_whole_or_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """libsndfile goes by the first frame's bit rate, and would stop at a fraction."""
    quiet = mp3_without_a_length(np.tile(TONE, 12), 16_000)
    data = mp3_without_a_length(np.tile(TONE, 4), 128_000) + quiet[quiet.index(b"\xff\xf3") :]
    assert len(load_audio(data, RATE)) == pytest.approx(8 * RATE, abs=4000)
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MediaError, match="does not tell its length"):
        load_audio(data, RATE)


def test_joined_mp3_files_are_heard_to_the_end() -> None:
    pytest.importorskip("av")
    one = encoded(np.tile(TONE, 4), kind="MP3")
    assert len(load_audio(one + one, RATE)) > 7.9 * len(TONE)


def test_an_ogg_without_its_end_mark_is_read_with_a_note() -> None:
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 3 * RATE).astype(np.float32)
    data = encoded(noise, kind="OGG")
    last = data.rindex(b"OggS\0")
    notes: list[str] = []
    load_audio(data[:last], RATE, notes=notes)
    assert len(notes) == 1 and "no end mark" in notes[0]


@pytest.mark.parametrize(
    ("samples", "says"),
    [
        (np.zeros(RATE), "silent"),
        (np.full(RATE, 0.3), "silent"),  # a constant: the membrane stands still
        (np.random.default_rng(0).integers(-1, 2, RATE).astype(np.int16), "silent"),  # dither
        (np.stack((TONE, -TONE), axis=1), "opposite phase"),
        (np.stack((TONE, -0.999 * TONE), axis=1), "opposite phase"),
    ],
)
def test_what_nobody_can_hear_is_told(samples: np.ndarray, says: str) -> None:
    notes: list[str] = []
    load_audio((samples, RATE), RATE, notes=notes)
    assert len(notes) == 1 and "nothing can be heard" in notes[0] and says in notes[0]


@pytest.mark.parametrize(
    "samples", [TONE / 1000, np.stack((TONE, 0 * TONE), axis=1), np.stack((TONE, -TONE / 2), axis=1)]
)
def test_what_can_be_heard_is_not_called_silent(samples: np.ndarray) -> None:
    notes: list[str] = []
    load_audio((samples, RATE), RATE, notes=notes)
    assert notes == []


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG", "MP3"])
def test_decoding_stops_after_max_seconds(kind: str) -> None:
    data = encoded(np.tile(TONE, 20), kind=kind)  # 10 s
    whole = load_audio(data, RATE)
    for seconds in (0.5, 3):
        short = load_audio(data, RATE, max_seconds=seconds)
        assert (
            seconds * RATE < len(short) <= (seconds + 1) * RATE
        )  # it lasts longer, which says that there is more
        assert (short[: int(seconds * RATE)] == whole[: int(seconds * RATE)]).all()
    assert len(load_audio(data, RATE, max_seconds=10.5)) == len(whole)


def test_little_memory_is_taken_of_a_huge_recording() -> None:
    """An hour of 64 channels at 768 kHz would be 700 GB."""
    hour = np.broadcast_to(np.float32(0.25), (3600 * 768_000, 64))
    tracemalloc.start()
    try:
        assert duration_seconds((hour, 768_000)) == 3600
        got = load_audio((hour, 768_000), RATE, max_seconds=0.5)
        assert RATE // 2 < len(got) <= 3 * RATE // 2
        with pytest.raises(MediaError, match="3600 s of audio, at most 225 s at 768000 Hz"):
            load_audio((hour, 768_000), RATE)
        assert tracemalloc.get_traced_memory()[1] < 50e6
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("seconds", [0, -1, "5", np.nan])
def test_max_seconds_of_another_kind_is_refused(seconds: Any) -> None:
    with pytest.raises(InputError, match="max_seconds"):
        load_audio((TONE, RATE), RATE, max_seconds=seconds)


@pytest.mark.parametrize(
    ("kind", "subtype"),
    [
        ("WAV", "PCM_16"),
        ("WAV", "GSM610"),
        ("FLAC", None),
        ("OGG", "VORBIS"),
        ("OGG", "OPUS"),
        ("AIFF", None),
        ("MP3", None),
    ],
)
def test_the_duration_is_that_of_the_decoded_sound(kind: str, subtype: str | None, tmp_path: Path) -> None:
    path = tmp_path / "sound"
    path.write_bytes(encoded(np.tile(TONE, 6), kind=kind, subtype=subtype))
    known = duration_seconds(path)
    assert known == pytest.approx(len(load_audio(path, RATE)) / RATE, abs=0.15 if kind == "MP3" else 1e-3)


def test_the_duration_comes_from_the_header_or_not_at_all() -> None:
    assert duration_seconds((np.zeros((50, 2)), 1000)) == 0.05
    assert duration_seconds(phone_memo("aac", "ipod")) == pytest.approx(1, abs=0.1)
    assert duration_seconds(phone_memo("aac", "adts")) is None  # FFmpeg guesses it from the bit rate
    for source in (7, b"no sound", (TONE, None)):
        with pytest.raises(MediaError):
            duration_seconds(source)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes there")
def test_a_pipe_is_read_once(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert duration_seconds(pipe) is None
    writer = threading.Thread(target=pipe.write_bytes, args=(encoded(TONE),))
    writer.start()
    assert len(load_audio(pipe, RATE)) == len(TONE)
    writer.join()


@pytest.mark.parametrize(
    "address",
    ["https://example.org/a.wav", "s3://bucket/a.wav", "file:///tmp/a.wav", "data:audio/wav;base64,UklGRg=="],
)
@pytest.mark.parametrize("as_path", [False, True])
def test_a_url_is_called_a_url(address: str, as_path: bool) -> None:
    with pytest.raises(MediaError, match="a URL, expected a file; download it first"):
        load_audio(Path(address) if as_path else address, RATE)


def test_bytes_of_every_kind(tmp_path: Path) -> None:
    data = encoded(TONE)
    for source in (bytearray(data), memoryview(data)):
        assert len(load_audio(source, RATE)) == len(TONE)


@pytest.mark.parametrize(
    "source",
    [
        None,
        7,
        1.5,
        object(),
        {"a": 1},
        TONE,
        io.BytesIO(b"x"),
        ("a.wav",),
        ([[1, 2], [3]], RATE),
        (None, RATE),
        ("abc", RATE),
    ],
)
def test_wrong_types_are_media_errors(source: Any) -> None:
    with pytest.raises(MediaError, match="expected"):
        load_audio(source, RATE)


def test_what_is_no_sound_is_called_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    for av in (True, False):
        if not av:
            monkeypatch.setitem(sys.modules, "av", None)
        for data, says in (
            (b"<!DOCTYPE html><html>404</html>", "a web page"),
            (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "git lfs pull"),
            (b"\x89PNG\r\n\x1a\n" + bytes(50), "--image"),
        ):
            with pytest.raises(MediaError, match=says):
                load_audio(data, RATE)


def test_more_than_eight_channels_by_pyav_end_in_no_crash() -> None:
    """PyAV 18.1 reads past the eighth plane of planar sound. The size of a frame is wrong: libsndfile refuses this."""
    pytest.importorskip("av")
    form = struct.pack("<HHIIHH", 3, 9, RATE, 4 * RATE, 4, 32)
    data = np.full(9 * 4000, 0.25, "<f4").tobytes()
    head = b"WAVEfmt " + struct.pack("<I", 16) + form + b"fact" + struct.pack("<II", 4, 4000)
    body = head + b"data" + struct.pack("<I", len(data)) + data
    assert load_audio(b"RIFF" + struct.pack("<I", len(body)) + body, RATE)[0] == 0.25
