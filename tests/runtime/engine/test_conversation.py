"""Turns remember each other, and only those that succeeded."""

from __future__ import annotations

import json
import threading
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import muomni
from muomni import Finished, TextDelta
from muomni.engine import conversation as module
from muomni.engine.memory import Memory, PastTurn, with_room_for
from muomni.engine.segments import Segment

from .conftest import SAMPLES


@pytest.fixture
def chat(omni: muomni.Omni) -> muomni.Conversation:
    chat = omni.chat()
    chat.say("My name is Ada.")
    return chat


def full(omni: muomni.Omni, room: int = 30) -> muomni.Conversation:
    """A conversation with less room than ``room`` positions, in many turns."""
    chat = omni.chat()
    while chat.positions < omni.thinker.stage.context_length - room:
        chat.say("Hello!", max_new_tokens=4)
    return chat


def test_no_more_turns_are_forgotten_than_it_takes() -> None:
    turn = PastTurn(None, [1, 5], [6, 2])
    memory = Memory((turn, turn, turn))
    assert with_room_for(memory, 8, 20, truncate=True) is memory
    assert with_room_for(memory, 9, 20, truncate=True).turns == (turn, turn)
    assert with_room_for(memory, 99, 20, truncate=True).turns == ()
    assert with_room_for(memory, 99, 20, truncate=False) is memory


def test_a_conversation_may_be_forked_and_the_two_go_on_independently(chat: muomni.Conversation) -> None:
    other = chat.fork()
    assert other.say("What is my name?").token_ids == chat.say("What is my name?").token_ids
    other.say("My name is Tom.")
    assert (chat.turns, other.turns) == (2, 3)


def test_a_saved_conversation_goes_on_exactly(
    omni: muomni.Omni, chat: muomni.Conversation, tmp_path: Path
) -> None:
    chat.say("What do you see?", images=[SAMPLES / "shapes.png"], max_new_tokens=5)
    path = tmp_path / "chat.npz"
    chat.save(path)
    loaded = muomni.Conversation.load(path, omni)
    assert (loaded.positions, loaded.turns) == (chat.positions, 2)
    one, other = (each.say("What is my name?", logprobs=1) for each in (chat, loaded))
    assert one.logprobs == other.logprobs
    assert [file.name for file in tmp_path.iterdir()] == ["chat.npz"]


def test_an_empty_conversation_is_saved_and_loaded(omni: muomni.Omni, tmp_path: Path) -> None:
    omni.chat().save(tmp_path / "empty.npz")
    assert muomni.Conversation.load(tmp_path / "empty.npz", omni).say("Hello!").text


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04 half"])
def test_a_file_that_is_no_conversation_is_refused(omni: muomni.Omni, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.npz"
    path.write_bytes(content)
    with pytest.raises(muomni.InputError, match="not a saved conversation"):
        muomni.Conversation.load(path, omni)
    with pytest.raises(muomni.InputError, match="not a saved conversation"):
        muomni.Conversation.load(tmp_path / "none.npz", omni)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        ({"cache_0": np.zeros(3, np.float32)}, "do not fit"),
        ({"cache_0": np.array(["x"])}, "do not fit"),
        ({"media_0": np.zeros((2, 3), np.float32)}, "damaged"),
        ({"media_0": np.zeros((900, 192), np.float32)}, "the context holds"),
        ({"ids": [10**9]}, "damaged"),
        ({"ids": [1.5]}, "damaged"),
        ({"ids": ["1"]}, "damaged"),
        ({"ids": 7}, "not a saved conversation"),
        ({"reply_ids": []}, "damaged"),
        ({"reply_ids": [-1]}, "damaged"),
    ],
)
def test_a_damaged_conversation_is_refused(
    omni: muomni.Omni, chat: muomni.Conversation, tmp_path: Path, damage: dict[str, Any], says: str
) -> None:
    path = tmp_path / "chat.npz"
    chat.save(path)
    with np.load(path) as file:
        arrays = dict(file)
    header = json.loads(str(arrays["conversation"]))
    for name, value in damage.items():
        if isinstance(value, np.ndarray):
            arrays[name] = value
        else:
            header["turns"][0][name] = value
    arrays["conversation"] = np.array(json.dumps(header))
    np.savez(path, **arrays)
    with pytest.raises(muomni.InputError, match=says):
        muomni.Conversation.load(path, omni)


