"""Video: a few evenly spaced frames of a file, bytes or sequence of images.

Containers (MP4, MKV, WebM, AVI, …) are decoded with PyAV, which the extra ``video`` brings; animated GIF, WebP, PNG
and AVIF with Pillow. What decodes is watched; only a file that stops short of what its header promises is refused.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from muomni.errors import InputError, MediaError

from .image import ImageSource, explained, load_image
from .pyav import decoded, import_av, opened, require_decoder
from .pyav import packets as packets_of
from .source import FILE_TYPES, FileSource, describe, open_source
from .whole import gif_end, require_whole

if TYPE_CHECKING:
    from PIL.Image import Image

    VideoSource = FileSource | Sequence[ImageSource] | NDArray[Any]
else:
    VideoSource = Any

COVER_ART = 0x400  # FFmpeg's AV_DISPOSITION_ATTACHED_PIC: the picture of a record, not a video
MAX_FRAMES = 200_000  # of a film: an hour at 50 frames a second
MAX_COUNT = 4096  # of the frames that are taken
MAX_FRAME_PIXELS = 8192 * 4320  # a decoder holds many frames at once
MAX_TAKEN_PIXELS = 150_000_000  # of all frames that are taken, at 4 bytes each: 600 MB, four frames of 8K
ANIMATION = rb"GIF8|\x89PNG|RIFF....WEBP|....ftypavi[fs]|\xff\xd8"
PLAYED = ("GIF", "PNG", "WEBP", "JPEG", "AVIF")
BROADCAST = ("mpegts", "mpeg")  # recorded from the air: they begin and end anywhere


def frame_indices(total: int, count: int) -> list[int]:
    """Indices of ``count`` evenly spaced frames among ``total``, the ends left out: the reference's choice.

    With fewer frames than asked for, some are taken more than once.
    """
    return [i * total // (count + 1) for i in range(1, count + 1)]


def load_frames(
    source: VideoSource, count: int = 4, *, size: int | None = None, notes: list[str] | None = None
) -> list[Image]:
    """Evenly spaced frames of a video, as RGB images.

    Args:
        source: path or encoded bytes; a sequence of images (see :func:`muomni.media.image.load_image`), or an array
            (T, H, W, 3), all of whose frames count.
        count: frames to take.
        size: resize each to this square as soon as it is decoded, as :func:`muomni.media.image.pixels` does: so that
            many frames of a large film take little memory.
        notes: what there is to tell is appended here.

    Raises:
        InputError: ``count`` is no whole number from 1 to 4096.
        MediaError: missing, empty, truncated or foreign files; no video in it; a still image; frames that are too
            large, each or together.
        MissingPackageError: PyAV is needed and not installed; with the install line.

    Example:
        >>> [frame.size for frame in load_frames(np.zeros((9, 4, 6, 3), np.uint8), 2)]
        [(6, 4), (6, 4)]
    """
    if isinstance(count, bool) or not isinstance(count, (int, np.integer)):
        raise InputError(f"video frames: expected a whole number, got {count!r}")
    if not 1 <= count <= MAX_COUNT:
        raise InputError(
            f"video frames: expected at least 1 and at most {MAX_COUNT}, got {count}; ask for fewer frames"
        )
    notes = [] if notes is None else notes
    if not isinstance(source, FILE_TYPES):
        frames = _sequence(source)
        chosen = frame_indices(len(frames), count)
        images = {index: _small(load_image(frames[index], notes=notes), size) for index in set(chosen)}
        return [images[index] for index in chosen]
    name = describe(source)
    with open_source(source, "video") as stream:
        head = stream.read(16)
        stream.seek(0)
        if re.match(ANIMATION, head, re.DOTALL) and not _is_motion_jpeg(head, stream):
            return _from_animation(stream, name, count, size, notes)
        return _from_container(stream, name, count, size, notes)


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


def _small(image: Image, size: int | None) -> Image:
    from PIL.Image import Resampling

    return image if size is None else image.resize((size, size), Resampling.BILINEAR)


def _check_sizes(name: str, width: int, height: int, taken: int, size: int | None) -> None:
    if width * height > MAX_FRAME_PIXELS:
        raise MediaError(
            f"{name}: frames of {width} x {height} pixels, at most {MAX_FRAME_PIXELS:,} in all; scale the video down"
        )
    if size is None and taken * width * height > MAX_TAKEN_PIXELS:
        raise MediaError(
            f"{name}: {taken} frames of {width} x {height} pixels do not fit in memory; ask for fewer frames "
            "(--video-frames), or scale the video down"
        )


def _is_motion_jpeg(head: bytes, stream: BinaryIO) -> bool:
    """Is this JPEG after JPEG? A photo may hold others too (MPF: previews, depth), and is a photo all the same."""
    if not head.startswith(b"\xff\xd8"):
        return False
    data = stream.read()
    stream.seek(0)
    return b"\xff\xd9\xff\xd8\xff" in data and b"MPF\0" not in data


def _from_animation(
    stream: BinaryIO, name: str, count: int, size: int | None, notes: list[str]
) -> list[Image]:
    from PIL import Image as PILImage

    data = stream.read()
    # Without its end mark Pillow shows the frames of a GIF that are left, and says nothing.
    if data.startswith(b"GIF8"):
        end = gif_end(data)
        if end is None:
            raise MediaError(f"{name}: the animation is truncated")
        if end == len(data):
            notes.append(f"{name}: it has no end mark, and may have been cut")
    with explained(name, data[:64]), PILImage.open(io.BytesIO(data), formats=PLAYED) as image:
        total = getattr(image, "n_frames", 1)
        if total < 2 or image.format == "MPO":
            raise MediaError(f"{name}: a still image, expected a video; give it as an image (--image)")
        chosen = frame_indices(total, count)
        _check_sizes(name, *image.size, len(set(chosen)), size)
        frames = {}
        for index in sorted(set(chosen)):
            image.seek(index)
            frames[index] = _small(load_image(image.convert("RGBA")), size)
        return [frames[index] for index in chosen]


def _from_container(
    stream: BinaryIO, name: str, count: int, size: int | None, notes: list[str]
) -> list[Image]:
    av = import_av(name, "video")
    require_whole(stream, name)
    packets = _count_packets(av, stream, name, notes)
    # Packets are nearly always frames. Decoding tells; only where they were not (an edit list) is it done again.
    found: list[str] = []
    total, frames = _pick(av, stream, name, frame_indices(packets, count), size, found)
    if total != packets:
        if total == 0:
            raise MediaError(f"{name}: no frame of the video can be decoded")
        found = []
        _, frames = _pick(av, stream, name, frame_indices(total, count), size, found)
    notes.extend(found)
    return frames


def _count_packets(av: Any, stream: BinaryIO, name: str, notes: list[str]) -> int:
    with opened(av, stream, name, "a video", "--video") as container:
        packets, cut = 0, False
        for packet in packets_of(av, container, _film(container, name), [], name):
            if packet.size > 0:
                packets += 1
                cut = packet.is_corrupt  # the last one is, where the file ends in its middle
        if cut and container.format.name not in BROADCAST:
            raise MediaError(f"{name}: the video is truncated: the file ends in the middle of a frame")
        if cut:
            notes.append(f"{name}: it ends in the middle of a frame")
        if packets == 1 and container.format.name == "mjpeg":
            raise MediaError(f"{name}: a still image, expected a video; give it as an image (--image)")
        if not 0 < packets <= MAX_FRAMES:
            raise MediaError(f"{name}: expected 1 to {MAX_FRAMES} frames, got {packets}")
        return packets


def _film(container: Any, name: str) -> Any:
    """The first video stream that is no cover art."""
    for stream in container.streams.video:
        disposition = stream.disposition  # an enum.Flag up to PyAV 17.0, a whole number since
        if not getattr(disposition, "value", disposition) & COVER_ART:
            return stream
    raise MediaError(f"{name}: no video in this file; if it is audio, give it as audio (--audio-in)")


def _pick(
    av: Any, stream: BinaryIO, name: str, indices: list[int], size: int | None, notes: list[str]
) -> tuple[int, list[Image]]:
    """Number of frames that decode, and the wanted ones that are among them, upright."""
    wanted = set(indices)
    found: dict[int, Image] = {}
    total = 0
    with opened(av, stream, name, "a video", "--video") as container:
        video = _film(container, name)
        require_decoder(video, name)
        _check_sizes(name, video.width, video.height, len(wanted), size)
        video.thread_type = "AUTO"
        video.codec_context.options = {"max_pixels": str(MAX_FRAME_PIXELS)}  # a stream may change its size
        for frame in decoded(av, container, video, notes, name):
            if total in wanted:
                _check_sizes(name, frame.width, frame.height, len(wanted), size)
                found[total] = _small(_upright(frame), size)
            total += 1
    return total, [found[index] for index in indices if index in found]


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
