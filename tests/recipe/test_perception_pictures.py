"""Pictures and films: what is drawn is what is said, checked without the code that says it."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np

from recipe.pictures import draw, draw_style, outline_points, picture, pixels, shade
from recipe.seeds import generator
from recipe.world.film import DIRECTIONS, draw_film, film_turn
from recipe.world.lexicon import COLOURS, SHAPES
from recipe.world.phrasing import HELD_OUT_FRAMES, as_heard, in_frame, phrase
from recipe.world.picture_talk import ask_single, describe, picture_turn
from recipe.world.scene import Scene, draw_scene


def scenes(count: int, stream: str = "test") -> list[tuple[Scene, np.random.Generator]]:
    rngs = [generator("dev", 5, stream, i) for i in range(count)]
    return [(draw_scene(rng), rng) for rng in rngs]


def test_pictures_are_the_same_for_the_same_key() -> None:
    first = [np.asarray(picture(scene, rng)) for scene, rng in scenes(5)]
    again = [np.asarray(picture(scene, rng)) for scene, rng in scenes(5)]
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))


def test_descriptions_list_the_scene_from_left_to_right() -> None:
    for scene, _ in scenes(200):
        found = re.findall(r"an? (small|big) (\w+) (\w+)", describe(scene).lower())
        assert found == [(t.size, t.colour, t.shape) for t in sorted(scene.things, key=lambda t: t.x)]


def test_things_do_not_touch_and_stay_inside() -> None:
    made = [scene for scene, _ in scenes(200)]
    assert any(len(scene.things) > 1 for scene in made)
    for scene in made:
        for i, a in enumerate(scene.things):
            assert a.extent / 2 <= min(a.x, a.y) and max(a.x, a.y) <= 1 - a.extent / 2
            for b in scene.things[i + 1 :]:
                assert (a.x - b.x) ** 2 + (a.y - b.y) ** 2 > ((a.extent + b.extent) / 2) ** 2


def answer(kind: str, reply: str, scene: Scene) -> bool:
    """Is the reply true of the scene? Read from the reply's words, not from the question's maker."""
    words = reply.lower().rstrip(".")
    things = scene.things

    def matching(noun: str) -> list:  # type: ignore[type-arg]
        kinds = set(noun.split()) - {"shape", "shapes", "a", "an", "the", "no"}
        kinds = {"cross" if w == "crosses" else w.removesuffix("s") if w[:-1] in SHAPES else w for w in kinds}
        return [t for t in things if kinds <= {t.shape, t.colour, t.size}]

    if kind == "count":
        number, noun = re.fullmatch(r"there (?:is|are) (\w+) (.+)", words).groups()  # type: ignore[union-attr]
        return len(matching(noun)) == ["no", "one", "two", "three", "four"].index(number)
    if kind in ("colour of", "size of"):
        noun, said = re.fullmatch(r"the (.+) is (\w+)", words).groups()  # type: ignore[union-attr]
        return [said in (t.colour, t.size) for t in matching(noun)] == [True]
    if kind == "shape of":
        colour, shape = re.fullmatch(r"the (\w+) shape is an? (\w+)", words).groups()  # type: ignore[union-attr]
        return [(t.colour, t.shape) for t in things if t.colour == colour] == [(colour, shape)]
    if kind == "is there":
        yes, noun = re.fullmatch(r"(yes|no), there is (?:an?|no) (.+)", words).groups()  # type: ignore[union-attr]
        return bool(matching(noun)) == (yes == "yes")
    if kind in ("relation", "where"):
        pattern = r"(?:yes, |no, )?the (.+?) is (not )?(left of|right of|above|below) the (.+)"
        first, negated, relation, second = re.fullmatch(pattern, words).groups()  # type: ignore[union-attr]
        (a,), (b,) = matching(first), matching(second)
        true = {"left of": a.x < b.x, "right of": a.x > b.x, "above": a.y < b.y, "below": a.y > b.y}[relation]
        return true != bool(negated)
    if kind == "place":
        noun, place = re.fullmatch(r"the (.+) is (?:on|at|in) the (.+)", words).groups()  # type: ignore[union-attr]
        (thing,) = matching(noun)
        across = 0.0 if "left" in place else 1.0 if "right" in place else 0.5
        down = 0.0 if "top" in place else 1.0 if "bottom" in place else 0.5
        return max(abs(thing.x - across), abs(thing.y - down)) <= 0.38
    assert kind == "extreme"
    noun, side = re.fullmatch(r"(.+) is (?:on|at) the (\w+)", words).groups()  # type: ignore[union-attr]
    key = {"left": lambda t: t.x, "right": lambda t: -t.x, "top": lambda t: t.y, "bottom": lambda t: -t.y}[
        side
    ]
    return min(things, key=key) in matching(noun)


def test_single_questions_are_answered_truly() -> None:
    kinds: Counter[str] = Counter()
    for scene, rng in scenes(800, "questions"):
        ask = ask_single(scene, rng)
        kinds[ask.kind] += 1
        assert answer(ask.kind, ask.reply, scene), (ask.reply, scene)
    assert len(kinds) == 9 and min(kinds.values()) > 20


def test_presence_questions_are_balanced() -> None:
    asks = [ask_single(scene, rng) for scene, rng in scenes(1500, "balance")]
    replies = [a.reply for a in asks if a.kind == "is there"]
    assert 0.35 < sum(r.startswith("Yes") for r in replies) / len(replies) < 0.7


def test_evaluation_phrasings_are_not_trained() -> None:
    for scene, rng in scenes(300, "phrasing"):
        ask = ask_single(scene, rng)
        assert not set(ask.held_out) & set(ask.sentences)
        assert phrase(ask, rng, "evaluation") not in ask.sentences
        held_out = {as_heard(text) for text in ask.held_out} | {
            as_heard(in_frame(clause, frame)) for clause in ask.clauses for frame in HELD_OUT_FRAMES
        }
        assert not held_out & {as_heard(phrase(ask, rng, "train")) for _ in range(50)}
        assert picture_turn(scene, rng, "evaluation", description=True).question not in ask.sentences


def test_the_fill_is_where_the_thing_is() -> None:
    plain = 0
    for scene, rng in scenes(60, "fill"):
        style = draw_style(scene, rng)
        image = np.asarray(draw(scene, style, rng), np.float32)
        for thing, look in zip(scene.things, style.looks, strict=True):
            if look.hollow or style.blur or style.salt or style.jpeg_quality or look.shading:
                continue
            y, x = int(thing.y * style.height), int(thing.x * style.width)
            assert np.abs(image[y - 1 : y + 2, x - 1 : x + 2].mean((0, 1)) - look.fill).max() < 40
            plain += 1
    assert plain > 10


def test_shapes_fit_their_circle() -> None:
    for shape in SHAPES:
        radius = np.hypot(*outline_points(shape, 0.45).T)
        assert 0.9 < radius.max() < 1.15


def test_colour_words_do_not_overlap_much() -> None:
    """The nearest mean shade of a random shade is its own, nearly always."""
    rng = np.random.default_rng(0)
    means = {c: np.mean([shade(c, rng) for _ in range(200)], axis=0) for c in COLOURS}
    right = [
        min(COLOURS, key=lambda c: float(np.linalg.norm(means[c] - x))) == colour
        for colour in COLOURS
        for x in (shade(colour, rng) for _ in range(50))
    ]
    assert np.mean(right) > 0.8


def test_pixels_are_square_bytes() -> None:
    scene, rng = scenes(1)[0]
    data = pixels(picture(scene, rng), 96)
    assert data.shape == (3, 96, 96) and data.dtype == np.uint8


def test_films_move_as_they_say() -> None:
    still = 0
    for i in range(300):
        rng = generator("dev", 5, "film", i)
        film = draw_film(rng, 4)
        turn = film_turn(film, rng, "train")
        first, last = film.frames[0].things, film.frames[-1].things
        moved = [
            (a, b)
            for a in first
            for b in last
            if (a.name, a.extent) == (b.name, b.extent) and (a.x, a.y) != (b.x, b.y)
        ]
        if film.mover is None:
            assert not moved and turn.reply == "Nothing moves."
            still += 1
            continue
        ((a, b),) = moved
        dx, dy = b.x - a.x, b.y - a.y
        way = ("right" if dx > 0 else "left") if abs(dx) > abs(dy) else ("down" if dy > 0 else "up")
        assert way == film.direction and way in DIRECTIONS
        assert a.shape in turn.reply
        assert turn.kind == "mover" or turn.reply.endswith(f"moves {way}.")
    assert 15 < still < 70
