"""Pictures by another program than the one that training draws with."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import ImageColor

from recipe import svg_pictures
from recipe.abilities import what_is_missing
from recipe.seeds import generator
from recipe.world.lexicon import COLOURS, SHAPES
from recipe.world.scene import Scene, Thing, draw_scene

needs_rsvg = pytest.mark.skipif(
    bool(what_is_missing("picture description, SVG")), reason="rsvg-convert is not installed"
)


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_stays_in_its_circle(shape: str) -> None:
    text = svg_pictures.shape(Thing(shape, "red", "big", 0.5, 0.5, 0.4))
    assert 'fill="red"' in text and "scale(0.2000)" in text


@needs_rsvg
def test_things_are_where_the_scene_says_and_in_its_colours() -> None:
    things = 0
    for index in range(12):
        rng = generator("dev", 0, "svg", index)
        scene = draw_scene(rng)
        things += len(scene.things)
        picture = np.asarray(svg_pictures.svg_picture(scene, rng))
        side = len(picture)
        assert picture.shape == (side, side, 3)
        for thing in scene.things:
            middle = picture[int(thing.y * side), int(thing.x * side)]
            assert tuple(middle) == ImageColor.getrgb(thing.colour), thing
    assert things


@needs_rsvg
def test_every_colour_word_is_a_css_colour() -> None:
    rng = np.random.default_rng(0)
    for colour in COLOURS:
        picture = np.asarray(svg_pictures.svg_picture(Scene((), colour), rng))
        assert tuple(picture[5, 5]) == ImageColor.getrgb(colour)