def test_a_conversation_whose_array_is_none_is_refused(
    omni: muomni.Omni, chat: muomni.Conversation, tmp_path: Path
) -> None:
    """numpy gives what does not begin as an array as bytes."""
    chat.save(tmp_path / "chat.npz")
    with zipfile.ZipFile(tmp_path / "chat.npz") as file:
        members = {name: file.read(name) for name in file.namelist()}
    members["cache_0.npy"] = b"not an array"
    with zipfile.ZipFile(tmp_path / "chat.npz", "w") as file:
        for name, content in members.items():
            file.writestr(name, content)
    with pytest.raises(muomni.InputError, match="do not fit"):
        muomni.Conversation.load(tmp_path / "chat.npz", omni)


def test_a_conversation_with_another_model_is_refused(
    omni: muomni.Omni, chat: muomni.Conversation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(muomni.Conversation, "_graph_sha256", lambda self: "another")
    chat.save(tmp_path / "chat.npz")
    monkeypatch.undo()
    with pytest.raises(muomni.InputError, match="another model"):
        muomni.Conversation.load(tmp_path / "chat.npz", omni)


def test_nothing_is_left_of_a_file_that_cannot_be_written(chat: muomni.Conversation, tmp_path: Path) -> None:
    with pytest.raises(muomni.OutputError, match="could not be written"):
        chat.save(tmp_path / "no such folder" / "chat.npz")
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(muomni.OutputError):
        chat.save(tmp_path / "folder.npz")
    assert [file.name for file in tmp_path.iterdir()] == ["folder.npz"]


def test_a_turn_that_can_never_fit_forgets_nothing(omni: muomni.Omni) -> None:
    chat = full(omni)
    before = chat.positions, chat.turns
    images = [SAMPLES / "shapes.png"] * (omni.thinker.stage.context_length // 16 - 1)
    with pytest.raises(muomni.ContextError):
        chat.say("what?", images=images, truncate=True, max_new_tokens=20)
    assert (chat.positions, chat.turns) == before
    assert chat.say("Hello!", truncate=True, max_new_tokens=2).text


def test_forgetting_is_counted_and_computes_what_stays_once(
    omni: muomni.Omni, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nine forgotten turns took 200 runs of the prompt, and one note."""
    chat = full(omni)
    turns = chat.turns
    computed: list[int] = []
    joined = module.joined

    def counting(segments: list[Segment]) -> list[Segment]:
        made = joined(segments)
        computed.append(sum(map(len, made)))
        return made

    monkeypatch.setattr(module, "joined", counting)
    reply = chat.say("word " * 60, truncate=True, max_new_tokens=8)
    forgotten = turns + 1 - chat.turns
    assert forgotten > 1
    assert [note for note in reply.notes if "forgotten" in note] == [
        f"the {forgotten} oldest turns were forgotten to make room in the context"
    ]
    assert computed == [chat.positions - reply.completion_tokens]
    fresh = omni.chat()
    fresh._memory = Memory(chat._memory.turns[:-1])
    again = fresh.say("word " * 60, truncate=True, max_new_tokens=8)
    assert again.token_ids == reply.token_ids


def test_an_interruption_while_turns_are_forgotten_loses_nothing(
    omni: muomni.Omni, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat = full(omni)
    before = chat.positions, chat.turns
    step = type(omni.thinker).feed
    calls: list[int] = []

    def interrupted(*arguments: object) -> object:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return step(*arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(type(omni.thinker), "feed", interrupted)
        with pytest.raises(KeyboardInterrupt):
            chat.say("word " * 60, truncate=True, max_new_tokens=8)
    assert (chat.positions, chat.turns) == before
    assert chat.say("word " * 60, truncate=True, max_new_tokens=8).completion_tokens


def test_what_was_not_heard_of_a_reply_is_forgotten(chat: muomni.Conversation, omni: muomni.Omni) -> None:
    reply = chat.say("What is two plus three?")
    chat.keep_only(2)
    other = omni.chat()
    other.say("My name is Ada.")
    stream = other.stream("What is two plus three?")
    for event in stream:
        if isinstance(event, TextDelta) and stream._sequence is not None and len(stream._sequence.ids) == 2:
            break
    stream.cancel(keep=True)
    assert isinstance(list(stream)[-1], Finished)
    assert stream.reply is not None
    assert stream.reply.token_ids == reply.token_ids[:2]
    assert chat.positions == other.positions
    assert chat.say("What is my name?").token_ids == other.say("What is my name?").token_ids
    with pytest.raises(muomni.InputError, match="expected 1 to"):
        chat.keep_only(100)


def test_a_conversation_takes_one_turn_at_a_time(chat: muomni.Conversation) -> None:
    with chat.stream("Hello!") as stream:
        next(stream)
        for misuse in (lambda: chat.say("hi"), chat.reset, chat.fork, lambda: chat.keep_only(1)):
            with pytest.raises(muomni.UsageError, match="one thread at a time"):
                misuse()
    assert chat.turns == 1
    assert chat.say("Hello!").text


def test_a_turn_inside_a_callback_is_refused(chat: muomni.Conversation) -> None:
    with pytest.raises(muomni.UsageError, match="callback"):
        chat.say("Hello!", on_text=lambda piece: chat.say("hi"))
    assert chat.turns == 1


def test_threads_may_share_an_omni_and_not_a_conversation(omni: muomni.Omni) -> None:
    expected = omni.generate("What is two plus three?", speech=True)
    fresh = muomni.Omni.load(device="cpu", threads=1)
    chat = fresh.chat()
    made: list[muomni.Reply] = []
    refused: list[muomni.UsageError] = []
    barrier = threading.Barrier(4)

    def work() -> None:
        barrier.wait()
        for _ in range(4):
            made.append(fresh.generate("What is two plus three?", speech=True))
            assert fresh.providers
            try:
                chat.say("Hello!")
            except muomni.UsageError as error:
                refused.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 16
    for reply in made:
        assert reply.token_ids == expected.token_ids
        assert reply.speech is not None and expected.speech is not None
        assert np.array_equal(reply.speech.samples, expected.speech.samples)
    assert chat.turns == 16 - len(refused)


def test_a_model_is_loaded_once_however_many_threads_ask_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    fresh = muomni.Omni.load(device="cpu", threads=1)
    models = fresh._models
    made: list[str] = []
    make = models.sessions._make
    started = threading.Barrier(5, timeout=30)

    def slow(graph: str, threads: object) -> object:
        made.append(graph)
        threading.Event().wait(0.05)
        return make(graph, threads)  # type: ignore[arg-type]

    monkeypatch.setattr(models.sessions, "_make", slow)

    def load() -> None:
        started.wait()
        models.sessions.of("thinker")
        _ = fresh.vision

    threads = [threading.Thread(target=load) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(made) == ["thinker", "vision"]


def test_a_closed_omni_says_so(omni: muomni.Omni) -> None:
    with muomni.Omni.load(device="cpu") as fresh:
        fresh.warm_up()
        assert "vocoder" in fresh.providers
    with pytest.raises(muomni.UsageError, match="closed"):
        fresh.generate("Hello!")


def test_a_request_may_bring_its_history(omni: muomni.Omni, chat: muomni.Conversation) -> None:
    """What a client sends that keeps the turns itself; the second time its beginning is known already."""
    asked = muomni.Request("My name is Ada.")
    replied = omni.generate(asked)
    picture = muomni.Request("What do you see?", images=[SAMPLES / "shapes.png"])
    seen = chat.say(picture)
    history = [(asked, replied.text), (picture, seen.text)]
    request = muomni.Request("What is my name?", history=history)
    expected = chat.say("What is my name?")
    reply = omni.generate(request)
    assert reply.token_ids == expected.token_ids
    assert reply.prompt_tokens == chat.positions - expected.completion_tokens
    assert reply.usage.image_tokens == omni.vision.stage.embeddings_per_image
    again = omni.generate(muomni.Request("And what is two plus three?", history=history))
    assert again.usage.cached_tokens > 32
    with pytest.raises(muomni.InputError, match="turns of its own"):
        chat.say(request)
    with pytest.raises(muomni.InputError, match="pairs"):
        omni.generate("hi", history=["hello"])  # type: ignore[list-item]


def test_a_conversation_may_begin_with_a_history(omni: muomni.Omni) -> None:
    """Turns that a client has kept, or changed: they are remembered as if they had been had here."""
    expected, chat = omni.chat(), omni.chat()
    asked, picture = muomni.Request("My name is Ada."), [SAMPLES / "shapes.png"]
    named = expected.say(asked)
    seen = expected.say("What do you see?", images=picture)
    history = [(asked, named.text), (muomni.Request("What do you see?", images=picture), seen.text)]
    reply = chat.say(muomni.Request("What is my name?", history=history))
    assert reply.token_ids == expected.say("What is my name?").token_ids
    assert (chat.turns, chat.positions) == (expected.turns, expected.positions)
    assert chat.say("Hello!").token_ids == expected.say("Hello!").token_ids


def test_old_turns_of_a_history_are_forgotten_only_when_asked(omni: muomni.Omni) -> None:
    turn = (muomni.Request("word " * 30), "Nice.")
    with pytest.raises(muomni.ContextError, match="of earlier turns"):
        omni.generate("Hello!", history=[turn] * 20)
    reply = omni.generate("Hello!", history=[turn] * 20, truncate=True, max_new_tokens=8)
    assert any("oldest turns were forgotten" in note for note in reply.notes)
    assert reply.prompt_tokens + 8 <= omni.thinker.stage.context_length
