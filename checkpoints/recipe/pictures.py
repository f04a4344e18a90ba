"""Draws scenes, each in a style of its own: the shapes are the truth, everything else is there to be ignored.

Styles vary the canvas size and its form, anti-aliasing, shades, outlines, rotation, shading, background
textures, noise, blur and JPEG, so that the model learns shapes and not one program's way of drawing them.
"""

from __future__ import annotations

import colorsys
import io
import math
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from .world.lexicon import COLOURS
from .world.phrasing import chance
from .world.scene import Scene, Thing

Hsv = tuple[tuple[float, float], tuple[float, float], tuple[float, float]]

SHADES: dict[str, Hsv] = {  # hue in degrees (may pass below 0), saturation and value in 0…1
    "red": ((-8, 8), (0.8, 1), (0.76, 1)), "orange": ((24, 40), (0.85, 1), (0.9, 1)),
    "yellow": ((50, 62), (0.65, 1), (0.88, 1)), "green": ((95, 150), (0.55, 1), (0.4, 1)),
    "blue": ((207, 245), (0.65, 1), (0.5, 1)), "purple": ((268, 301), (0.5, 1), (0.45, 0.9)),
    "pink": ((318, 351), (0.2, 0.6), (0.92, 1)), "brown": ((-2, 32), (0.55, 0.87), (0.34, 0.65)),
    "black": ((0, 360), (0, 0.4), (0, 0.12)), "white": ((0, 360), (0, 0.04), (0.95, 1)),
    "gray": ((0, 360), (0, 0.07), (0.36, 0.74)),
}  # fmt: skip
"""What each colour word covers; the CSS colours of these names lie inside."""

CANVAS_SIDES_PX = (80, 96, 96, 112, 112, 128, 128, 160, 224)
SUPERSAMPLED_SIDE_LIMIT_PX = 400  # drawing larger than this costs more than training on it
MIN_BACKGROUND_DISTANCE = 110.0  # of RGB, between a shape's fill and a free background colour

Array = np.ndarray


@dataclass(frozen=True)
class Look:
    """How one thing is drawn; fixed for all frames of a film."""

    fill: Array
    angle: float
    aspect: float
    outline: Array | None
    outline_width: float  # as a part of the picture's side
    hollow: bool
    shading: float


@dataclass(frozen=True)
class Style:
    """How one picture is drawn, apart from its things."""

    width: int
    height: int
    supersampling: int
    ground: Array
    ground_end: Array
    texture: str
    texture_strength: float
    noise: float
    salt: float
    blur: float
    jpeg_quality: int
    looks: tuple[Look, ...]


def shade(colour: str, rng: np.random.Generator) -> Array:
    """A random RGB colour (0…255) that the word ``colour`` names."""
    hue, saturation, value = (rng.uniform(*span) for span in SHADES[colour])
    return 255 * np.asarray(colorsys.hsv_to_rgb((hue / 360) % 1, saturation, value))


def draw_look(thing: Thing, rng: np.random.Generator) -> Look:
    spread = {"square": 20.0, "heart": 35.0}.get(thing.shape, 180.0)
    angle = float(rng.uniform(-spread, spread)) if chance(rng, 0.6) else 0.0
    outline, hollow = None, False
    fill = shade(thing.colour, rng)
    if chance(rng, 0.07) and thing.shape not in ("star", "cross", "heart"):
        hollow, outline = True, fill
    elif chance(rng, 0.25):
        outline = (
            np.full(3, 0.0 if fill.sum() > 200 else 255.0)
            if thing.size == "small" or chance(rng, 0.7)
            else rng.uniform(0, 255, 3)
        )
    return Look(
        fill=fill,
        angle=angle if thing.shape != "rectangle" or chance(rng, 0.5) else float(rng.choice((0.0, 90.0))),
        aspect=float(rng.uniform(0.36, 0.58)),
        outline=outline,
        outline_width=float(rng.uniform(0.025, 0.04) if hollow else rng.uniform(0.006, 0.018)),
        hollow=hollow,
        shading=float(rng.uniform(0, 0.25)) if chance(rng, 0.2) else 0.0,
    )


