"""Talks of many turns: what is right stays right, and media stand before the turn they came with."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from recipe.perception.model import Perception
from recipe.perception.prompts import IGNORED, reply_loss, tokens_of
from recipe.perception.talks import Placed, placed, talk_loss
from recipe.tokenizer import BOS, EOS
from recipe.world.lines import Line, spoken_line
from recipe.world.talks import TalkTurn, draw_talk

from .letters import Letters


def talks(count: int, **what: int) -> list[list[TalkTurn]]:
    lines = [(i, spoken_line("train", 0, i, loose_words=0.0)) for i in range(3)]
    return [draw_talk(np.random.default_rng(i), "train", lines=lines, **what) for i in range(count)]


def test_everything_asked_for_is_there_once() -> None:
    for talk in talks(40, chats=2, pictures=2, films=1):
        assert sorted(t.recording for t in talk if t.recording is not None) == [0, 1, 2]
        assert sum(t.film is not None for t in talk) == 1
        assert sum(t.scene is not None for t in talk) >= 2  # spoken questions bring their own


def test_a_name_is_known_once_it_was_told_and_what_was_shown_is_not_denied() -> None:
    recalled = 0
    for talk in talks(600, chats=10, pictures=1):
        name, seen, heard = "", False, False
        for turn in talk:
            seen, heard = seen or turn.scene is not None, heard or turn.recording is not None
            if turn.kind == "name":
                name = turn.reply.removeprefix("Nice to meet you, ").removesuffix(".")
            if turn.kind == "name recall":
                assert turn.reply == f"Your name is {name}."
                recalled += 1
            assert not (turn.kind == "unknown name" and name)
            assert not (turn.kind == "no picture" and seen)
            assert not (turn.kind == "no sound" and heard)
    assert recalled > 100


def test_a_question_on_a_picture_follows_that_picture() -> None:
    """Spoken ones, too: the picture that a line asks about is the last that was shown."""
    lines = [(0, line) for line in (spoken_line("train", 1, i) for i in range(300)) if line.kind == "picture"]
    later = 0
    for i, line in enumerate(lines):
        last = None
        for turn in draw_talk(np.random.default_rng(i), "train", chats=2, pictures=2, lines=[line]):
            last = turn.scene or last
            if turn.recording is not None and turn.reply == line[1].reply:
                assert last == line[1].scene
                later += turn.scene is None
    assert 0.2 * len(lines) < later < 0.6 * len(lines)


def test_media_stand_before_their_question_and_only_replies_are_learned() -> None:
    turns = [TalkTurn("ab", "c", "chat"), TalkTurn("d", "ef", "picture", recording=0)]
    media = [[], [torch.full((3, 4), 7.0)]]
    got = placed([turns], [media], Letters(), limit=40)
    assert got.tokens.ids[0, :5].tolist() == [BOS, 97, 98, 99, EOS]
    assert got.taken[0].nonzero()[:, 0].tolist() == [5, 6, 7]
    assert got.tokens.ids[0, 8:13].tolist() == [BOS, 100, 101, 102, EOS]
    assert (got.tokens.targets[0] != IGNORED).nonzero()[:, 0].tolist() == [2, 3, 9, 10, 11]
    assert got.media.shape == (3, 4)


def test_turns_beyond_the_context_are_left_out_with_their_media() -> None:
    turns = [TalkTurn("ab", "c", "chat"), TalkTurn("d", "e", "picture", recording=0)]
    got = placed([turns], [[[], [torch.zeros(6, 4)]]], Letters(), limit=12)
    assert not got.taken.any() and len(got.media) == 0
    assert got.tokens.ids[0, 5:].unique().tolist() == [EOS]


@pytest.mark.parametrize("with_media", [False, True])
def test_a_talk_of_one_turn_costs_what_the_exchange_does(with_media: bool) -> None:
    torch.manual_seed(0)
    model = Perception()
    media = torch.randn(1, 5, 192) if with_media else None
    placed_talk: Placed = placed(
        [[TalkTurn("ab", "cd", "chat")]], [[[*media] if media is not None else []]], Letters(), limit=48
    )
    got, _ = talk_loss(model, placed_talk)
    wanted, _ = reply_loss(model, media, tokens_of([[("ab", "cd")]], Letters(), limit=48))
    assert torch.allclose(got, wanted, atol=1e-5)


def test_what_is_said_without_a_reply_is_written_down() -> None:
    turns = draw_talk(
        np.random.default_rng(0), "train", chats=0, lines=[(4, Line("sentence", "Milk is white."))]
    )
    assert [(t.reply, t.recording) for t in turns] == [("milk is white", 4)]
