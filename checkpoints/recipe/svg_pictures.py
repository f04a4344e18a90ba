"""Scenes as SVG, drawn by librsvg: pictures by a program that training never saw, in plain CSS colours.

What training draws is in :mod:`recipe.pictures`; nothing of that is used here, so that a model which knows its
teacher's way of drawing and not the shapes is found out. Needs ``rsvg-convert`` (Debian: ``librsvg2-bin``).
"""

from __future__ import annotations

import io
import math
import subprocess

import numpy as np
from PIL import Image

from .world.scene import Scene, Thing

PROGRAM = "rsvg-convert"
SIDES_PX = (160, 256, 400, 640)


def svg_picture(scene: Scene, rng: np.random.Generator) -> Image.Image:
    """One picture of a scene, square and without noise.

    Raises:
        FileNotFoundError: ``rsvg-convert`` is not installed.
    """
    side = int(rng.choice(SIDES_PX))
    drawn = subprocess.run(
        [PROGRAM, "--format", "png"], input=svg(scene, side).encode(), capture_output=True, check=True
    )
    return Image.open(io.BytesIO(drawn.stdout)).convert("RGB")


def svg(scene: Scene, side: int) -> str:
    shapes = "".join(shape(thing) for thing in scene.things)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{side}" height="{side}" viewBox="0 0 1 1">'
        f'<rect width="1" height="1" fill="{scene.background}"/>{shapes}</svg>'
    )


def shape(thing: Thing) -> str:
    """An element of the thing's colour in the circle of its extent."""
    r = thing.extent / 2
    place = f'fill="{thing.colour}" transform="translate({thing.x:.4f} {thing.y:.4f}) scale({r:.4f})"'
    if thing.shape == "circle":
        return f'<circle r="1" {place}/>'
    if thing.shape in ("square", "rectangle"):
        half_width, half_height = (0.707, 0.707) if thing.shape == "square" else (0.89, 0.45)
        return (
            f'<rect x="{-half_width}" y="{-half_height}" width="{2 * half_width}" height="{2 * half_height}" '
            f"{place}/>"
        )
    if thing.shape == "cross":
        return f'<path d="M-.25-.95h.5v.7h.7v.5h-.7v.7h-.5v-.7h-.7v-.5h.7z" {place}/>'
    if thing.shape == "heart":
        curve = "M0 .9C-.45 .5-.95 .1-.95-.35C-.95-.75-.65-.9-.45-.9C-.2-.9 0-.7 0-.5"
        mirror = "C0-.7 .2-.9 .45-.9C.65-.9 .95-.75 .95-.35C.95 .1 .45 .5 0 .9z"
        return f'<path d="{curve}{mirror}" {place}/>'
    points = 3 if thing.shape == "triangle" else 10
    corners = []
    for i in range(points):
        radius = 0.45 if thing.shape == "star" and i % 2 else 1.0
        angle = 2 * math.pi * i / points - math.pi / 2
        corners.append(f"{radius * math.cos(angle):.4f},{radius * math.sin(angle):.4f}")
    return f'<polygon points="{" ".join(corners)}" {place}/>'
