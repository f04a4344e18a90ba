"""Pictures that hold nothing of the world: blank ones, noise, and what looks like a photograph."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from .pictures import picture
from .world.phrasing import chance, pick
from .world.scene import Scene

Array = NDArray[np.float32]
SIDES_PX = (80, 96, 112, 128, 160, 224)


def unknown_picture(rng: np.random.Generator, held_out: bool = False) -> tuple[Image.Image, str]:
    """A picture and its kind: ``blank``, ``noise`` or ``photograph``; evaluation's photographs are of another kind."""
    width, height = int(rng.choice(SIDES_PX)), int(rng.choice(SIDES_PX))
    kind = pick(rng, ("blank", "noise", "photograph", "photograph"))
    if kind == "blank":
        return _blank(width, height, rng), kind
    if kind == "noise":
        return _noise(width, height, rng), kind
    if held_out:
        image = _still_life(width, height, rng)
    else:
        image = pick(rng, TRAINED)(width, height, rng)
        if chance(rng, 0.3):
            image = _cropped(image, rng)
    return _as_taken(image, rng), kind


def drawn(scene: Scene, rng: np.random.Generator) -> Image.Image:
    """A scene's picture; of one without things, one of training's pictures of nothing known."""
    return picture(scene, rng) if scene.things else unknown_picture(rng)[0]


def _image(values: Array | NDArray[np.float64]) -> Image.Image:
    return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))


def _plain_colour(rng: np.random.Generator, black_or_white: float) -> NDArray[np.float64]:
    """Any colour, in that share of the cases black or white."""
    return np.full(3, rng.choice((0.0, 255.0))) if chance(rng, black_or_white) else rng.uniform(0, 255, 3)


def _places(width: int, height: int) -> Array:
    """Rows and columns of all pixels, (2, height, width)."""
    return np.mgrid[0:height, 0:width].astype(np.float32)


def _blank(width: int, height: int, rng: np.random.Generator) -> Image.Image:
    """One colour, or one that goes over into another, with the grain that cameras and JPEG add."""
    colour = _plain_colour(rng, 0.3)
    other = rng.uniform(0, 255, 3) if chance(rng, 0.3) else colour
    slope = np.linspace(0, 1, height)[:, None, None]
    canvas = np.broadcast_to(colour * (1 - slope) + other * slope, (height, width, 3)).copy()
    if chance(rng, 0.3):
        canvas += rng.exponential(5) * rng.standard_normal(canvas.shape)
    return _image(canvas)


