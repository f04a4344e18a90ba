"""The right frames of a video, or a clear error."""

from __future__ import annotations

import builtins
import io
import struct
import tempfile
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image

from muomni.errors import InputError, MediaError, MissingPackageError
from muomni.media.video import frame_indices, load_frames

av = pytest.importorskip("av")

COUNT = 20
CONTAINERS = [("mp4", "mpeg4"), ("matroska", "mpeg4"), ("webm", "libvpx"), ("avi", "mpeg4"), ("mov", "mjpeg")]


def film(
    container: str = "mp4",
    codec: str = "mpeg4",
    count: int = COUNT,
    pictures: list[np.ndarray] | None = None,
    b_frames: int = 0,
    **options: str,
) -> bytes:
    """A video whose frame i has the brightness 10 · i, or one of these pictures."""
    if pictures is None:
        pictures = [np.full((48, 64, 3), 10 * i, np.uint8) for i in range(count)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "film")  # a real file: "faststart" reads back what it wrote
        with av.open(str(path), "w", format=container, options=options) as out:
            video = out.add_stream(codec, rate=Fraction(10))
            video.width, video.height = 64, 48
            video.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
            video.codec_context.max_b_frames = b_frames
            for picture in pictures:
                out.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            out.mux(video.encode())
        return path.read_bytes()


def shown(frames: list[Image.Image]) -> list[int]:
    """The numbers of the frames, from their brightness."""
    return [round(float(np.asarray(frame).mean()) / 10) for frame in frames]


@pytest.mark.parametrize(("container", "codec"), CONTAINERS)
def test_evenly_spaced_frames(container: str, codec: str, tmp_path: Path) -> None:
    path = tmp_path / "film"
    path.write_bytes(film(container, codec))
    for source in (path, str(path), path.read_bytes()):
        frames = load_frames(source, 4)
        assert shown(frames) == [4, 8, 12, 16]
        assert {(frame.mode, frame.size) for frame in frames} == {("RGB", (64, 48))}


@pytest.mark.parametrize(("total", "count"), [(20, 1), (20, 19), (3, 4), (1, 4), (7, 3)])
def test_indices_are_the_references(total: int, count: int) -> None:
    assert frame_indices(total, count) == [int(i * total / (count + 1)) for i in range(1, count + 1)]
    assert shown(load_frames(film(count=total), count)) == frame_indices(total, count)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_animations_need_no_decoder_of_video(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    pictures = [Image.new("RGB", (8, 8), (10 * i,) * 3) for i in range(COUNT)]
    stream = io.BytesIO()
    pictures[0].save(stream, kind, save_all=True, append_images=pictures[1:], duration=100, lossless=True)
    assert shown(load_frames(stream.getvalue(), 4)) == [4, 8, 12, 16]
    with pytest.raises(MediaError, match="truncated"):
        load_frames(stream.getvalue()[: len(stream.getvalue()) // 2], 4)


def test_frames_that_are_decoded_already() -> None:
    array = np.stack([np.full((6, 8, 3), 10 * i, np.uint8) for i in range(COUNT)])
    assert shown(load_frames(array, 4)) == shown(load_frames(list(array), 4)) == [4, 8, 12, 16]


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: b"", "0 bytes"),
        (lambda: b"text, no video", "not a video"),
        (lambda: film()[:600], "truncated"),
        (lambda: film(movflags="faststart")[:-400], "truncated"),
        (lambda: film(movflags="faststart")[:-5], "truncated"),
        (lambda: film("matroska")[:1200], "truncated"),
        (lambda: film("avi")[:-1500], "truncated"),
        (lambda: film("webm", "libvpx")[:-20], "truncated"),
        (lambda: b"ffconcat version 1.0\nfile 'secret.ts'\n", "not a video"),
        (lambda: b"#EXTM3U\n#EXTINF:1,\n/etc/hostname\n", "not a video"),
        (lambda: {"a": 1}, "got dict"),
        (lambda: np.zeros((4, 4)), "(4, 4)"),
        (list, "at least one frame"),
        (lambda: 7, "got int"),
    ],
)
def test_unusable_video_is_refused(make: Any, says: str) -> None:
    with pytest.raises(MediaError) as caught:
        load_frames(make(), 4)
    assert says in str(caught.value)


def test_what_is_no_video_is_sent_where_it_belongs() -> None:
    picture, sound = io.BytesIO(), io.BytesIO()
    Image.new("RGB", (8, 8)).save(picture, "PNG")
    soundfile.write(sound, np.zeros(1000), 8000, format="WAV")
    for stream, says in ((picture, "--image"), (sound, "--audio-in")):
        with pytest.raises(MediaError, match=says):
            load_frames(stream.getvalue(), 4)


@pytest.mark.parametrize("kind", ["BMP", "TIFF", "JPEG"])
def test_a_picture_is_no_video(kind: str) -> None:
    stream = io.BytesIO()
    Image.new("RGB", (32, 32)).save(stream, kind)
    with pytest.raises(MediaError):
        load_frames(stream.getvalue(), 4)


def test_no_frames_are_refused() -> None:
    with pytest.raises(InputError, match="at least 1"):
        load_frames(film(), 0)


def test_a_missing_decoder_is_named_with_its_install_line(monkeypatch: pytest.MonkeyPatch) -> None:
    original = builtins.__import__

    def without_av(name: str, *arguments: Any, **options: Any) -> Any:
        if name == "av":
            raise ImportError(name)
        return original(name, *arguments, **options)

    data = film()
    monkeypatch.setattr(builtins, "__import__", without_av)
    with pytest.raises(MissingPackageError, match=r"muomni\[video\]"):
        load_frames(data, 4)