def draw_style(scene: Scene, rng: np.random.Generator) -> Style:
    """A random style that keeps every thing of ``scene`` visible."""
    looks = tuple(draw_look(t, rng) for t in scene.things)
    ground = shade(scene.background, rng)
    if chance(rng, 0.3):  # any colour at all, named or not, as long as every thing stands out
        for _ in range(20):
            free = rng.uniform(0, 255, 3)
            if all(np.linalg.norm(free - look.fill) > MIN_BACKGROUND_DISTANCE for look in looks):
                ground = free
                break
    end = np.clip(ground + rng.uniform(-35, 35, 3), 0, 255) if chance(rng, 0.35) else ground
    side = int(rng.choice(CANVAS_SIDES_PX))
    stretch = float(rng.uniform(0.8, 1.25)) if chance(rng, 0.2) else 1.0
    noisy = chance(rng, 0.5)
    return Style(
        width=max(int(side * stretch), 64),
        height=side,
        supersampling=max(1, min(int(rng.choice((1, 2, 3))), SUPERSAMPLED_SIDE_LIMIT_PX // side)),
        ground=ground,
        ground_end=end,
        texture=str(rng.choice(("none", "none", "stripes", "checks", "clouds"))),
        texture_strength=float(rng.uniform(3, 18)),
        noise=float(rng.exponential(8)) if noisy else 0.0,
        salt=float(rng.uniform(0, 0.02)) if chance(rng, 0.1) else 0.0,
        blur=float(rng.uniform(0.2, 0.012 * side)) if chance(rng, 0.2) else 0.0,
        jpeg_quality=int(rng.integers(30, 95)) if chance(rng, 0.2) else 0,
        looks=looks,
    )


def outline_points(shape: str, aspect: float) -> Array:
    """Corners (n, 2) of a shape inside the circle of radius 1, y down."""
    if shape in ("circle", "heart"):
        t = np.linspace(0, 2 * math.pi, 48, endpoint=False)
        if shape == "circle":
            return np.stack((np.cos(t), np.sin(t)), axis=-1)
        x = 16 * np.sin(t) ** 3
        y = -(13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t))
        return np.stack((x, y - 2), axis=-1) / 17.0
    if shape in ("square", "rectangle"):
        w, h = (1.0, 1.0) if shape == "square" else (1.0, aspect)
        return np.asarray(((-w, -h), (w, -h), (w, h), (-w, h))) / math.hypot(w, h)
    if shape == "triangle":
        t = -math.pi / 2 + np.arange(3) * 2 * math.pi / 3
        return np.stack((np.cos(t), np.sin(t)), axis=-1)
    if shape == "star":
        t = -math.pi / 2 + np.arange(10) * math.pi / 5
        radius = np.where(np.arange(10) % 2 == 0, 1.0, aspect)
        return np.stack((np.cos(t), np.sin(t)), axis=-1) * radius[:, None]
    arm = 0.18 + 0.3 * (aspect - 0.36)  # cross
    a, b = arm, math.sqrt(1 - arm * arm)
    points = [np.asarray(((-a, -b), (a, -b), (a, -a)))]
    for _ in range(3):
        points.append(points[-1] @ np.asarray(((0, 1), (-1, 0))))  # a quarter turn
    return np.concatenate(points)


def draw(scene: Scene, style: Style, rng: np.random.Generator) -> Image.Image:
    """The picture of ``scene`` in ``style``; ``rng`` gives the grain, which differs from frame to frame."""
    w, h = style.width, style.height
    canvas = _ground(style)
    ys, xs = np.mgrid[0:h, 0:w].astype(np.float32) / max(w, h)
    for thing, look in zip(scene.things, style.looks, strict=True):
        mask, edge = _masks(thing, look, style)
        fill: Array = look.fill.astype(np.float32)
        if look.shading:
            fill = fill * (1 + look.shading * ((xs + ys) - thing.x - thing.y) * 2)[..., None]
        if not look.hollow:
            canvas += (fill - canvas) * mask[..., None]
        if look.outline is not None:
            canvas += (look.outline.astype(np.float32) - canvas) * edge[..., None]
    if style.noise:
        canvas += style.noise * rng.standard_normal(canvas.shape, dtype=np.float32)
    if style.salt:
        canvas[rng.random((h, w)) < style.salt] = rng.choice((0.0, 255.0))
    image = Image.fromarray(np.clip(canvas, 0, 255).astype(np.uint8))
    if style.blur:
        image = image.filter(ImageFilter.GaussianBlur(style.blur))
    if style.jpeg_quality:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=style.jpeg_quality)
        image = Image.open(buffer).convert("RGB")
    return image


