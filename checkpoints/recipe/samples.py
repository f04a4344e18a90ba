"""``python -m recipe.samples``: the files that the README's commands look at and listen to.

They are drawn by librsvg, which training never used. The question about the picture is read by a voice that it never
used either (Flite's slt), the other one by one that it did (rms).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image

from .svg_pictures import svg_picture
from .voices import SAMPLE_RATE_HZ, Reader, Readers
from .world.scene import Scene, Thing

SHAPES = Scene(
    (
        Thing("circle", "red", "big", 0.24, 0.30, 0.38),
        Thing("star", "yellow", "small", 0.52, 0.72, 0.20),
        Thing("square", "blue", "big", 0.76, 0.40, 0.36),
    ),
    "white",
)
FILM_STEPS = (0.2, 0.4, 0.6, 0.8)
QUESTIONS = {"question": ("slt", "What do you see?"), "days": ("rms", "What day comes after Monday?")}
"""File -> voice and words."""

SILENCE_S = 0.3


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m recipe.samples", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("demo/samples"))
    out: Path = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    square(svg_picture(SHAPES, np.random.default_rng(0))).save(out / "shapes.png", optimize=True)
    frames = []
    for x in FILM_STEPS:
        scene = Scene((Thing("heart", "green", "big", x, 0.5, 0.34),), "black")
        frames.append(square(svg_picture(scene, np.random.default_rng(0))))
    frames[0].save(out / "film.gif", save_all=True, append_images=frames[1:], duration=400, loop=0)
    readers = Readers()
    quiet = np.zeros(int(SILENCE_S * SAMPLE_RATE_HZ), np.float32)
    for name, (voice, text) in QUESTIONS.items():
        reader = Reader("flite", voice, words_per_minute=150, pitch=50, pitch_range=50, word_gap=0, speed=1.0)
        samples = np.concatenate((quiet, readers.read(text, reader), quiet))
        soundfile.write(out / f"{name}.wav", samples, SAMPLE_RATE_HZ, subtype="PCM_16")


def square(image: Image.Image, side: int = 256) -> Image.Image:
    return image.resize((side, side), Image.Resampling.LANCZOS)


if __name__ == "__main__":
    main()
