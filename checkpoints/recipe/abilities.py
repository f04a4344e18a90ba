"""Abilities by name: how a case of each is made, what is to be reached, and what a machine needs to measure it."""

from __future__ import annotations

import shutil
from collections.abc import Callable

from . import festival_voices, held_out_voices, svg_pictures
from .cases import Case, CaseMaker
from .teachers import files

Make = Callable[[CaseMaker, int], Case]

ABILITIES: dict[str, tuple[Make, float]] = {
    "chat": (CaseMaker.chat, 0.95),
    "conversation, typed": (CaseMaker.in_a_long_chat, 0.95),
    "after a system message": (CaseMaker.after_a_system_message, 0.90),
    "picture description": (CaseMaker.description, 0.90),
    "picture question": (CaseMaker.picture_question, 0.95),
    "picture description, SVG": (CaseMaker.svg_description, 0.90),
    "picture question, SVG": (CaseMaker.svg_question, 0.95),
    "hearing, voices seen": (lambda maker, i: maker.heard(i, unseen=False), 0.05),
    "hearing, voices unseen": (lambda maker, i: maker.heard(i, unseen=True), 0.20),
    "hearing, another synthesizer": (CaseMaker.heard_from_festival, 0.20),
    "spoken question": (CaseMaker.spoken_question, 0.90),
    "video": (CaseMaker.film, 0.90),
    "hearing, joe": (lambda maker, i: maker.heard_from(i, "joe", False), 0.06),
    "hearing, joe, by telephone": (lambda maker, i: maker.heard_from(i, "joe", True), 0.10),
    "hearing, held-out blends": (lambda maker, i: maker.heard_from(i, "held-out blends", False), 0.06),
    "hearing, held-out blends, by telephone": (
        lambda maker, i: maker.heard_from(i, "held-out blends", True),
        0.10,
    ),
    "single words, joe": (lambda maker, i: maker.single_word(i, "joe", False), 0.90),
    "single words, joe, by telephone": (lambda maker, i: maker.single_word(i, "joe", True), 0.90),
    "single words, held-out blends": (lambda maker, i: maker.single_word(i, "held-out blends", False), 0.90),
    "listed words, joe": (lambda maker, i: maker.listed_word(i, False), 33 / 47),
    "listed words, joe, by telephone": (lambda maker, i: maker.listed_word(i, True), 26 / 47),
    "spoken question, joe": (lambda maker, i: maker.spoken_question_by(i, "joe"), 0.90),
    "spoken question, held-out blends": (
        lambda maker, i: maker.spoken_question_by(i, "held-out blends"),
        0.90,
    ),
    "conversation, pictures and joe": (CaseMaker.in_a_talk, 0.90),
    "nothing heard": (CaseMaker.nothing_heard, 0.98),
    "speech taken for something": (CaseMaker.speech_heard, 0.99),
    "nothing seen": (lambda maker, i: maker.nothing_seen(i, photographs=False), 0.98),
    "nothing seen, photographs": (lambda maker, i: maker.nothing_seen(i, photographs=True), 0.90),
}
"""Ability -> (how to make a case, target). Targets of hearing are word error rates: lower is better. Those of
listed words are what a person's recordings of the same 47 are to reach."""


SPEAKING = "speaking"
"""Not of cases: speech is judged, by :mod:`recipe.speaking.judge`."""


def what_is_missing(ability: str) -> str:
    """What the cases of an ability need and this machine lacks; empty where nothing is."""
    if "SVG" in ability and not shutil.which(svg_pictures.PROGRAM):
        return f"{svg_pictures.PROGRAM} (Debian: librsvg2-bin)"
    if ability == "hearing, another synthesizer":
        return festival_voices.what_is_missing()
    if ability == SPEAKING and not files.present(files.DEFAULT_FOLDER, files.ALL):
        return "the teachers' and judges' files (python -m recipe.teachers prepare)"
    neural = ("joe", "blends", "speech taken")
    if any(word in ability for word in neural) and not held_out_voices.has_files():
        return "the teachers' files (python -m recipe.teachers prepare)"
    return ""
