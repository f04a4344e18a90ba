"""Images of every kind become the right pixels, or a clear error."""

from __future__ import annotations

import io
import struct
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFile, features

from muomni.errors import MediaError, MissingPackageError
from muomni.media.image import load_image, pixels

RGB = np.random.default_rng(0).integers(0, 256, (12, 20, 3), dtype=np.uint8)
GREY = RGB[..., 0]


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def png_header(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0"))
        + chunk(b"IEND", b"")
    )


def test_pixels_are_the_bilinear_resize_divided_by_255() -> None:
    expected = np.asarray(Image.fromarray(RGB).resize((16, 16), Image.Resampling.BILINEAR), np.float32) / 255
    for source in (RGB, Image.fromarray(RGB), encoded(Image.fromarray(RGB))):
        got = pixels(source, 16)
        assert got.dtype == np.float32 and got.flags.c_contiguous
        assert (got == expected.transpose(2, 0, 1)).all()


def test_a_path_may_be_a_string_or_a_path(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(RGB).save(path)
    assert (np.asarray(load_image(path)) == np.asarray(load_image(str(path)))).all()


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("1", np.where(GREY > 127, 255, 0)),
        ("L", GREY),
        ("I;16", GREY),
        ("I", GREY),
        ("F", GREY),
    ],
)
def test_grey_of_every_depth_becomes_the_same_rgb(mode: str, expected: np.ndarray) -> None:
    image = Image.fromarray(GREY)
    if mode == "1":
        image = image.point(lambda v: 255 if v > 127 else 0).convert("1")
    elif mode == "I;16":
        image = Image.fromarray(GREY.astype(np.uint16) * 257)  # 8 bits scaled to 16
    elif mode != "L":
        image = image.convert(mode)
    got = np.asarray(load_image(image))
    assert got.shape == (12, 20, 3)
    assert (got == expected[..., None]).all()


def test_a_16_bit_png_is_scaled_not_clipped() -> None:
    deep = Image.fromarray(GREY.astype(np.uint16) * 257)
    assert (np.asarray(load_image(encoded(deep)))[..., 0] == GREY).all()


@pytest.mark.parametrize("mode", ["P", "CMYK", "YCbCr", "HSV", "LAB", "RGBX"])
def test_colour_modes_become_rgb(mode: str) -> None:
    image = Image.fromarray(RGB).convert(mode)
    assert (np.asarray(load_image(image)) == np.asarray(image.convert("RGB"))).all()


def test_transparent_pixels_are_shown_on_white() -> None:
    alpha = np.zeros((12, 20), dtype=np.uint8)
    alpha[:, 10:] = 255
    got = np.asarray(load_image(encoded(Image.fromarray(np.dstack((RGB, alpha))))))
    assert (got[:, :10] == 255).all() and (got[:, 10:] == RGB[:, 10:]).all()
    grey = np.asarray(load_image(encoded(Image.fromarray(np.dstack((GREY, alpha))))))
    assert (grey[:, :10] == 255).all() and (grey[:, 10:, 0] == GREY[:, 10:]).all()
    palette = Image.fromarray(RGB).convert("P")
    got = np.asarray(load_image(encoded(palette, transparency=palette.getpixel((0, 0)))))
    assert (got[0, 0] == 255).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation: int) -> None:
    turn = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    upright = Image.fromarray(RGB)
    stored = upright.transpose(turn[orientation]) if orientation in turn else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert (np.asarray(load_image(encoded(stored, exif=exif))) == RGB).all()


def test_the_first_frame_of_an_animation_is_taken() -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert (np.asarray(load_image(data)) == (255, 0, 0)).all()


@pytest.mark.parametrize(
    "array",
    [
        GREY,
        GREY[..., None],
        RGB,
        np.dstack((RGB, np.full_like(GREY, 255))),
        RGB / 255,
        RGB / np.float32(255),
        GREY / 255,
        np.asfortranarray(RGB),
    ],
)
def test_arrays_of_every_layout(array: np.ndarray) -> None:
    expected = RGB if array.ndim == 3 and array.shape[2] > 1 else GREY[..., None]
    assert (np.asarray(load_image(array)) == expected).all()


