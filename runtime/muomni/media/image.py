"""Images: file, bytes, PIL image or array -> the pixels a vision encoder takes.

The model sees RGB, resized to a square by PIL's bilinear filter and divided by 255: what
``torchvision.transforms.Resize((s, s))`` and ``ToTensor`` make of a PIL image, and nothing else.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from muomni.errors import MediaError

from .source import FileSource, describe, open_source

if TYPE_CHECKING:
    from PIL.Image import Image

    ImageSource = str | os.PathLike[str] | bytes | Image | NDArray[Any]
else:
    ImageSource = Any

# Half a gigabyte as RGB, and where Pillow itself refuses. The count is read from the header, so that a file of
# a few bytes that claims more is refused before any memory is taken.
MAX_PIXELS = 178_956_970
_PILLOW_LIMIT = threading.Lock()  # Pillow's limit is a global of its module
# Not what runs other programs (EPS and WMF need Ghostscript or Windows), and not containers of many pictures.
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF", "TGA", "ICO", "DDS", "QOI")
BACKGROUND = (255, 255, 255)  # transparent pixels are shown on white, as most viewers do


def load_image(source: ImageSource) -> Image:
    """Decode an image to RGB, upright.

    EXIF orientation is applied; palettes, grey and CMYK become RGB; 16-bit channels are scaled to 8;
    transparent pixels are laid on white; of an animation the first frame is taken.

    Args:
        source: path, encoded bytes, PIL image, or array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), uint8 or
            float in 0…1.

    Raises:
        MediaError: missing, empty, truncated or foreign files; too many pixels; arrays of another kind.
    """
    from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

    name = describe(source)
    if isinstance(source, np.ndarray):
        return _from_array(source)
    if not isinstance(source, (str, os.PathLike, bytes, Image.Image)):
        raise MediaError(f"image: expected a path, bytes, PIL image or array, got {type(source).__name__}")
    if ImageFile.LOAD_TRUNCATED_IMAGES:
        raise MediaError(
            "PIL.ImageFile.LOAD_TRUNCATED_IMAGES is set: a truncated image would be read unsaid; unset it"
        )
    try:
        if isinstance(source, Image.Image):  # perhaps opened only, and not read yet
            return _to_rgb(ImageOps.exif_transpose(source))  # a copy: the caller's image stays as it is
        with open_source(source, "image") as stream, Image.open(stream, formats=FORMATS) as image:
            _check_size(name, *image.size)  # Pillow's own limit may be off, by the caller or by _claimed_size
            image.load()
            return _to_rgb(ImageOps.exif_transpose(image))
    except UnidentifiedImageError as error:
        raise MediaError(f"{name}: not an image, or of a format that Pillow cannot read") from error
    except Image.DecompressionBombError as error:
        assert not isinstance(source, Image.Image), "Pillow checks when it opens a file"
        _check_size(name, *_claimed_size(source))
        raise MediaError(f"{name}: {_one_line(error)}") from error  # the caller lowered Pillow's limit
    except MediaError:
        raise
    except Exception as error:  # decoders raise OSError, SyntaxError, struct.error, ValueError and more
        raise MediaError(f"{name}: the image is damaged or truncated ({_one_line(error)})") from error


def pixels(source: ImageSource, size: int) -> NDArray[np.float32]:
    """Pixels (3, size, size) in 0…1 of an image.

    Raises:
        MediaError: as :func:`load_image`.
    """
    from PIL import Image

    image = load_image(source).resize((size, size), Image.Resampling.BILINEAR)
    channels_last = np.asarray(image, dtype=np.float32) / np.float32(255)
    return np.ascontiguousarray(channels_last.transpose(2, 0, 1))


def _check_size(name: str, width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise MediaError(
            f"{name}: {width} x {height} pixels, at most {MAX_PIXELS:,} in all can be read; scale the image down"
        )


def _claimed_size(source: FileSource) -> tuple[int, int]:
    """Width and height from the header of an image that Pillow refuses to open for its size."""
    from PIL import Image

    with _PILLOW_LIMIT, open_source(source, "image") as stream:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            with Image.open(stream, formats=FORMATS) as image:
                return image.size
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _to_rgb(image: Image) -> Image:
    from PIL import Image as PILImage

    if min(image.size) == 0:
        raise MediaError(f"image: expected at least 1 x 1 pixels, got {image.width} x {image.height}")
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode == "F" or image.mode.startswith("I"):
        return _from_deep_grey(image)
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        canvas = PILImage.new("RGBA", rgba.size, (*BACKGROUND, 255))
        return PILImage.alpha_composite(canvas, rgba).convert("RGB")
    return image.convert("RGB")


def _from_deep_grey(image: Image) -> Image:
    """16-bit, 32-bit and float grey to 8 bits, scaled: Pillow's own conversion clips at 255."""
    from PIL import Image as PILImage

    values = np.asarray(image).astype(np.float64)
    if not np.isfinite(values).all():
        raise MediaError("image: expected finite grey values, got NaN or infinity")
    peak = values.max()
    if image.mode == "F" and peak <= 1:
        full = 1.0
    elif peak <= 255 and image.mode in ("I", "F"):
        full = 255.0  # a 32-bit container of 8-bit values
    else:
        full = 65535.0
    if values.min() < 0 or peak > full:
        raise MediaError(f"image: expected grey values from 0 to {full:g}, got {values.min():g} to {peak:g}")
    grey = np.rint(values * (255 / full)).astype(np.uint8)
    return PILImage.fromarray(grey).convert("RGB")


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


def _one_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
