"""``python -m recipe.samples``: the files that the README's commands look at and listen to.

They are drawn by librsvg, which training never used, and read by blends of Kokoro's styles that it never used either.
With ``--bundle``, also what the model itself sounds like.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image

from muomni import Omni, write_wav

from .held_out_voices import HeldOutVoices
from .seeds import generator
from .svg_pictures import svg_picture
from .voices import SAMPLE_RATE_HZ
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
QUESTIONS = {"question": "What do you see?", "days": "What day comes after Monday?"}
"""File -> words."""
SPEECH = "Hello! I am a small model, and I say any English text. It costs $12.50 on the 21st of May, at 3:30."


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m recipe.samples", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("demo/samples"))
    parser.add_argument("--bundle", type=Path, help="says speech.wav")
    args = parser.parse_args()
    out: Path = args.out
    out.mkdir(parents=True, exist_ok=True)
    square(svg_picture(SHAPES, np.random.default_rng(0))).save(out / "shapes.png", optimize=True)
    frames = []
    for x in FILM_STEPS:
        scene = Scene((Thing("heart", "green", "big", x, 0.5, 0.34),), "black")
        frames.append(square(svg_picture(scene, np.random.default_rng(0))))
    frames[0].save(out / "film.gif", save_all=True, append_images=frames[1:], duration=400, loop=0)
    voices = HeldOutVoices()
    for name, text in QUESTIONS.items():
        samples = voices.read(text, "held-out blends", generator("evaluation", 0, "samples", len(text)))
        soundfile.write(out / f"{name}.wav", samples, SAMPLE_RATE_HZ, subtype="PCM_16")
    if args.bundle:
        with Omni.load(args.bundle) as omni:
            speech = omni.speak(SPEECH)
        write_wav(out / "speech.wav", speech.samples, speech.sample_rate)


def square(image: Image.Image, side: int = 256) -> Image.Image:
    return image.resize((side, side), Image.Resampling.LANCZOS)


if __name__ == "__main__":
    main()