def test_more_frames_than_there_are_repeats_some() -> None:
    frames = [Image.new("RGB", (4, 4), (10 * i,) * 3) for i in range(3)]
    assert shown(load_frames(frames, 7)) == [0, 0, 1, 1, 1, 2, 2]


def test_frames_may_be_of_any_kind_and_size(tmp_path: Path) -> None:
    stored = tmp_path / "a.png"
    Image.new("L", (5, 7), 20).save(stored)
    frames = load_frames((Image.new("RGB", (4, 4), (10, 10, 10)), stored, np.full((2, 3), 30, np.uint8)), 5)
    assert shown(frames) == [1, 2, 2, 3, 3]
    assert {frame.mode for frame in frames} == {"RGB"}


def test_grey_and_float_arrays() -> None:
    grey = np.stack([np.full((6, 8), 10 * i, np.uint8) for i in range(COUNT)])
    assert shown(load_frames(grey, 4)) == [4, 8, 12, 16]
    assert shown(load_frames(np.repeat(grey[..., None], 3, axis=3) / 255, 4)) == [4, 8, 12, 16]


def turned_by_the_header(data: bytes, a: int, b: int, c: int, d: int) -> bytes:
    """An MP4 whose track header (ISO/IEC 14496-12, section 8.3) holds this matrix instead of the unit matrix."""
    unit = struct.pack(">9i", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x4000_0000)
    at = data.rindex(unit)  # the first is the movie's, the last the track's
    matrix = struct.pack(">9i", a * 0x10000, b * 0x10000, 0, c * 0x10000, d * 0x10000, 0, 0, 0, 0x4000_0000)
    return data[:at] + matrix + data[at + len(matrix) :]


@pytest.mark.parametrize(
    ("matrix", "size", "bright"),
    [
        ((1, 0, 0, 1), (64, 48), "top left"),
        ((0, 1, -1, 0), (48, 64), "top right"),  # a quarter clockwise: a phone held upright
        ((-1, 0, 0, -1), (64, 48), "bottom right"),
        ((0, -1, 1, 0), (48, 64), "bottom left"),
        ((-1, 0, 0, 1), (64, 48), "top right"),  # mirrored: a front camera
        ((1, 0, 0, -1), (64, 48), "bottom left"),
        ((0, 1, 1, 0), (48, 64), "top left"),
        ((0, -1, -1, 0), (48, 64), "bottom right"),
    ],
)
def test_frames_are_turned_upright(matrix: tuple[int, ...], size: tuple[int, int], bright: str) -> None:
    picture = np.zeros((48, 64, 3), np.uint8)
    picture[:24, :32] = 240
    (frame,) = load_frames(turned_by_the_header(film(pictures=[picture] * 3), *matrix), 1)
    assert frame.size == size
    vertical, horizontal = bright.split()
    values = np.asarray(frame)[..., 0]
    rows = np.array_split(values, 2, axis=0)[vertical == "bottom"]
    assert np.array_split(rows, 2, axis=1)[horizontal == "right"].min() > 200
    assert (values > 120).mean() == pytest.approx(0.25, abs=0.03)


@pytest.mark.parametrize(("container", "codec"), CONTAINERS)
def test_no_cut_changes_the_frames_unsaid(container: str, codec: str) -> None:
    for options in ({}, {"movflags": "faststart"}) if container == "mp4" else ({},):
        data = film(container, codec, **options)
        for cut in np.linspace(1, len(data) - 1, 15).astype(int):
            try:
                frames = load_frames(data[:cut], 4)
            except MediaError:
                continue
            assert shown(frames) == [4, 8, 12, 16], (
                f"cut at {cut} of {len(data)}"
            )  # an index at the end was lost


def test_a_damaged_video_is_named(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(film(movflags="faststart")[:-300])
    with pytest.raises(MediaError, match=r"film\.mp4: the file is truncated"):
        load_frames(path)
    with pytest.raises(MediaError, match="no such file"):
        load_frames(tmp_path / "none.mp4")
    with pytest.raises(MediaError, match="folder"):
        load_frames(tmp_path)


def test_the_chosen_frame_is_the_one_shown_not_the_one_stored() -> None:
    """With B-frames the order of packets is not the order of frames."""
    assert shown(load_frames(film(b_frames=2), 4)) == [4, 8, 12, 16]


@pytest.mark.parametrize("with_film", [True, False])
def test_cover_art_is_no_video(with_film: bool, tmp_path: Path) -> None:
    path = tmp_path / "song.mp4"
    with av.open(str(path), "w", format="mp4") as out:
        cover = out.add_stream("mjpeg", rate=Fraction(10))
        cover.width, cover.height, cover.pix_fmt = 32, 32, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic.value
        streams = [(cover, [np.full((32, 32, 3), 255, np.uint8)])]
        if with_film:
            video = out.add_stream("mpeg4", rate=Fraction(10))
            video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
            streams.append((video, [np.full((48, 64, 3), 10 * i, np.uint8) for i in range(COUNT)]))
        for stream, pictures in streams:
            for picture in pictures:
                out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            out.mux(stream.encode())
    if with_film:
        assert shown(load_frames(path, 4)) == [4, 8, 12, 16]
    else:
        with pytest.raises(MediaError, match="no video in this file"):
            load_frames(path, 4)