def _noise(width: int, height: int, rng: np.random.Generator) -> Image.Image:
    """White or coarse, gray or coloured."""
    coarse = int(rng.choice((1, 1, 2, 4, 8)))
    channels = 3 if chance(rng, 0.6) else 1
    shape = (-(-height // coarse), -(-width // coarse), channels)
    drawn = (
        rng.uniform(0, 255, shape)
        if chance(rng, 0.5)
        else 127 + rng.uniform(20, 80) * rng.standard_normal(shape)
    )
    grains = np.repeat(np.repeat(drawn, coarse, 0), coarse, 1)[:height, :width]
    return _image(np.broadcast_to(grains, (height, width, 3)))


def fractal(width: int, height: int, rng: np.random.Generator, roughness: float) -> Array:
    """Noise of all sizes, as clouds and ground have, (height, width) with mean 0 and deviation 1."""
    fy, fx = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]
    frequency = np.maximum(np.hypot(fy, fx), 1 / max(width, height))
    spectrum = np.fft.rfft2(rng.standard_normal((height, width))) * frequency**-roughness
    out = np.fft.irfft2(spectrum, (height, width))
    return np.asarray((out - out.mean()) / (out.std() + 1e-9), np.float32)


def _textured(
    width: int, height: int, colour: Array | NDArray[np.float64], rng: np.random.Generator
) -> Array:
    light = fractal(width, height, rng, rng.uniform(0.8, 2.0)) * rng.uniform(8, 40)
    tint = fractal(width, height, rng, 1.5)[..., None] * rng.uniform(-12, 12, 3)
    return np.asarray(colour + light[..., None] + tint, np.float32)


def _clouds(width: int, height: int, rng: np.random.Generator) -> Image.Image:
    return _image(_textured(width, height, rng.uniform(30, 225, 3), rng))


def _landscape(width: int, height: int, rng: np.random.Generator) -> Image.Image:
    """Sky over ridges that get darker as they come nearer."""
    canvas = _textured(width, height, np.array((rng.uniform(90, 200), rng.uniform(130, 210), 225.0)), rng)
    base = rng.uniform(20, 140, 3)
    for layer in range(int(rng.integers(1, 5))):
        ridge = np.cumsum(rng.standard_normal(width)) * rng.uniform(0.2, 1.2)
        ridge = ridge - ridge.mean() + height * (0.35 + 0.15 * layer + rng.uniform(-0.05, 0.05))
        below = np.arange(height)[:, None] > ridge[None]
        canvas[below] = _textured(width, height, base * 0.8**layer, rng)[below]
    return _image(canvas)


def _town(width: int, height: int, rng: np.random.Generator) -> Image.Image:
    """Walls with rows of windows, in perspective of a kind."""
    image = _clouds(width, height, rng)
    draw = ImageDraw.Draw(image)
    x = -rng.uniform(0, width / 5)
    while x < width:
        wide, tall = rng.uniform(width / 8, width / 2.5), rng.uniform(height / 3, height)
        wall = tuple(int(v) for v in rng.uniform(40, 200, 3))
        draw.polygon(
            [
                (x, height),
                (x, height - tall),
                (x + wide, height - tall * rng.uniform(0.8, 1)),
                (x + wide, height),
            ],
            fill=wall,
        )
        step = max(4.0, wide / rng.integers(2, 6))
        window = tuple(int(v * rng.uniform(0.3, 1.4)) for v in wall)
        for wy in np.arange(height - tall + step, height, step * 1.3):
            for wx in np.arange(x + step / 3, x + wide - step / 2, step):
                draw.rectangle([wx, wy, wx + step / 2, wy + step / 1.6], fill=window)
        x += wide * rng.uniform(0.8, 1.4)
    return image


def _crowd(width: int, height: int, rng: np.random.Generator) -> Image.Image:
    """Many overlapping blots of like colours: leaves, stones, people far away."""
    image = _clouds(width, height, rng)
    draw = ImageDraw.Draw(image)
    palette = rng.uniform(20, 235, (int(rng.integers(2, 6)), 3))
    for _ in range(int(rng.integers(60, 400))):
        colour = palette[int(rng.integers(len(palette)))] + rng.normal(0, 20, 3)
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        corners = int(rng.integers(5, 9))
        radius = rng.uniform(0.01, 0.07) * height
        angles = np.sort(rng.uniform(0, 2 * math.pi, corners))
        reach = radius * rng.uniform(0.4, 1.3, corners)
        draw.polygon(
            [
                (float(x + r * math.cos(a)), float(y + r * math.sin(a)))
                for a, r in zip(angles, reach, strict=True)
            ],
            fill=tuple(int(np.clip(v, 0, 255)) for v in colour),
        )
    return image


def _pattern(width: int, height: int, rng: np.random.Generator) -> Image.Image:
    """A chessboard, stripes or dots, turned and worn: cloth, tiles, fences."""
    angle, cells = rng.uniform(0, math.pi) if chance(rng, 0.6) else 0.0, rng.uniform(5, 16)
    ys, xs = np.mgrid[0:height, 0:width] / min(width, height) * cells
    u, v = xs * math.cos(angle) + ys * math.sin(angle), ys * math.cos(angle) - xs * math.sin(angle)
    kind = pick(rng, ("board", "stripes", "dots"))
    if kind == "board":
        marked = (np.floor(u) + np.floor(v)) % 2 == 1
    elif kind == "stripes":
        marked = u % 1 < rng.uniform(0.2, 0.8)
    else:
        marked = (u % 1 - 0.5) ** 2 + (v % 1 - 0.5) ** 2 < rng.uniform(0.03, 0.15)
    colours = [_textured(width, height, rng.uniform(0, 255, 3), rng) for _ in range(2)]
    return _image(np.where(marked[..., None], *colours))


def _page(width: int, height: int, rng: np.random.Generator) -> Image.Image:
    """Lines of small marks, as writing has."""
    image = _image(_textured(width, height, rng.uniform(180, 255, 3), rng))
    draw = ImageDraw.Draw(image)
    ink = tuple(int(v) for v in rng.uniform(0, 110, 3))
    line, indent = rng.uniform(0.04, 0.12) * height, rng.uniform(0, 0.15) * width
    for y in np.arange(line, height - line, line):
        x, end = indent, rng.uniform(0.6, 1) * width
        while x < end:
            wide = line * rng.uniform(0.15, 0.5)
            if not chance(rng, 0.18):
                top, bottom = y + line * rng.uniform(0, 0.3), y + line * rng.uniform(0.5, 0.7)
                draw.line(
                    (x, bottom, x + wide * rng.uniform(0, 1), top), fill=ink, width=max(1, int(line / 8))
                )
            x += wide
    return image


def _night(width: int, height: int, rng: np.random.Generator) -> Image.Image:
    """Lights in the dark, near and far: stars, windows, lamps out of focus."""
    canvas = _textured(width, height, rng.uniform(0, 45, 3), rng) * rng.uniform(0.3, 1)
    ys, xs = _places(width, height)
    for _ in range(int(rng.integers(15, 120))):
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        radius = rng.uniform(0.003, 0.03) * height
        glow = np.exp(-((xs - x) ** 2 + (ys - y) ** 2) / (2 * radius**2))
        canvas += glow[..., None] * (255 - rng.uniform(0, 140, 3)) * rng.uniform(0.3, 1.2)
    return _image(canvas)


def _room(width: int, height: int, rng: np.random.Generator) -> Image.Image:
    """Walls, floor and furniture: flat things, each of which gets darker to one side and has a shadow."""
    canvas = _textured(width, height, rng.uniform(60, 230, 3), rng)
    ys, xs = _places(width, height)
    floor = ys > height * rng.uniform(0.5, 0.85) + (xs - width / 2) * rng.uniform(-0.3, 0.3)
    canvas[floor] = _textured(width, height, rng.uniform(20, 180, 3), rng)[floor]
    for _ in range(int(rng.integers(3, 12))):
        x, y = rng.uniform(-0.2, 1, 2) * (width, height)
        wide, tall = rng.uniform(0.05, 0.6, 2) * (width, height)
        lean = rng.normal(0, 0.25)
        u, v = (xs - x - lean * (ys - y)) / wide, (ys - y - lean * 0.5 * (xs - x)) / tall
        shadow = (u > 0.1) & (u < 1.25) & (v > 0.1) & (v < 1.1)
        canvas[shadow] *= rng.uniform(0.5, 0.95)
        inside = (u > 0) & (u < 1) & (v > 0) & (v < 1)
        slope = 1 + rng.uniform(-0.5, 0.5) * (u - 0.5) + rng.uniform(-0.5, 0.5) * (v - 0.5)
        canvas[inside] = (rng.uniform(10, 255, 3) * slope[..., None])[inside]
    return _image(canvas)


def _outlines(width: int, height: int, rng: np.random.Generator) -> Image.Image:
    """Things of no shape that has a name, of one colour each or lit from one side: animals, plants, signs."""
    plain = chance(rng, 0.5)
    if plain:
        canvas = np.full((height, width, 3), _plain_colour(rng, 0.5), np.float32)
    else:
        canvas = _textured(width, height, rng.uniform(0, 255, 3), rng)
    ys, xs = _places(width, height)
    for _ in range(int(rng.integers(1, 6))):
        x, y = rng.uniform(0.15, 0.85, 2) * (width, height)
        angle = np.arctan2(ys - y, xs - x)
        reach = np.ones_like(angle)
        for wave in range(1, 8):
            reach += rng.normal(0, 0.75 / wave**0.7) * np.cos(wave * angle + rng.uniform(0, 2 * math.pi))
        size = rng.uniform(0.08, 0.3) * min(width, height)
        inside = np.hypot(xs - x, ys - y) < size * np.abs(reach)
        colour = np.full(canvas.shape, rng.uniform(0, 255, 3))
        if not plain:
            colour = colour * (1 + 0.4 * np.cos(angle + rng.uniform(0, 2 * math.pi)))[..., None]
            colour = colour + 15 * fractal(width, height, rng, 1.2)[..., None]
        canvas[inside] = colour[inside]
    return _image(canvas)


def _strokes(width: int, height: int, rng: np.random.Generator) -> Image.Image:
    """Lines that bend, of a pen, of branches, of wires."""
    image = _image(_textured(width, height, rng.uniform(0, 255, 3), rng))
    draw = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(3, 30))):
        steps = int(rng.integers(5, 40))
        heading = rng.uniform(0, 2 * math.pi) + np.cumsum(rng.normal(0, rng.uniform(0.05, 0.8), steps))
        stride = rng.uniform(0.01, 0.05) * min(width, height)
        x = rng.uniform(0, width) + np.cumsum(np.cos(heading)) * stride
        y = rng.uniform(0, height) + np.cumsum(np.sin(heading)) * stride
        ink = tuple(int(v) for v in rng.uniform(0, 255, 3))
        draw.line(list(zip(x.tolist(), y.tolist(), strict=True)), fill=ink, width=int(rng.integers(1, 6)))
    return image


