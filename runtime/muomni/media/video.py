"""Video: a few evenly spaced frames of a file, bytes or sequence of images.

Containers (MP4, MKV, WebM, AVI, …) are decoded with PyAV, which the extra ``video`` brings; animated GIF, WebP
and PNG with Pillow.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from muomni.errors import InputError, MediaError, MissingPackageError

from .image import MAX_PIXELS, ImageSource, load_image
from .source import describe, open_source
from .whole_sound import require_whole
from .whole_video import READERS, require_whole_video

if TYPE_CHECKING:
    from PIL.Image import Image

    VideoSource = str | os.PathLike[str] | bytes | Sequence[ImageSource] | NDArray[Any]
else:
    VideoSource = Any

COVER_ART = 0x400  # FFmpeg's AV_DISPOSITION_ATTACHED_PIC: the picture of a record, not a video
CUT_SECONDS = 0.5  # durations in headers are rounded, by less than this
MAX_FRAMES = 200_000  # an hour at 50 frames a second


def frame_indices(total: int, count: int) -> list[int]:
    """Indices of ``count`` evenly spaced frames among ``total``, the ends left out: the reference's choice.

    With fewer frames than asked for, some are taken more than once.
    """
    return [i * total // (count + 1) for i in range(1, count + 1)]


def load_frames(source: VideoSource, count: int = 4) -> list[Image]:
    """Evenly spaced frames of a video, as RGB images.

    Args:
        source: path or encoded bytes; a sequence of images (see :func:`muomni.media.image.load_image`), or an array
            (T, H, W, 3), all of whose frames count.
        count: frames to take.

    Raises:
        InputError: ``count`` below 1.
        MediaError: missing, empty, truncated or foreign files; no video in it; a still image.
        MissingPackageError: PyAV is needed and not installed; with the install line.
    """
    if count < 1:
        raise InputError(f"video frames: expected at least 1, got {count}")
    if not isinstance(source, (str, os.PathLike, bytes)):
        frames = _sequence(source)
        return [load_image(frames[index]) for index in frame_indices(len(frames), count)]
    name = describe(source)
    with open_source(source, "video") as stream:
        head = stream.read(16)
        stream.seek(0)
        if _is_picture(head):
            return _from_animation(stream, head, name, count)
        return _from_container(stream, name, count)


def _sequence(source: Any) -> Sequence[Any]:
    if isinstance(source, np.ndarray) and source.ndim not in (3, 4):
        raise MediaError(f"video array: expected (T, H, W, 3) or (T, H, W), got {source.shape}")
    if not isinstance(source, (np.ndarray, Sequence)):
        kind = type(source).__name__
        raise MediaError(f"video: expected a path, bytes or a sequence of images, got {kind}")
    if len(source) == 0:
        raise MediaError("video: expected at least one frame, got none")
    frames: Sequence[Any] = source  # type: ignore[assignment]
    return frames


def _is_picture(head: bytes) -> bool:
    return head.startswith((b"GIF8", b"\x89PNG", b"\xff\xd8")) or (head[:4], head[8:12]) == (b"RIFF", b"WEBP")


def _from_animation(stream: BinaryIO, head: bytes, name: str, count: int) -> list[Image]:
    from PIL import Image as PILImage

    data = stream.read()
    # A GIF ends with a semicolon; without it Pillow would show the frames that are left and say nothing.
    if head.startswith(b"GIF8") and not data.rstrip(b"\0").endswith(b";"):
        raise MediaError(f"{name}: the animation is truncated")
    try:
        with PILImage.open(io.BytesIO(data)) as image:
            total = getattr(image, "n_frames", 1)
            if total < 2:
                raise MediaError(f"{name}: a still image, expected a video; give it as an image (--image)")
            if image.width * image.height > MAX_PIXELS:
                raise MediaError(
                    f"{name}: {image.width} x {image.height} pixels, at most {MAX_PIXELS:,} in all"
                )
            frames = []
            for index in frame_indices(total, count):
                image.seek(index)
                frames.append(load_image(image.convert("RGBA")))
            return frames
    except MediaError:
        raise
    except Exception as error:  # decoders raise OSError, EOFError, SyntaxError, struct.error and more
        raise MediaError(f"{name}: the animation is damaged or truncated ({error})") from error


def _from_container(stream: BinaryIO, name: str, count: int) -> list[Image]:
    try:
        import av
    except ImportError as error:
        raise MissingPackageError(
            f'{name}: reading this video needs PyAV; install it with\n  pip install "muomni[video]"'
        ) from error
    require_whole(stream, name)  # AVI
    require_whole_video(stream, name)
    av.logging.set_level(None)  # ffmpeg's remarks would land on stderr beside our own
    try:
        promised, packets = _count_packets(av, stream, name)
        if promised and packets < promised:
            raise MediaError(
                f"{name}: the video is truncated: its header promises {promised} frames, {packets} are there"
            )
        # Packets are nearly always frames. Decoding tells; only where they were not is it done again.
        total, frames = _pick(av, stream, name, frame_indices(packets, count))
        if total != packets:
            if total == 0:
                raise MediaError(f"{name}: no frame of the video can be decoded")
            _, frames = _pick(av, stream, name, frame_indices(total, count))
        return frames
    except MemoryError as error:
        raise MediaError(f"{name}: too little memory for this video; scale it down or cut it") from error
    except (av.FFmpegError, OSError, ValueError) as error:
        if isinstance(error, MediaError):
            raise
        raise MediaError(f"{name}: not a video, damaged or truncated ({error})") from error


def _open(av: Any, stream: BinaryIO) -> Any:
    stream.seek(0)
    return av.open(stream, options={"format_whitelist": READERS}, metadata_errors="replace")


def _count_packets(av: Any, stream: BinaryIO, name: str) -> tuple[int, int]:
    """Frames that the header promises (0: it does not say) and packets that are there."""
    with _open(av, stream) as container:
        video = _film(container, name)
        if video.width * video.height > MAX_PIXELS:
            raise MediaError(f"{name}: {video.width} x {video.height} pixels, at most {MAX_PIXELS:,} in all")
        packets, end, cut = 0, 0.0, False
        for packet in container.demux(video):
            if packet.size > 0:
                packets += 1
                cut = packet.is_corrupt  # the last one is, where the file ends in its middle
                end = max(end, float(((packet.pts or 0) + (packet.duration or 0)) * packet.time_base))
        seconds = (container.duration or 0) / av.time_base
        if cut:
            raise MediaError(f"{name}: the video is truncated: the file ends in the middle of a frame")
        # Matroska counts no frames, but knows how long it lasts; sound may last longer than the picture.
        if len(container.streams) == 1 and packets and end < seconds - CUT_SECONDS:
            raise MediaError(
                f"{name}: the video is truncated: its header promises {seconds:.1f} s, {end:.1f} s are there"
            )
        if not 0 < packets <= MAX_FRAMES:
            raise MediaError(f"{name}: expected 1 to {MAX_FRAMES} frames, got {packets}")
        return int(video.frames), packets


def _film(container: Any, name: str) -> Any:
    """The first video stream that is no cover art."""
    for stream in container.streams.video:
        if not int(stream.disposition) & COVER_ART:
            return stream
    raise MediaError(f"{name}: no video in this file; if it is audio, give it as audio (--audio-in)")


def _pick(av: Any, stream: BinaryIO, name: str, indices: list[int]) -> tuple[int, list[Image]]:
    """Number of frames that decode, and the wanted ones that are among them, upright."""
    wanted = set(indices)
    found: dict[int, Image] = {}
    total = 0
    for frame in _decode(av, stream, name):
        if total in wanted:
            found[total] = _upright(frame)
        total += 1
    return total, [found[index] for index in indices if index in found]


def _decode(av: Any, stream: BinaryIO, name: str) -> Iterator[Any]:
    with _open(av, stream) as container:
        video = _film(container, name)
        video.thread_type = "AUTO"
        yield from container.decode(video)


def _upright(frame: Any) -> Image:
    """RGB image of a frame, turned or mirrored as its display matrix says (phones film sideways)."""
    from av.sidedata.sidedata import Type
    from PIL.Image import Transpose

    image: Image = frame.to_image()
    side_data = frame.side_data.get(Type.DISPLAYMATRIX)
    if side_data is None:
        return image
    # 3 x 3 in fixed point: x' = m[0] x + m[3] y, y' = m[1] x + m[4] y. A frame's "rotation" knows no mirrors.
    matrix = np.frombuffer(bytes(side_data), dtype=np.int32)[[0, 1, 3, 4]]
    a, b, c, d = np.rint(matrix / max(1, np.abs(matrix).max())).astype(int).tolist()
    turns = {
        (0, 1, -1, 0): Transpose.ROTATE_270,
        (-1, 0, 0, -1): Transpose.ROTATE_180,
        (0, -1, 1, 0): Transpose.ROTATE_90,
        (-1, 0, 0, 1): Transpose.FLIP_LEFT_RIGHT,
        (1, 0, 0, -1): Transpose.FLIP_TOP_BOTTOM,
        (0, 1, 1, 0): Transpose.TRANSPOSE,
        (0, -1, -1, 0): Transpose.TRANSVERSE,
    }
    turn = turns.get((a, b, c, d))
    return image if turn is None else image.transpose(turn)