@pytest.mark.parametrize(
    ("array", "says"),
    [
        (np.zeros((3, 20, 20, 3), np.uint8), "(H, W)"),
        (np.zeros((4, 4, 2), np.uint8), "(4, 4, 2)"),
        (np.zeros((0, 4, 3), np.uint8), "(0, 4, 3)"),
        (np.zeros(16, np.uint8), "(16,)"),
        (np.full((4, 4), 2.0), "0 to 1"),
        (np.full((4, 4), -0.1), "-0.1"),
        (np.full((4, 4), np.inf), "16 of 16"),
        (np.zeros((4, 4), np.uint16), "uint16"),
        (np.zeros((4, 4), complex), "complex128"),
        (np.broadcast_to(np.uint8(0), (20_000, 20_000)), "110,000,000"),
        (np.full((4, 4), np.nan), "NaN"),
        (np.zeros((4, 4), np.int32), "int32"),
    ],
)
def test_other_arrays_are_refused(array: np.ndarray, says: str) -> None:
    with pytest.raises(MediaError) as caught:
        load_image(array)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "0 bytes"),
        (b"just text", "not an image"),
        (encoded(Image.fromarray(RGB))[:150], "truncated"),
        (encoded(Image.fromarray(np.tile(RGB, (30, 30, 1))), "JPEG")[:9000], "truncated"),
        (encoded(Image.fromarray(np.tile(RGB, (30, 30, 1))), "WEBP")[:2000], "image"),
        (png_header(11_000, 11_000), "11000 x 11000"),
        (png_header(100, 100), "truncated"),
    ],
)
def test_damaged_files_are_refused(data: bytes, says: str) -> None:
    with pytest.raises(MediaError) as caught:
        load_image(data)
    assert says in str(caught.value)


def test_files_that_are_not_there(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    for path, says in (
        (tmp_path / "no.png", "no such file"),
        (tmp_path, "folder"),
        (tmp_path / "empty.png", "empty"),
    ):
        with pytest.raises(MediaError, match=says):
            load_image(path)
    with pytest.raises(MediaError, match="got int"):
        load_image(7)  # type: ignore[arg-type]


def test_a_bool_array_is_black_and_white() -> None:
    assert (np.asarray(load_image(GREY > 127)) == np.where(GREY > 127, 255, 0)[..., None]).all()


def test_a_half_transparent_array_is_mixed_with_white() -> None:
    half = np.full((2, 2, 4), (0, 100, 200, 128), np.uint8)
    got = np.asarray(load_image(half)).astype(int)
    assert np.abs(got - (127, 177, 227)).max() <= 1


@pytest.mark.parametrize(
    ("mode", "values", "says"),
    [
        ("F", [[0.0, np.nan]], "finite"),
        ("F", [[-1.0, 0.5]], "-1"),
        ("I", [[0, 70_000]], "65535"),
        ("I", [[-5, 70]], "-5"),
    ],
)
def test_deep_grey_out_of_range_is_refused(mode: str, values: list[list[float]], says: str) -> None:
    image = Image.fromarray(np.array(values, np.float32 if mode == "F" else np.int32))
    assert image.mode == mode
    with pytest.raises(MediaError) as caught:
        load_image(image)
    assert says in str(caught.value)


@pytest.mark.parametrize(("full", "kind"), [(1.0, "F"), (255.0, "F"), (65535.0, "F"), (65535, "I")])
def test_deep_grey_is_scaled_by_its_range(full: float, kind: str) -> None:
    ramp = np.array([[0, 0.2, 1.0]]) * full
    image = Image.fromarray(ramp.astype(np.float32 if kind == "F" else np.int32))
    assert np.asarray(load_image(image))[0, :, 0].tolist() == [0, 51, 255]


@pytest.mark.parametrize(("mode", "kind"), [("CMYK", "JPEG"), ("L", "JPEG"), ("CMYK", "TIFF"), ("1", "PNG")])
def test_files_that_are_not_rgb(mode: str, kind: str) -> None:
    data = encoded(Image.fromarray(RGB).convert(mode), kind)
    with Image.open(io.BytesIO(data)) as image:
        expected = np.asarray(image.convert("RGB"))
    assert (np.asarray(load_image(data)) == expected).all()


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
def test_an_animation_of_any_kind_is_its_first_frame(kind: str) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], duration=100, lossless=True)
    assert (np.asarray(load_image(data)) == (255, 0, 0)).all()