def picture(scene: Scene, rng: np.random.Generator) -> Image.Image:
    """One picture of a scene, in a random style."""
    return draw(scene, draw_style(scene, rng), rng)


def film_frames(frames: tuple[Scene, ...], rng: np.random.Generator) -> list[Image.Image]:
    """Pictures of a film: one style for all, fresh grain in each."""
    style = draw_style(frames[0], rng)
    looks = dict(zip((_identity(t) for t in frames[0].things), style.looks, strict=True))
    out = []
    for scene in frames:
        in_order = tuple(looks[_identity(t)] for t in scene.things)
        out.append(draw(scene, Style(**{**vars(style), "looks": in_order}), rng))
    return out


def _identity(thing: Thing) -> tuple[str, str, str, float]:
    return thing.size, thing.colour, thing.shape, thing.extent


def _ground(style: Style) -> Array:
    w, h = style.width, style.height
    ys, xs = np.mgrid[0:h, 0:w].astype(np.float32)
    slope = (ys / h)[..., None]
    canvas = style.ground.astype(np.float32) * (1 - slope) + style.ground_end.astype(np.float32) * slope
    period = max(w, h) / 8
    if style.texture == "stripes":
        canvas += (style.texture_strength * np.sin(2 * math.pi * xs / period))[..., None]
    elif style.texture == "checks":
        canvas += (style.texture_strength * (((xs // period + ys // period) % 2) - 0.5))[..., None]
    elif style.texture == "clouds":
        waves = np.sin(xs / period * 2.1 + ys / period * 1.3) + np.sin(
            xs / period * 0.7 - ys / period * 2.7 + 1
        )
        canvas += (style.texture_strength * 0.5 * waves)[..., None]
    return canvas


def _masks(thing: Thing, look: Look, style: Style) -> tuple[Array, Array]:
    """Coverage (h, w) of the inside and of the outline, 0…1."""
    s, w, h = style.supersampling, style.width, style.height
    turn = math.radians(look.angle)
    rotation = np.asarray(((math.cos(turn), math.sin(turn)), (-math.sin(turn), math.cos(turn))))
    points = outline_points(thing.shape, look.aspect) @ rotation * thing.extent / 2 + (thing.x, thing.y)
    corners = [(float(x * w * s), float(y * h * s)) for x, y in points]
    inside = Image.new("L", (w * s, h * s))
    ImageDraw.Draw(inside).polygon(corners, fill=255)
    edge = Image.new("L", (w * s, h * s))
    if look.outline is not None:
        thickness = max(1, round(look.outline_width * h * s))
        ImageDraw.Draw(edge).line([*corners, *corners[:2]], fill=255, width=thickness, joint="curve")
        if look.hollow:  # the line stays inside the shape, so that its extent is the shape's
            edge = Image.fromarray(np.minimum(np.asarray(edge), np.asarray(inside)))
    if s > 1:
        inside, edge = inside.resize((w, h), Image.Resampling.BOX), edge.resize((w, h), Image.Resampling.BOX)
    return np.asarray(inside, np.float32) / 255, np.asarray(edge, np.float32) / 255


def pixels(image: Image.Image, side: int) -> Array:
    """What the vision encoder takes, uint8 (3, side, side): bilinear, whatever the picture's form."""
    resized = image.convert("RGB").resize((side, side), Image.Resampling.BILINEAR)
    return np.asarray(resized, np.uint8).transpose(2, 0, 1)


assert set(SHADES) == set(COLOURS)
