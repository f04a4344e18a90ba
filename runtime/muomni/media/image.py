"""Images: file, bytes, PIL image or array -> the pixels a vision encoder takes.

The model sees RGB, resized to a square by PIL's bilinear filter and divided by 255: what
``torchvision.transforms.Resize((s, s))`` and ``ToTensor`` make of a PIL image, and nothing else.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from muomni.errors import MediaError, MissingPackageError

from .source import FILE_TYPES, HEIC_BRANDS, FileSource, describe, first_line, open_source, recognise
from .strip_metadata import without_metadata

if TYPE_CHECKING:
    from PIL.Image import Image, Transpose

    ImageSource = FileSource | Image | NDArray[Any]
else:
    ImageSource = Any

MAX_PIXELS = 110_000_000
"""What a telephone's 108 megapixels take. Pillow holds 4 bytes a pixel, and turning or converting needs it twice: under
1 GB. The count is read from the header, so that a file that only claims more takes no memory."""

MAX_PIXELS_OF = dict.fromkeys(
    ("WEBP", "AVIF", "HEIF", "JPEG2000"), 50_000_000
)  # their decoders hold it four times

STRIP_PIXELS = 1 << 22  # pixels that are converted at a time
# Not what runs other programs (EPS and WMF need Ghostscript or Windows), and not containers of many pictures.
# AVIF is the last, because Pillow below 11.3 fails at a name that it does not know.
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000", "TGA", "ICO", "DDS", "QOI", "AVIF")
BACKGROUND = (255, 255, 255)  # transparent pixels are shown on white, as most viewers do
ORIENTATION = 0x0112  # the tag of EXIF


def load_image(source: ImageSource, *, notes: list[str] | None = None) -> Image:
    """Decode an image to RGB, upright.

    EXIF orientation is applied; palettes, grey and CMYK become RGB; 16-bit channels are scaled to 8;
    transparent pixels are laid on white; of an animation the first frame is taken. HEIC is read where
    ``pillow-heif`` is installed. Metadata that cannot be read are passed over.

    Args:
        source: path, encoded bytes, PIL image, or array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), uint8 or
            float in 0…1.
        notes: what there is to tell is appended here.

    Raises:
        MediaError: missing, empty, truncated or foreign files; too many pixels; arrays of another kind.
        MissingPackageError: a HEIC picture without ``pillow-heif``; with the install line.

    Example:
        >>> load_image(np.zeros((2, 3), np.uint8)).size
        (3, 2)
    """
    from PIL import Image, ImageFile

    name = describe(source)
    if isinstance(source, np.ndarray):
        return _from_array(source)
    if not isinstance(source, (*FILE_TYPES, Image.Image)):
        raise MediaError(f"image: expected a path, bytes, PIL image or array, got {type(source).__name__}")
    if ImageFile.LOAD_TRUNCATED_IMAGES:
        raise MediaError(
            "PIL.ImageFile.LOAD_TRUNCATED_IMAGES is set: a truncated image would be read unsaid; unset it"
        )
    if isinstance(source, Image.Image):  # perhaps opened only, and not read yet
        with explained(name):
            _check_size(name, *source.size)
            source.load()
            rgb = _turned(_to_rgb(source), _turn(source))
            return source.copy() if rgb is source else rgb  # the caller's image stays as it is
    with open_source(source, "image") as stream:
        try:
            return _decode(stream, name)
        except MediaError:
            stream.seek(0)
            rest = without_metadata(stream.read())
            if rest is None:
                raise
            image = _decode(io.BytesIO(rest), name)
            if notes is not None:
                notes.append(f"{name}: its metadata are damaged or too large, and were passed over")
            return image


def pixels(source: ImageSource, size: int, *, notes: list[str] | None = None) -> NDArray[np.float32]:
    """Pixels (3, size, size) in 0…1 of an image.

    Raises:
        MediaError: as :func:`load_image`.
    """
    from PIL import Image

    image = load_image(source, notes=notes).resize((size, size), Image.Resampling.BILINEAR)
    channels_last = np.asarray(image, dtype=np.float32) / np.float32(255)
    return np.ascontiguousarray(channels_last.transpose(2, 0, 1))


def _decode(stream: BinaryIO, name: str) -> Image:
    from PIL import Image

    head = stream.read(64)
    stream.seek(0)
    with explained(name, head):
        if re.match(rb"....ftyp(?:" + HEIC_BRANDS + rb")", head, re.DOTALL):
            return _from_heic(stream, name)
        with Image.open(stream, formats=FORMATS) as image:
            _check_size(name, *image.size, image.format)  # Pillow's own limit may be off, or higher
            image.load()
            turn, rgb = _turn(image), _to_rgb(image)
        del image  # not to hold a large picture three times
        return _turned(rgb, turn)


@contextmanager
def explained(name: str, head: bytes = b"") -> Iterator[None]:
    """What Pillow and its decoders raise, as ``MediaError``."""
    from PIL import Image, UnidentifiedImageError

    try:
        yield
    except (MediaError, MissingPackageError):
        raise
    except (UnidentifiedImageError, KeyError) as error:  # KeyError: Pillow below 11.3 knows no AVIF
        advice = recognise(head, "--image")
        if "AVIF" in advice:
            advice += '; Pillow reads it from 11.3 on: pip install "pillow>=11.3"'
        raise MediaError(f"{name}: not an image, or of a format that Pillow cannot read{advice}") from error
    except Image.DecompressionBombError as error:  # Pillow's own limit, which a caller may have lowered
        raise MediaError(f"{name}: {first_line(error)} Scale the image down") from error
    except MemoryError as error:
        raise MediaError(f"{name}: too little memory for this image; scale it down") from error
    except Exception as error:  # decoders raise OSError, SyntaxError, struct.error, ValueError and more
        raise MediaError(f"{name}: the image is damaged or truncated ({first_line(error)})") from error


def _from_heic(stream: BinaryIO, name: str) -> Image:
    try:
        import pillow_heif
    except ImportError as error:
        raise MissingPackageError(
            f"{name}: a HEIC picture, which Pillow reads with a plugin; install it with\n"
            '  pip install "muomni[heic]"\nor convert it to JPEG'
        ) from error
    try:
        heic = pillow_heif.open_heif(stream)  # libheif turns it upright itself
        width, height = heic.size
        _check_size(name, width, height, "HEIF")
        image: Image = heic.to_pillow()
    except MediaError:
        raise
    except Exception as error:
        raise MediaError(
            f"{name}: a HEIC picture that is damaged, or that pillow-heif cannot read ({first_line(error)}); "
            "convert it to JPEG"
        ) from error
    return _to_rgb(image)


def _check_size(name: str, width: int, height: int, kind: str | None = None) -> None:
    most = MAX_PIXELS_OF.get(kind or "", MAX_PIXELS)
    if width * height > most:
        raise MediaError(
            f"{name}: {width} x {height} pixels, at most {most:,} in all can be read; scale the image down"
        )


def _turn(image: Image) -> Transpose | None:
    """How EXIF says that an image is to be turned.

    Not ``ImageOps.exif_transpose``: it writes the EXIF anew without this tag, and fails at values which are wrong
    elsewhere in it (an aperture of -1/0, as some cameras write).
    """
    from PIL.Image import Transpose

    try:
        orientation = image.getexif().get(ORIENTATION)
    except Exception:  # SyntaxError, struct.error, ValueError, RecursionError …: the picture itself is good
        return None
    turns = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    return turns.get(orientation) if isinstance(orientation, int) else None


def _turned(image: Image, turn: Transpose | None) -> Image:
    return image if turn is None else image.transpose(turn)


def _to_rgb(image: Image) -> Image:
    """The image in RGB; other modes are converted in strips, so that a large picture is not held three times."""
    from PIL import Image as PILImage

    width, height = image.size
    if min(width, height) == 0:
        raise MediaError(f"image: expected at least 1 x 1 pixels, got {width} x {height}")
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    image.load()
    rows = max(1, STRIP_PIXELS // width)
    strips = [(0, top, width, min(top + rows, height)) for top in range(0, height, rows)]
    full = _full_scale(image, strips) if image.mode == "F" or image.mode.startswith("I") else 0.0
    rgb = PILImage.new("RGB", image.size)
    for box in strips:
        strip = image.crop(box)
        if full:  # Pillow's own conversion clips at 255
            grey = np.rint(np.asarray(strip).astype(np.float64) * (255 / full)).astype(np.uint8)
            strip = PILImage.fromarray(grey).convert("RGB")
        elif image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
            strip = strip.convert("RGBA")
            strip = PILImage.alpha_composite(PILImage.new("RGBA", strip.size, (*BACKGROUND, 255)), strip)
        rgb.paste(strip.convert("RGB"), box[:2])
    return rgb


def _full_scale(image: Image, strips: list[tuple[int, int, int, int]]) -> float:
    """What is white in 16-bit, 32-bit or float grey: 1, 255 or 65535."""
    lows, highs = [], []
    for box in strips:
        values = np.asarray(image.crop(box))
        if not np.isfinite(values).all():
            raise MediaError("image: expected finite grey values, got NaN or infinity")
        lows.append(float(values.min()))
        highs.append(float(values.max()))
    low, peak = min(lows), max(highs)
    if image.mode == "F" and peak <= 1:
        full = 1.0
    elif peak <= 255 and image.mode in ("I", "F"):
        full = 255.0  # a 32-bit container of 8-bit values
    else:
        full = 65535.0
    if low < 0 or peak > full:
        raise MediaError(f"image: expected grey values from 0 to {full:g}, got {low:g} to {peak:g}")
    return full


def _from_array(array: NDArray[Any]) -> Image:
    from PIL import Image

    shape_fits = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (1, 3, 4))
    if not shape_fits or 0 in array.shape:
        raise MediaError(
            f"image array: expected (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), got {array.shape}"
        )
    if array.shape[0] * array.shape[1] > MAX_PIXELS:
        raise MediaError(f"image array: at most {MAX_PIXELS:,} pixels can be read, got {array.shape}")
    if np.issubdtype(array.dtype, np.floating):
        bad = int((~np.isfinite(array)).sum())
        if bad:
            raise MediaError(
                f"image array: {bad} of {array.size} values are NaN or infinite, expected 0 to 1"
            )
        if array.min() < 0 or array.max() > 1:
            raise MediaError(
                f"image array: expected floats from 0 to 1, got {array.min():g} to {array.max():g}"
            )
        array = np.rint(array * 255).astype(np.uint8)
    elif array.dtype == bool:
        array = array.astype(np.uint8) * np.uint8(255)
    elif array.dtype != np.uint8:
        raise MediaError(f"image array: expected uint8, or floats from 0 to 1, got {array.dtype}")
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    return _to_rgb(Image.fromarray(np.ascontiguousarray(array)))