def test_a_given_image_is_turned_upright_and_left_as_it_was() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = Image.fromarray(RGB).transpose(Image.Transpose.ROTATE_90)
    with Image.open(io.BytesIO(encoded(stored, exif=exif))) as image:
        got = load_image(image)
        assert (np.asarray(got) == RGB).all()
        assert image.size == (12, 20) and image.getexif()[0x0112] == 6
    assert load_image(stored) is not stored


def test_a_truncated_image_that_was_only_opened_is_refused() -> None:
    data = encoded(Image.fromarray(np.tile(RGB, (10, 10, 1))))
    with (
        Image.open(io.BytesIO(data[: len(data) // 2])) as image,
        pytest.raises(MediaError, match="truncated"),
    ):
        load_image(image)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_no_cut_shows_half_a_picture(kind: str) -> None:
    data = encoded(Image.fromarray(np.tile(RGB, (10, 10, 1))), kind)
    whole = np.asarray(load_image(data))
    for cut in np.linspace(1, len(data) - 1, 25).astype(int):
        try:
            got = np.asarray(load_image(data[:cut]))
        except MediaError:
            continue
        assert (got == whole).all(), (
            f"{kind} cut at {cut} of {len(data)}"
        )  # only what follows the pixels was lost


def test_a_name_makes_no_image(tmp_path: Path) -> None:
    path = tmp_path / "note.png"
    path.write_text("not a picture at all")
    with pytest.raises(MediaError, match=r"note\.png: not an image"):
        load_image(path)
    with pytest.raises(MediaError, match="cannot be read"):
        load_image("a\0b.png")
    with pytest.raises(MediaError, match="cannot be read"):
        load_image("x" * 5000 + ".png")


@pytest.mark.parametrize("pillows_limit", [None, 10**12])
def test_the_pixel_limit_is_ours_where_pillows_is_off(
    pillows_limit: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", pillows_limit)
    with pytest.raises(MediaError, match="30000 x 30000"):
        load_image(png_header(30_000, 30_000))


def test_pillows_limit_stays_on_while_an_image_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is one for the whole process: other threads rely on it."""

    class Watched(type(Image)):  # type: ignore[misc]
        def __setattr__(self, name: str, value: Any) -> None:
            assert name != "MAX_IMAGE_PIXELS", "Pillow's limit was changed"
            super().__setattr__(name, value)

    monkeypatch.setattr(Image, "__class__", Watched)
    with pytest.raises(MediaError, match=r"900000000 pixels\) exceeds limit of 178956970 pixels"):
        load_image(png_header(30_000, 30_000))


def test_a_limit_that_the_caller_lowered_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(MediaError, match="limit of 200 pixels"):
        load_image(encoded(Image.fromarray(RGB)))


def test_reading_truncated_images_on_purpose_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    with pytest.raises(MediaError, match="LOAD_TRUNCATED_IMAGES"):
        load_image(encoded(Image.fromarray(RGB)))


@pytest.mark.parametrize("size", [1, 7, 224])
@pytest.mark.parametrize("shape", [(1, 1), (300, 20), (20, 300)])
def test_pixels_of_any_shape_are_those_of_pillow(size: int, shape: tuple[int, int]) -> None:
    picture = np.random.default_rng(1).integers(0, 256, (*shape, 3), dtype=np.uint8)
    resized = Image.fromarray(picture).resize((size, size), Image.Resampling.BILINEAR)
    expected = (np.asarray(resized, np.float32) / 255).transpose(2, 0, 1)
    assert (pixels(encoded(Image.fromarray(picture)), size) == expected).all()


def exif_of(*entries: tuple[int, int, int, bytes]) -> bytes:
    """EXIF with these entries: tag, type, count, value (TIFF 6.0, section 2)."""
    head = b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries))
    at = len(head) + 12 * len(entries) + 4
    fields = values = b""
    for tag, kind, count, value in entries:
        place = value.ljust(4, b"\0") if len(value) <= 4 else struct.pack("<I", at + len(values))
        fields += struct.pack("<HHI", tag, kind, count) + place
        values += b"" if len(value) <= 4 else value
    return b"Exif\0\0" + head + fields + bytes(4) + values


UPSIDE_DOWN = (0x0112, 3, 1, struct.pack("<H", 3))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize(
    ("exif", "turned"),
    [
        (exif_of(UPSIDE_DOWN, (0x011A, 10, 1, struct.pack("<ii", -1, 0))), True),  # a rational of -1/0
        (exif_of((0x0112, 3, 1, struct.pack("<H", 99))), False),
        (exif_of((0x0112, 2, 5, b"six\0\0")), False),
        (exif_of((0x9286, 7, 50_000, b"x" * 50_000), UPSIDE_DOWN), True),
        (b"Exif\0\0II*\0\xff\xff\xff\xff", False),
        (b"Exif\0\0neither II nor MM", False),
        (exif_of(UPSIDE_DOWN)[:17], False),
    ],
)
def test_no_exif_refuses_a_picture(kind: str, exif: bytes, turned: bool) -> None:
    picture = Image.fromarray(np.repeat(np.repeat(GREY, 8, 0), 8, 1)).convert("RGB")
    stored = picture.transpose(Image.Transpose.ROTATE_180) if turned else picture
    got = np.asarray(load_image(encoded(stored, kind, exif=exif, lossless=True, quality=95))).astype(int)
    assert np.abs(got - np.asarray(picture)).mean() < 8


def with_chunk(png: bytes, kind: bytes, data: bytes, checksum: int | None = None) -> bytes:
    """A PNG with one chunk more, behind its header."""
    value = zlib.crc32(kind + data) if checksum is None else checksum
    return png[:33] + struct.pack(">I", len(data)) + kind + data + struct.pack(">I", value) + png[33:]


@pytest.mark.parametrize(
    ("kind", "data", "checksum"),
    [
        (b"zTXt", b"Comment\0\0" + zlib.compress(bytes(3_000_000)), None),
        (b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(bytes(3_000_000)), None),
        (b"iCCP", b"profile\0\0" + zlib.compress(bytes(3_000_000)), None),
        (b"tEXt", b"Comment\0text", 0),  # its checksum is wrong
        (b"pHYs", b"\0\0", None),
        (b"gAMA", b"", None),
        (b"eXIf", b"II*\0", 0),
    ],
)
def test_no_chunk_beside_the_picture_refuses_a_png(kind: bytes, data: bytes, checksum: int | None) -> None:
    notes: list[str] = []
    png = with_chunk(encoded(Image.fromarray(RGB)), kind, data, checksum)
    assert (np.asarray(load_image(png, notes=notes)) == RGB).all()
    assert all("metadata" in note for note in notes)


def test_a_png_without_its_metadata_is_still_turned_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 3
    png = encoded(Image.fromarray(RGB[::-1, ::-1]), exif=exif)
    notes: list[str] = []
    assert (np.asarray(load_image(with_chunk(png, b"tEXt", b"Comment\0text", 0), notes=notes)) == RGB).all()
    assert len(notes) == 1 and "passed over" in notes[0]


@pytest.mark.parametrize(
    "segment",
    [
        b"\xff\xe0\x00\x07JFIF\0",  # too short for what it should hold
        b"\xff\xe2\x00\x10MPF\0II*\0\xff\xff\xff\xff\0\0",
        b"\xff\xed\x00\x18Photoshop 3.0\0008BIM\x03\xed",
        b"\xff\xe2\xff\xffICC_PROFILE\0" + bytes(65_521),
        b"\xff\xee\x00\x04\0\0",
    ],
)
def test_no_segment_beside_the_picture_refuses_a_jpeg(segment: bytes) -> None:
    plain = encoded(Image.fromarray(RGB), "JPEG")
    assert (np.asarray(load_image(plain[:2] + segment + plain[2:])) == np.asarray(load_image(plain))).all()


def test_a_damaged_picture_is_refused_with_and_without_metadata() -> None:
    png = encoded(Image.fromarray(np.tile(RGB, (20, 20, 1))))
    for data in (png, with_chunk(png, b"tEXt", b"Comment\0text")):
        with pytest.raises(MediaError, match="truncated"):
            load_image(data[: len(data) // 2])


def test_an_avif_with_broken_exif() -> None:
    if not features.check("avif"):
        pytest.skip("this Pillow reads no AVIF")
    exif = exif_of((0x010F, 2, 8, b"camera\0\0"))
    data = encoded(Image.fromarray(np.full((32, 32, 3), 200, np.uint8)), "AVIF", exif=exif, quality=90)
    broken = data.replace(b"II*\0", b"neit").replace(b"MM\0*", b"neit")
    assert broken != data
    assert np.abs(np.asarray(load_image(broken)).astype(int) - 200).max() < 4


HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200)


def test_heic_without_its_plugin_says_what_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(MissingPackageError, match=r"(?s)HEIC.*pip install .muomni\[heic\].*convert"):
        load_image(HEIC)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_heic_with_its_plugin_is_read_upright(orientation: int) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    picture = Image.new("RGB", (64, 48), "white")
    picture.paste((255, 0, 0), (0, 0, 32, 24))
    turn = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
    stored = picture.transpose(turn[orientation]) if orientation in turn else picture
    exif = Image.Exif()
    exif[0x0112] = orientation
    stream = io.BytesIO()
    pillow_heif.from_pillow(stored).save(stream, quality=90, exif=exif.tobytes())
    got = np.asarray(load_image(stream.getvalue())).astype(int)
    assert got.shape == (48, 64, 3) and np.abs(got - np.asarray(picture)).mean() < 8
    with pytest.raises(MediaError):
        load_image(stream.getvalue()[:400])


def test_avif_that_pillow_does_not_know_is_called_by_its_name() -> None:
    with pytest.raises(MediaError, match=r"AVIF|damaged"):
        load_image(b"\0\0\0\x18ftypavif\0\0\0\0mif1avif" + bytes(200))


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"<!DOCTYPE html><html>not found</html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"%PDF-1.7\n", "a PDF"),
        (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>', "an SVG"),
        (b"RIFF\0\0\0\0WAVEfmt ", "--audio-in"),
        (b"PK\x03\x04" + bytes(30), "an archive"),
    ],
)
def test_what_is_no_picture_is_called_by_its_name(data: bytes, says: str) -> None:
    with pytest.raises(MediaError, match=says):
        load_image(data)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "I;16", "F", "CMYK"])
def test_a_picture_of_many_strips_is_that_of_one(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    image = Image.fromarray(RGB).convert("L" if mode in ("LA", "F", "I;16") else "RGB")
    image = Image.fromarray(GREY.astype(np.uint16) * 200) if mode == "I;16" else image.convert(mode)
    whole = np.asarray(load_image(image))
    monkeypatch.setattr("muomni.media.image.STRIP_PIXELS", 50)
    assert (np.asarray(load_image(image)) == whole).all()


@pytest.mark.parametrize(
    "source", [None, 7, {"a": 1}, ["a.png"], [[0, 1], [2, 3]], io.BytesIO(b"x"), object()]
)
def test_wrong_types_are_media_errors(source: Any) -> None:
    with pytest.raises(MediaError, match="expected a path, bytes, PIL image or array, got"):
        load_image(source)


def test_a_url_is_called_a_url() -> None:
    for address in ("https://example.org/a.png", "data:image/png;base64,iVBORw0K", "C:/none.png"):
        says = "no such file" if address.startswith("C") else "download it first"
        with pytest.raises(MediaError, match=says):
            load_image(address)


def test_a_closed_image_is_a_media_error(tmp_path: Path) -> None:
    Image.fromarray(RGB).save(tmp_path / "a.png")
    image = Image.open(tmp_path / "a.png")
    image.close()
    with pytest.raises(MediaError):
        load_image(image)
