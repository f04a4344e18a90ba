"""The step loop: every way through it gives the same replies, and nobody disturbs anybody."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import muomni
from muomni import Failed, Finished, Reply, Request, SpeechDelta, SpeechOptions, TextDelta
from muomni.engine import batch
from muomni.engine.engine import Engine
from muomni.engine.fitting import fit
from muomni.engine.prompt import Prompt, prepare
from muomni.engine.segments import PREFILL_CHUNK
from muomni.models.sampling import SamplingOptions

from .conftest import SAMPLES

SHARED = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
REQUESTS = (
    Request("What is two plus three?"),
    Request("Hello!", max_new_tokens=3),
    Request("My name is Ada.", sampling=SamplingOptions(temperature=0.9, top_p=0.95, seed=5)),
    Request("What is the capital of Atlantis?", stop=["know"]),
    Request("Tell me something about the sea.", sampling=SamplingOptions(repetition_penalty=1.3)),
    Request(images=[SAMPLES / "shapes.png"], max_new_tokens=12),
    Request(audio=SAMPLES / "days.wav", text="Answer the question."),
)


def same(one: Reply, other: Reply) -> None:
    """Everything but how long it took and what was there already."""
    assert one.token_ids == other.token_ids
    assert (one.text, one.finish_reason, one.notes) == (other.text, other.finish_reason, other.notes)
    assert one.logprobs == other.logprobs
    assert one.prompt_tokens == other.prompt_tokens
    assert (one.speech is None) == (other.speech is None)
    if one.speech is not None and other.speech is not None:
        assert np.array_equal(one.speech.codes, other.speech.codes)
        assert np.array_equal(one.speech.samples, other.speech.samples)


def replies(results: Sequence[object]) -> list[Reply]:
    assert all(isinstance(result, Reply) for result in results)
    return [result for result in results if isinstance(result, Reply)]


@pytest.mark.parametrize("request_", REQUESTS, ids=range(len(REQUESTS)))
def test_every_way_gives_the_same_reply(omni: muomni.Omni, request_: Request) -> None:
    spoken = replace(request_, speech=SpeechOptions())
    whole = omni.generate(spoken)
    events = list(omni.stream(spoken))
    last = events[-1]
    assert isinstance(last, Finished)
    same(last.reply, whole)
    assert "".join(e.text for e in events if isinstance(e, TextDelta)) == whole.text
    samples = [e.samples for e in events if isinstance(e, SpeechDelta)]
    assert whole.speech is not None
    assert np.array_equal(np.concatenate(samples), whole.speech.samples)
    same(omni.chat().say(spoken), whole)
    for result in replies(omni.generate_batch([spoken, "Hello!", spoken], slots=3)[::2]):
        same(result, whole)


@given(order=st.permutations(range(len(REQUESTS))), slots=st.integers(1, 9), count=st.integers(1, 7))
@SHARED
def test_a_batch_gives_the_same_bits_whatever_else_is_in_it(
    omni: muomni.Omni, order: list[int], slots: int, count: int
) -> None:
    """The log probabilities are compared exactly: the kernels of 8 bits round an odd last row otherwise."""
    wanted = [replace(REQUESTS[i], logprobs=1) for i in order[:count]]
    fresh = muomni.Omni(omni._models, prefix_cache_bytes=0)
    for request, reply in zip(wanted, replies(fresh.generate_batch(wanted, slots=slots)), strict=True):
        (alone,) = replies(fresh.generate_batch([request], slots=1))
        same(reply, alone)


@given(stop_after=st.integers(0, 12), keep=st.booleans(), index=st.integers(0, len(REQUESTS) - 1))
@SHARED
def test_a_turn_cancelled_at_any_event_leaves_the_conversation_as_it_was(
    omni: muomni.Omni, stop_after: int, keep: bool, index: int
) -> None:
    chat, other = omni.chat(), omni.chat()
    chat.say("My name is Ada.")
    other.say("My name is Ada.")
    before = chat.positions
    stream = chat.stream(replace(REQUESTS[index], speech=SpeechOptions(), stop=()))
    for _, event in zip(range(stop_after), stream, strict=False):
        if isinstance(event, Finished):
            stream.close()
            return
    stream.cancel(keep=keep)
    rest = list(stream)
    if keep and stream.reply is not None:
        assert stream.reply.finish_reason in ("cancelled", "stop", "length")
        assert isinstance(rest[-1], Finished)
        assert chat.turns == 2
    else:
        assert not any(isinstance(event, Finished) for event in rest)
        assert (chat.positions, chat.turns) == (before, 1)
        same(chat.say("What is my name?"), other.say("What is my name?"))


def test_a_cancelled_sequence_frees_its_slot_within_a_step(omni: muomni.Omni) -> None:
    engine = omni.engine(2)
    sequences = [engine.add(Request("Hello!")) for _ in range(3)]
    engine.step()
    assert engine.full
    for sequence in sequences:
        engine.cancel(sequence)
    assert engine.step() == []
    assert engine.idle and not engine.full


@pytest.mark.parametrize(("max_new_tokens", "kept"), [(20, 79), (10_000, 50)])
def test_a_shortened_prompt_leaves_room_for_its_reply_at_most_half(max_new_tokens: int, kept: int) -> None:
    prompt = Prompt(None, [1, *range(3, 303)])
    made = fit(prompt, 100, max_new_tokens, truncate=True)
    assert made.ids == [1, *prompt.ids[-(kept - 1) :]]
    assert any(f"last {kept - 1} of 300" in note for note in made.notes)


def test_an_engine_is_full_when_every_slot_has_a_request(omni: muomni.Omni) -> None:
    engine = omni.engine(2)
    engine.add(Request("Hello!"))
    assert not engine.full
    engine.add(Request("Hello!"))
    assert engine.full


def test_a_reply_may_fill_the_context_to_its_last_position(omni: muomni.Omni) -> None:
    engine = omni.engine(1)
    sequence = engine.add(Request("Hello!", max_new_tokens=10_000), ignore_eos=True)
    while not engine.idle:
        events = engine.step()
    last = events[-1][1]
    assert isinstance(last, Finished) and last.reply.finish_reason == "length"
    context = omni.thinker.stage.context_length
    assert last.reply.prompt_tokens + len(sequence.ids) == context
    assert any("context is full" in note for note in last.reply.notes)


def test_a_prompt_stays_whole_when_a_reply_ends_while_it_is_computed(omni: muomni.Omni) -> None:
    """Its row is behind the live ones, of which there is one less then."""
    long = Request("word " * 250, max_new_tokens=3, logprobs=1)
    made = []
    for others in (0, 2):
        engine = Engine(omni._models, 4)
        short = [engine.add(Request("Hello!", max_new_tokens=3), ignore_eos=True) for _ in range(others)]
        engine.step()
        sequence = engine.add(long, ignore_eos=True)
        ended_meanwhile = False
        while not engine.idle:
            made += [
                event.reply for s, event in engine.step() if s is sequence and isinstance(event, Finished)
            ]
            ended_meanwhile |= bool(sequence.positions) and all(other.done for other in short)
        assert ended_meanwhile
    same(*made)


def test_a_reply_that_is_cancelled_while_it_is_spoken_has_ended_by_itself(omni: muomni.Omni) -> None:
    whole = omni.generate("What is two plus three?")
    engine = omni.engine(1)
    sequence = engine.add(Request("What is two plus three?", speech=SpeechOptions()))
    while not sequence.text_over:
        engine.step()
    assert not sequence.done
    sequence.cancel(keep=True)
    ((_, event),) = engine.step()
    assert isinstance(event, Finished) and engine.idle
    assert (event.reply.text, event.reply.finish_reason) == (whole.text, "stop")


def test_the_rows_of_ended_replies_do_not_grow_on(omni: muomni.Omni) -> None:
    """A row that computes beside the others would some day fill its context and end the whole batch."""
    engine = omni.engine(4)
    for count in (2, 40, 3):
        engine.add(Request("Tell me something about the sea.", max_new_tokens=count), ignore_eos=True)
    while not engine.idle:
        engine.step()
    assert engine._slots.cache.lengths.tolist() == [0, 0, 0, 0]
    grown: list[list[int]] = []
    engine.add(Request("Hello!", max_new_tokens=30), ignore_eos=True)
    while not engine.idle:
        engine.step()
        grown.append(engine._slots.cache.lengths.tolist())
    assert all(lengths[1:] == [0, 0, 0] for lengths in grown)


def test_long_prompts_are_computed_in_chunks_between_the_steps_of_others(omni: muomni.Omni) -> None:
    long = "word " * 200
    engine = Engine(omni._models, 2)
    short = engine.add(Request("Hello!", max_new_tokens=40), ignore_eos=True)
    engine.step()
    first = engine.add(Request(long, max_new_tokens=2))
    assert first.positions > PREFILL_CHUNK
    between = 0
    while not first.ids:
        between += sum(sequence is short for sequence, _ in engine.step())
    assert between >= first.prompt.usage(0, 0).prompt_tokens // PREFILL_CHUNK
    lone = Engine(omni._models, 2)
    again = lone.add(Request(long, max_new_tokens=2))
    while not lone.idle:
        lone.step()
    while not engine.idle:
        engine.step()
    assert again.ids == first.ids


def test_chunks_of_a_prompt_give_the_logits_of_the_whole(omni: muomni.Omni) -> None:
    text = "the red circle is left of the blue square and " * 16
    ids = [omni.tokenizer.bos_id, *omni.tokenizer.encode(text)]
    assert PREFILL_CHUNK < len(ids) < omni.thinker.stage.context_length
    whole = omni.thinker.feed(omni.thinker.start(), ids)
    reply = omni.generate(Request(text, max_new_tokens=1, logprobs=0))
    wide = whole.astype(np.float64) - whole.max()
    expected = wide - np.log(np.exp(wide).sum())
    assert reply.logprobs[0].logprob == pytest.approx(expected[reply.token_ids[0]], abs=0.05)


def test_media_are_encoded_beside_the_steps(omni: muomni.Omni, monkeypatch: pytest.MonkeyPatch) -> None:
    """A film stalled every other reply of a batch while it was decoded and looked at."""
    finished: list[int] = []
    others = threading.Event()

    def slow(request: Request, *rest: Any) -> Prompt:
        if request.images:
            assert others.wait(30), "the others wait for the film"
        return prepare(request, *rest)

    monkeypatch.setattr(batch, "prepare", slow)

    def on_result(index: int, result: object) -> None:
        finished.append(index)
        if len(finished) == 3:
            others.set()

    results = omni.generate_batch(
        [Request(images=[SAMPLES / "shapes.png"]), "Hello!", "hi", "What is two plus three?"],
        slots=4,
        on_result=on_result,
    )
    assert len(replies(results)) == 4
    assert finished[-1] == 0


def test_a_request_that_fails_in_an_unknown_way_takes_no_other_with_it(
    omni: muomni.Omni, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(request: Request, *rest: Any) -> Prompt:
        if request.images:
            raise MemoryError("no room for the picture")
        return prepare(request, *rest)

    monkeypatch.setattr(batch, "prepare", failing)
    good, bad = omni.generate_batch(["Hello!", Request(images=[SAMPLES / "shapes.png"])])
    assert isinstance(good, Reply)
    assert isinstance(bad, muomni.ExecutionError) and "no room for the picture" in str(bad)


def test_a_batch_that_is_left_prepares_nothing_more(
    omni: muomni.Omni, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C would wait for every film that was to come."""
    begun, left, prepared = threading.Event(), threading.Event(), list[Request]()

    def slow(request: Request, *rest: Any) -> Prompt:
        prepared.append(request)
        begun.set()
        assert left.wait(30)
        return prepare(request, *rest)

    monkeypatch.setattr(batch, "prepare", slow)
    with batch.Ahead(omni._models) as ahead:
        for index in range(4):
            ahead.put(index, Request("Hello!"))
        assert begun.wait(30)
        threading.Timer(0.05, left.set).start()
    assert len(prepared) == 1


