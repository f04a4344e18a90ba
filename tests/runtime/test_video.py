"""The right frames of a video, or a clear error."""

from __future__ import annotations

import builtins
import io
import tempfile
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image

from muomni.errors import InputError, MediaError, MissingPackageError
from muomni.video import frame_indices, load_frames

av = pytest.importorskip("av")

COUNT = 20
CONTAINERS = [("mp4", "mpeg4"), ("matroska", "mpeg4"), ("webm", "libvpx"), ("avi", "mpeg4"), ("mov", "mjpeg")]


def film(container: str = "mp4", codec: str = "mpeg4", count: int = COUNT, **options: str) -> bytes:
    """A video whose frame i has the brightness 10 · i."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "film")  # a real file: "faststart" reads back what it wrote
        with av.open(str(path), "w", format=container, options=options) as out:
            video = out.add_stream(codec, rate=Fraction(10))
            video.width, video.height = 64, 48
            video.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
            for i in range(count):
                frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 10 * i, np.uint8), format="rgb24")
                out.mux(video.encode(frame))
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
