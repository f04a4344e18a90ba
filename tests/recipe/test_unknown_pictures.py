"""Pictures of nothing known, and what is said of them."""

from __future__ import annotations

import numpy as np

from recipe.unknown_pictures import TRAINED, unknown_picture
from recipe.world.picture_talk import NOTHING_SEEN, picture_turn
from recipe.world.scene import NO_SCENE


def test_all_kinds_are_drawn_and_the_same_again() -> None:
    kinds = set()
    for index in range(40):
        image, kind = unknown_picture(np.random.default_rng(index), held_out=bool(index % 2))
        again, _ = unknown_picture(np.random.default_rng(index), held_out=bool(index % 2))
        assert image.mode == "RGB" and np.array_equal(np.asarray(image), np.asarray(again))
        kinds.add(kind)
    assert kinds == {"blank", "noise", "photograph"}


def test_every_kind_of_photograph_fills_any_picture_and_no_two_are_alike() -> None:
    for draw in TRAINED:
        one, other = (np.asarray(draw(width, 80, np.random.default_rng(width))) for width in (224, 80))
        assert one.shape == (80, 224, 3) and other.shape == (80, 80, 3)
        assert one.std() > 2 and not np.array_equal(one[:, :80], other)


def test_a_picture_of_nothing_known_has_one_answer() -> None:
    turns = [picture_turn(NO_SCENE, np.random.default_rng(i), "train", description=False) for i in range(30)]
    assert {turn.reply for turn in turns} == {NOTHING_SEEN}
    assert len({turn.question for turn in turns}) > 10