def test_an_interrupted_batch_gives_what_it_had(omni: muomni.Omni) -> None:
    def endless() -> Iterator[str]:
        yield "Hello!"
        yield "What is two plus three?"
        raise KeyboardInterrupt

    had: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        for index, _ in omni.stream_batch(endless(), slots=1):
            had.append(index)
    assert had == [0, 1][: len(had)] and had


def test_speech_that_fails_leaves_the_text(omni: muomni.Omni, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: object) -> None:
        raise muomni.ExecutionError("vocoder graph failed: out of memory")

    expected = omni.generate("What is two plus three?")
    monkeypatch.setattr(type(omni.codec), "decode", broken)
    chat = omni.chat()
    reply = chat.say("What is two plus three?", speech=True)
    assert (reply.text, reply.speech) == (expected.text, None)
    assert any("speech failed: vocoder graph failed" in note for note in reply.notes)
    assert chat.turns == 1


def test_a_step_that_fails_fails_its_sequences_alone(
    omni: muomni.Omni, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = omni.engine(2)
    first = engine.add(Request("Hello!"))
    engine.step()

    def broken(*arguments: object) -> None:
        raise muomni.ExecutionError("thinker graph failed")

    with monkeypatch.context() as patch:
        patch.setattr(type(omni.thinker), "step_to_likeliest", broken)
        events = engine.step()
    assert [(s is first, type(e)) for s, e in events] == [(True, Failed)]
    assert engine.idle
    engine.add(Request("Hello!"))
    while not engine.idle:
        events = engine.step()
    assert isinstance(events[-1][1], Finished)


def test_replies_say_what_they_used_and_how_long_it_took(omni: muomni.Omni) -> None:
    omni.generate(images=[SAMPLES / "shapes.png"], audio=SAMPLES / "days.wav", speech=True)
    text = omni.generate("Hello!")
    assert set(text.providers) == {"thinker"}
    picture = omni.generate(images=[SAMPLES / "shapes.png"])
    assert set(picture.providers) == {"thinker", "vision"}
    assert picture.usage.image_tokens == omni.vision.stage.embeddings_per_image
    assert picture.usage.text_tokens + picture.usage.image_tokens == picture.prompt_tokens
    fresh = muomni.Omni.load(device="cpu", threads=1)
    (first,) = replies(fresh.generate_batch(["Hello!"]))
    assert set(first.providers) == {"thinker"}
    assert first.timings["load"] > 0
    (second,) = replies(fresh.generate_batch(["Hello!"]))
    assert second.timings["load"] == 0
    for reply in (text, picture, first):
        assert all(seconds >= 0 for seconds in reply.timings.values())
        assert reply.timings["first_token"] <= reply.timings["total"]


def test_what_is_drawn_can_be_repeated(omni: muomni.Omni) -> None:
    drawn = omni.generate("Tell me something about the sea.", temperature=1.2)
    assert drawn.seed is not None
    assert omni.generate("Tell me something about the sea.", temperature=1.2, seed=drawn.seed).token_ids == (
        drawn.token_ids
    )
    assert omni.generate("Hello!").seed is None


def test_log_probabilities(omni: muomni.Omni) -> None:
    reply = omni.generate("What is two plus three?", logprobs=3)
    assert [entry.token_id for entry in reply.logprobs] == list(reply.token_ids)
    for entry in reply.logprobs:
        assert entry.top[0] == (entry.token_id, entry.logprob), "greedy takes the likeliest"
        assert len(entry.top) == 3 and entry.top[0][1] >= entry.top[1][1] >= entry.top[2][1]
        assert sum(np.exp(value) for _, value in entry.top) <= 1 + 1e-9
    assert omni.generate("Hello!").logprobs == ()


def test_a_long_recording_is_refused_before_it_is_encoded(
    omni: muomni.Omni, monkeypatch: pytest.MonkeyPatch
) -> None:
    """600 s took 10 s and 1.8 GB, to hear that 7.7 s fit."""

    def never(*arguments: object) -> None:
        raise AssertionError("it was encoded")

    encoder = omni.audio_encoder
    monkeypatch.setattr(type(encoder), "encode_samples", never)
    minute = np.sin(np.arange(60 * 16_000, dtype=np.float32) / 9) / 4
    with pytest.raises(muomni.ContextError, match=r"lasts 60\.0 s; a prompt holds 7\.7 s"):
        omni.generate(audio=(minute, 16_000))
    monkeypatch.undo()
    reply = omni.generate(audio=(minute, 16_000), truncate=True, max_new_tokens=2)
    assert reply.usage.audio_tokens == encoder.stage.max_embeddings
    assert "the audio was shortened to its first 7.7 of 60.0 s" in reply.notes


@pytest.mark.parametrize("more", [-1, 0])
def test_the_longest_recording_that_fits_is_heard_whole(omni: muomni.Omni, more: int) -> None:
    encoder = omni.audio_encoder
    count = encoder.samples_of(encoder.stage.max_embeddings) + more
    sound = (np.sin(np.arange(count, dtype=np.float32) / 9) / 4, 16_000)
    assert omni.generate(audio=sound, max_new_tokens=1).usage.audio_tokens == encoder.stage.max_embeddings
    longer = (np.sin(np.arange(count + 2, dtype=np.float32) / 9) / 4, 16_000)
    if more == 0:
        with pytest.raises(muomni.ContextError, match="a prompt holds"):
            omni.generate(audio=longer)


def test_what_can_not_be_heard_is_said(omni: muomni.Omni) -> None:
    reply = omni.generate(audio=(np.zeros(16_000, np.float32), 16_000), max_new_tokens=2)
    assert any("silen" in note or "heard" in note for note in reply.notes)


def test_too_many_pictures_are_refused_before_any_is_opened(omni: muomni.Omni) -> None:
    with pytest.raises(muomni.ContextError, match="images take"):
        omni.generate(images=["there is no such file.png"] * 1000)
    with pytest.raises(muomni.ContextError, match="video_frames"):
        omni.generate(video="there is no such film.mp4", video_frames=100_000)


def test_a_reply_leaves_nothing_for_the_garbage_collector(omni: muomni.Omni) -> None:
    """A cycle kept the cache of each reply until the collector came: 11 MB more after 100 of them."""
    omni.generate("Hello!", speech=True)
    gc.collect()
    gc.disable()
    try:
        gc.set_debug(gc.DEBUG_SAVEALL)
        omni.generate("Hello!", speech=True)
        omni.chat().say("Hello!")
        omni.generate_batch(["Hello!", "hi"])
        gc.collect()
        assert [item for item in gc.garbage if type(item).__module__.startswith("muomni")] == []
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