def _cropped(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """A part of it, larger, as seen from near."""
    width, height = image.size
    share = rng.uniform(0.25, 0.7)
    left, top = rng.uniform(0, 1 - share, 2) * (width, height)
    box = (int(left), int(top), int(left + share * width), int(top + share * height))
    return image.crop(box).resize(image.size, Image.Resampling.BICUBIC)


# What photographs of training are; evaluation's are still lifes.
TRAINED = (_landscape, _clouds, _town, _crowd, _pattern, _page, _night, _room, _outlines, _strokes)


def _still_life(width: int, height: int, rng: np.random.Generator) -> Image.Image:
    """Round bodies lit from one side on a table, out of focus: for evaluation alone."""
    canvas = _textured(width, height, rng.uniform(40, 200, 3), rng)
    ys, xs = _places(width, height)
    edge = height * rng.uniform(0.4, 0.7)
    canvas[ys > edge] = _textured(width, height, rng.uniform(40, 160, 3), rng)[ys > edge]
    for _ in range(int(rng.integers(6, 14))):
        cx, cy = rng.uniform(0, width), edge + rng.uniform(-0.15, 0.3) * height
        rx, ry = rng.uniform(0.03, 0.16, 2) * height
        distance = ((xs - cx) / rx) ** 2 + ((ys - cy) / ry) ** 2
        inside = np.clip((1.1 - distance) * 4, 0, 1)[..., None]
        lit = np.clip(1 - np.hypot(xs - cx + rx / 2, ys - cy + ry / 2) / (2.2 * max(rx, ry)), 0.1, 1)
        colour = rng.uniform(60, 255, 3) * lit[..., None] + 20 * fractal(width, height, rng, 1.2)[..., None]
        canvas = canvas * (1 - inside) + colour * inside
    return _image(canvas)


def _as_taken(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Out of focus a little, with a vignette and grain."""
    if chance(rng, 0.6):
        image = image.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.3, 2.5))))
    values = np.asarray(image, np.float32)
    height, width = values.shape[:2]
    ys, xs = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    values = values * (1 - rng.uniform(0, 0.3) * (xs**2 + ys**2))[..., None]
    return _image(values + rng.exponential(4) * rng.standard_normal(values.shape))
