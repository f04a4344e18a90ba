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
from PIL import Image, features

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


def animation(kind: str, **options: Any) -> bytes:
    pictures = [Image.new("RGB", (16, 16), (10 * i,) * 3) for i in range(COUNT)]
    stream = io.BytesIO()
    pictures[0].save(stream, kind, save_all=True, append_images=pictures[1:], duration=100, **options)
    return stream.getvalue()


def test_an_mp4_that_is_trimmed_by_its_edit_list_shows_what_is_left() -> None:
    data = bytearray(film())
    at = data.index(b"elst")
    whole = struct.unpack(">I", data[at + 12 : at + 16])[0]
    data[at + 12 : at + 16] = struct.pack(">I", whole // 2)  # ISO/IEC 14496-12, section 8.6.6: its duration
    shown_now = shown(load_frames(bytes(data), 4))
    assert shown_now == sorted(shown_now) and shown_now[-1] <= COUNT // 2


@pytest.mark.parametrize(("container", "codec"), [("avi", "mpeg4"), ("matroska", "mpeg4"), ("mp4", "mpeg4")])
def test_dropped_frames_are_no_cut(container: str, codec: str) -> None:
    """A camera that could not keep up, or a screen on which nothing moved for long."""
    stream = io.BytesIO()
    with av.open(stream, "w", format=container) as out:
        video = out.add_stream(codec, rate=Fraction(10))
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        for number in (0, 1, 2, 9, 10, 30):
            picture = np.full((48, 64, 3), 8 * number, np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 10)
            out.mux(video.encode(frame))
        out.mux(video.encode())
    notes: list[str] = []
    frames = load_frames(stream.getvalue(), 2, notes=notes)
    assert [round(float(np.asarray(frame).mean()) / 8) for frame in frames] == [2, 10] and notes == []


TRAILING = [b"\n", b"\0" * 4000, b"<!-- added by a server -->" * 9, np.random.default_rng(0).bytes(3000)]


@pytest.mark.parametrize("trailing", TRAILING)
@pytest.mark.parametrize(
    "make",
    [
        lambda: animation("GIF"),
        lambda: animation("PNG"),
        lambda: animation("WEBP", lossless=True),
        lambda: film(),
        lambda: film(movflags="faststart"),
        lambda: film("matroska"),
        lambda: film("webm", "libvpx"),
        lambda: film("avi"),
        lambda: film("mpegts", "mpeg2video"),
        lambda: film("flv", "flv"),
    ],
)
def test_bytes_behind_the_end_do_not_matter(make: Any, trailing: bytes) -> None:
    data = make()
    assert shown(load_frames(data + trailing, 4)) == shown(load_frames(data, 4))


def test_a_gif_that_lacks_its_end_mark_alone_is_shown_with_a_note() -> None:
    notes: list[str] = []
    data = animation("GIF")
    assert shown(load_frames(data[:-1], 4, notes=notes)) == [4, 8, 12, 16]
    assert len(notes) == 1 and "no end mark" in notes[0]


def test_no_cut_of_a_gif_changes_the_frames_unsaid() -> None:
    data = animation("GIF")
    for cut in range(1, len(data), 7):
        notes: list[str] = []
        try:
            frames = load_frames(data[:cut], 4, notes=notes)
        except MediaError:
            continue
        assert notes or shown(frames) == [4, 8, 12, 16], cut


def test_jpeg_after_jpeg_is_a_film() -> None:
    assert shown(load_frames(film("mjpeg", "mjpeg"), 4)) == [4, 8, 12, 16]
    grown = film("mjpeg", "mjpeg") + b"\n"
    assert shown(load_frames(grown, 4)) == [4, 8, 12, 16]


def test_a_photo_that_holds_other_pictures_is_a_still_image() -> None:
    stream = io.BytesIO()
    photo, preview = Image.new("RGB", (64, 48), "red"), Image.new("RGB", (16, 12), "red")
    photo.save(stream, "MPO", save_all=True, append_images=[preview])
    with pytest.raises(MediaError, match="a still image"):
        load_frames(stream.getvalue(), 4)


def test_an_animated_avif_is_watched() -> None:
    if not features.check("avif"):
        pytest.skip("this Pillow reads no AVIF")
    assert shown(load_frames(animation("AVIF", quality=95), 4)) == [4, 8, 12, 16]
    still = io.BytesIO()
    Image.new("RGB", (16, 16)).save(still, "AVIF")
    with pytest.raises(MediaError, match="a still image"):
        load_frames(still.getvalue(), 4)


def test_a_damaged_packet_is_passed_over_with_a_note() -> None:
    data = film("webm", "libvpx")
    at = len(data) // 2
    broken = data[:at] + bytes(byte ^ 0x5A for byte in data[at : at + 20]) + data[at + 20 :]
    notes: list[str] = []
    assert shown(load_frames(broken, 4, notes=notes))[-1] in (15, 16)  # one fewer to choose from
    assert len(notes) == 1 and "damaged" in notes[0]


def test_a_film_that_was_not_finished_is_called_so() -> None:
    data = film()
    with pytest.raises(MediaError, match=r"moov|truncated"):
        load_frames(data[: data.index(b"moov") - 4])


@pytest.mark.parametrize("count", [0, -1, 4097, 10**9, 2.0, "4", None, True])
def test_a_number_of_frames_that_cannot_be_is_refused_before_the_film_is_opened(
    count: Any, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="video frames: expected"):
        load_frames(tmp_path / "none.mp4", count)


def test_frames_that_do_not_fit_in_memory_are_refused_before_they_are_decoded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("muomni.media.video.MAX_TAKEN_PIXELS", 64 * 48 * 10)
    monkeypatch.setattr("muomni.media.video.decoded", None)
    for source in (film(), film("avi")):
        with pytest.raises(MediaError, match="ask for fewer frames"):
            load_frames(source, 11)


def test_frames_are_made_small_as_pixels_does(tmp_path: Path) -> None:
    for source in (
        film(),
        animation("GIF"),
        np.stack([np.full((9, 7, 3), 10 * i, np.uint8) for i in range(COUNT)]),
    ):
        made = load_frames(source, 3, size=32)
        assert len(made) == 3
        for small, large in zip(made, load_frames(source, 3), strict=True):
            assert small.size == (32, 32)
            assert (np.asarray(small) == np.asarray(large.resize((32, 32), Image.Resampling.BILINEAR))).all()


@pytest.mark.parametrize("source", [None, 7, {"a": 1}, object(), io.BytesIO(b"x"), [None], [7], (1, 2)])
def test_wrong_types_are_media_errors(source: Any) -> None:
    with pytest.raises(MediaError, match="expected"):
        load_frames(source, 4)


def test_a_url_is_called_a_url() -> None:
    with pytest.raises(MediaError, match="download it first"):
        load_frames("rtsp://camera.local/stream", 4)
