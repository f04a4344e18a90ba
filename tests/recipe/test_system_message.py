"""A system message: the names in it are asked for, and it is read but not learned."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

import muomni
from recipe.cases import Case, CaseMaker
from recipe.evaluate import BundleReplier
from recipe.perception.model import Perception
from recipe.perception.prompts import IGNORED
from recipe.perception.replying import Replier
from recipe.perception.talks import placed
from recipe.tokenizer import BOS, EOS
from recipe.world.lexicon import HELD_OUT_NAMES, NAMES
from recipe.world.small_talk import WHO_I_AM
from recipe.world.system_message import (
    HELD_OUT_MANNERS,
    HELD_OUT_OWN_NAMES,
    HELD_OUT_USERS_NAMES,
    MANNERS,
    OTHER_NAMES,
    OWN_NAMES,
    USERS_NAMES,
    SystemMessage,
    draw_system_message,
    told_name,
)
from recipe.world.talks import TalkTurn, draw_talk

from .letters import Letters


def test_names_stand_in_the_text_and_evaluation_has_forms_of_its_own() -> None:
    trained, held_out = (
        (OWN_NAMES, USERS_NAMES, MANNERS),
        (
            HELD_OUT_OWN_NAMES,
            HELD_OUT_USERS_NAMES,
            HELD_OUT_MANNERS,
        ),
    )
    for theirs, other in zip(trained, held_out, strict=True):
        assert not set(theirs) & set(other)
    kinds = set()
    for i in range(200):
        drawn = draw_system_message(np.random.default_rng(i), "train")
        assert drawn.own_name in drawn.text and drawn.users_name in drawn.text
        kinds.add((drawn.own_name != "", drawn.users_name != ""))
    assert len(kinds) == 4


def test_a_talk_keeps_to_the_names_that_it_was_told() -> None:
    told = SystemMessage("Your name is Bob. You speak with Ada.", "Bob", "Ada")
    asked = {"own name": 0, "name recall": 0}
    for i in range(200):
        first, *turns = draw_talk(np.random.default_rng(i), "train", chats=8, system=told)
        assert (first.question, first.reply) == (told.text, "")
        users = "Ada"
        for turn in turns:
            assert turn.kind not in ("identity", "unknown name")
            if turn.kind == "name":
                users = turn.reply.removeprefix("Nice to meet you, ").removesuffix(".")
            if turn.kind in asked:
                asked[turn.kind] += 1
                assert (
                    turn.reply
                    == {"own name": "My name is Bob.", "name recall": f"Your name is {users}."}[turn.kind]
                )
    assert min(asked.values()) > 50


def test_names_in_training_are_of_any_letters_and_none_of_evaluations() -> None:
    rng = np.random.default_rng(0)
    trained = {told_name(rng, "train") for _ in range(2000)}
    assert len(trained) > 1000 and set("abcdefghijklmnopqrstuvwxyz") == set("".join(trained).lower())
    assert not trained & set(HELD_OUT_NAMES) and not set(OTHER_NAMES) & {*NAMES, *HELD_OUT_NAMES}
    assert {told_name(rng, "evaluation") for _ in range(500)} & set(HELD_OUT_NAMES)


def test_where_no_name_was_told_it_says_who_it_is() -> None:
    asked = [
        turn
        for i in range(200)
        for turn in draw_talk(np.random.default_rng(i), "train", chats=8)
        if turn.kind == "own name"
    ]
    assert len(asked) > 10 and {turn.reply for turn in asked} == {WHO_I_AM}


def test_it_is_read_and_not_learned() -> None:
    turns = [TalkTurn("ab", "", "system"), TalkTurn("c", "d", "chat")]
    got = placed([turns], [[[], []]], Letters(), limit=16)
    assert got.tokens.ids[0, :8].tolist() == [BOS, 97, 98, EOS, BOS, 99, 100, EOS]
    assert (got.tokens.targets[0] != IGNORED).nonzero()[:, 0].tolist() == [5, 6]


def test_cases_ask_for_a_name_or_for_anything() -> None:
    cases = [CaseMaker("evaluation", 1).after_a_system_message(i) for i in range(60)]
    names = [case for case in cases if case.kind in ("own name", "name recall")]
    assert all(case.system for case in cases) and 25 < len(names) < 55
    assert all(
        case.expected.removesuffix(".").split()[-1] in case.system + " ".join(case.turns) for case in names
    )


def test_both_who_answer_cases_read_it_as_a_turn_without_a_reply() -> None:
    """The model in training and an exported bundle; the server reads a system message so, too."""
    case = Case("", "", ("What is your name?",), "", system="Your name is Bob.")
    with muomni.Omni.load(device="cpu") as omni:
        wanted = omni.generate(case.turns[0], history=[(muomni.Request(case.system), "")])
        assert BundleReplier(omni)(case) == wanted.text
        later = Case(
            "", "", ("What is your name?",), "", system=case.system, before=(Case("", "", ("Hello.",), ""),)
        )
        assert "Bob" in BundleReplier(omni)(later)
    model = Perception()
    read: list[int] = []
    model.thinker.tok_emb.register_forward_pre_hook(lambda _, given: read.extend(given[0].flatten().tolist()))
    Replier(model, Letters())(Case("", "", ("cd",), "", system="ab"))  # type: ignore[arg-type]
    assert read[:7] == [BOS, 97, 98, EOS, BOS, 99, 100]
