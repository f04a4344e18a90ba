"""Everything that is answered from numpy memory is answered, id for id, from the memory of a device."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import muomni
from muomni import Failed, Finished, Reply, Request
from muomni.bundle.demo import demo_bundle
from muomni.bundle.folder import open_bundle
from muomni.engine.engine import Engine
from muomni.engine.prompt import prepare
from muomni.engine.segments import keys_of
from muomni.engine.timings import Timings
from muomni.errors import OutOfMemoryError
from muomni.models.registry import Models
from muomni.ort.decoder import BoundStep, Downloads
from muomni.ort.device_cache import DeviceCache
from muomni.ort.device_memory import DeviceMemory, no_memory
from muomni.ort.kv_cache import CAPACITY_STEP
from muomni.ort.providers import import_onnxruntime
from muomni.ort.region import Region
from muomni.ort.rows import DeviceRows
from muomni.ort.threads import thread_policy

from .conftest import SAMPLES

QUESTIONS = ["What is two plus three?", "hello", "What is the capital of France?", "hi", "Name a colour."]
PICTURE = next(path for path in sorted(SAMPLES.iterdir()) if path.suffix == ".png")
RECORDING = next(path for path in sorted(SAMPLES.iterdir()) if path.suffix == ".wav")
LONG = "the red circle is left of the blue square and the yellow star " * 6


@pytest.fixture(scope="module")
def device() -> Iterator[muomni.Omni]:
    """The demo, with a stand-in for a device's memory."""
    memory = DeviceMemory(import_onnxruntime(), "cpu")
    models = Models(open_bundle(demo_bundle()), "cpu", thread_policy(1), memory=memory)
    with muomni.Omni(models) as loaded:
        yield loaded


def test_replies_with_media_and_speech_are_the_same(omni: muomni.Omni, device: muomni.Omni) -> None:
    for options in ({"images": [PICTURE]}, {"audio": RECORDING}, {"speech": True}):
        expected = omni.generate("What is this?", seed=1, **options)
        got = device.generate("What is this?", seed=1, **options)
        assert got.token_ids == expected.token_ids
        if expected.speech is not None:
            assert got.speech is not None
            assert np.array_equal(got.speech.codes, expected.speech.codes)


def test_embeddings_stay_on_the_device_between_encoder_and_thinker(
    omni: muomni.Omni, device: muomni.Omni, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An image and a recording in one prompt; nothing is read back where no prompt is kept for later ones."""
    request = muomni.Request(images=[PICTURE], audio=RECORDING, max_new_tokens=8)
    models = device._models
    prompt = prepare(request, models, Timings())
    expected = prepare(request, omni._models, Timings())
    assert isinstance(prompt.media, DeviceRows) and isinstance(expected.media, np.ndarray)
    assert np.array_equal(prompt.media.numpy(), expected.media)
    assert np.array_equal(prompt.media[3:50].numpy(), expected.media[3:50])
    assert np.array_equal(keys_of(prompt.segments), keys_of(expected.segments))

    monkeypatch.setattr(DeviceRows, "numpy", None)
    engine = Engine(models)
    engine.add(request, prompt=prompt)
    ids = [e.reply.token_ids for _ in range(9) for _, e in engine.step() if isinstance(e, muomni.Finished)]
    assert ids == [omni.generate(request).token_ids]


def test_a_conversation_about_a_picture_is_saved_from_the_device(
    omni: muomni.Omni, device: muomni.Omni, tmp_path: Path
) -> None:
    said = []
    for each in (omni, device):
        chat = each.chat()
        chat.say("What is this?", images=[PICTURE])
        chat.save(tmp_path / "chat.npz")
        said.append(muomni.Conversation.load(tmp_path / "chat.npz", each).say("And its colour?").token_ids)
    assert said[0] == said[1]


def test_replies_that_join_and_leave_are_the_same(omni: muomni.Omni, device: muomni.Omni) -> None:
    expected = [reply.token_ids for reply in omni.generate_batch(QUESTIONS, slots=3)]
    assert [reply.token_ids for reply in device.generate_batch(QUESTIONS, slots=3)] == expected


def test_a_prompt_that_was_seen_is_reused_to_the_same_bits(omni: muomni.Omni, device: muomni.Omni) -> None:
    anew = omni.generate(LONG, logprobs=3, max_new_tokens=8)
    device.generate(LONG, max_new_tokens=8)
    again = device.generate(LONG, logprobs=3, max_new_tokens=8)
    assert again.usage.cached_tokens > 0
    assert (again.token_ids, again.logprobs) == (anew.token_ids, anew.logprobs)


def test_a_conversation_is_forked_shortened_saved_and_loaded(
    omni: muomni.Omni, device: muomni.Omni, tmp_path: Path
) -> None:
    said = []
    for each in (omni, device):
        chat = each.chat()
        first = chat.say("My name is Ada.")
        fork = chat.fork()
        second = fork.say("What is my name?")
        fork.keep_only(1)
        fork.save(tmp_path / "chat.npz")
        loaded = muomni.Conversation.load(tmp_path / "chat.npz", each)
        third = loaded.say("And yours?")
        said.append((first.token_ids, second.token_ids, third.token_ids, chat.say("Bye.").token_ids))
    assert said[0] == said[1]


def test_a_conversation_goes_from_one_memory_to_another_by_file(
    omni: muomni.Omni, device: muomni.Omni, tmp_path: Path
) -> None:
    for here, there in ((omni, device), (device, omni)):
        chat = here.chat()
        chat.say("My name is Ada.")
        chat.save(tmp_path / "chat.npz")
        other = muomni.Conversation.load(tmp_path / "chat.npz", there)
        assert other.say("What is my name?").token_ids == chat.say("What is my name?").token_ids


def test_a_step_moves_ids_and_lengths_alone(device: muomni.Omni, monkeypatch: pytest.MonkeyPatch) -> None:
    moved: set[str] = set()
    copied: list[int] = []
    run, copy = BoundStep.run, DeviceMemory.copy

    def watched_run(step: BoundStep, count: int = 1, live: int | None = None) -> None:
        moved.update(step._uploads)
        run(step, count, live)

    def watched_copy(memory: DeviceMemory, *regions: object) -> None:
        copied.append(1)
        copy(memory, *regions)  # type: ignore[arg-type]

    thinker = device.thinker
    cache = thinker.start(256, 2)
    assert isinstance(cache, DeviceCache)
    for row in (0, 1):
        thinker.feed(cache, [3, 4, 5 + row], None, row)
    monkeypatch.setattr(BoundStep, "run", watched_run)
    monkeypatch.setattr(DeviceMemory, "copy", watched_copy)
    for _ in range(5):
        thinker.step(cache, [7, 8])
    assert moved == {"input_ids", "seqlens_k"}
    assert not copied


def test_lengths_of_a_replayed_step_come_from_the_device_alone(device: muomni.Omni) -> None:
    """A CUDA graph has the largest length of its capture: with the buffers' it computes the same."""
    thinker = device.thinker
    logits = []
    for captured in (False, True):
        cache = thinker.start(256, 2)
        thinker.feed(cache, [3, 4, 5], None, 0)
        thinker.feed(cache, [3, 9], None, 1)
        thinker.step(cache, [7, 8])
        if captured:
            cache.bound[2]._fixed_total = cache.capacity
        logits.append(np.stack([thinker.step(cache, [9, 10]).copy() for _ in range(3)]))
    assert np.array_equal(logits[0], logits[1])


def test_memory_of_a_request_that_is_over_is_used_again_and_nothing_of_it_is_seen(
    device: muomni.Omni,
) -> None:
    thinker = device.thinker

    def answer(prompt: list[int]) -> tuple[int, object, list[int]]:
        cache = thinker.start(300)
        assert cache.lengths.tolist() == [0]
        ids = [int(thinker.feed(cache, prompt).argmax())]
        ids += [int(thinker.step(cache, ids[-1:])[0].argmax()) for _ in range(5)]
        return cache.tensors(0, 1)[0].address, cache.bound[1], ids

    long, short = list(range(3, 250)), [5, 6, 7]
    first, again = answer(short), answer(long)
    assert answer(short) == first, "the same memory, the same bound step, the same ids"
    assert again[:2] == first[:2]
    kept = thinker.start(300)
    assert thinker.start(300).tensors(0, 1)[0].address != kept.tensors(0, 1)[0].address


def test_where_memory_ends_the_request_that_needs_more_fails_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = DeviceMemory(import_onnxruntime(), "cpu")
    with muomni.Omni(
        Models(open_bundle(demo_bundle()), "cpu", thread_policy(1), memory=memory), prefix_cache_bytes=0
    ) as omni:
        expected = omni.generate("hello", max_new_tokens=40).token_ids
        allocate = memory.allocate

        def no_more(shape: tuple[int, ...], dtype: np.dtype[Any], what: str) -> Region:
            if "keys and values" in what and shape[2] > CAPACITY_STEP:
                raise no_memory("the device", what, 1 << 20)
            return allocate(shape, dtype, what)

        monkeypatch.setattr(memory, "allocate", no_more)
        engine = omni.engine(3)
        long = [engine.add(Request(text, max_new_tokens=200), ignore_eos=True) for text in (LONG, "hi")]
        short = engine.add(Request("hello", max_new_tokens=40))
        events = []
        while not engine.idle:
            events += engine.step()
    ended = {sequence: event for sequence, event in events if isinstance(event, Failed | Finished)}
    for sequence in long:
        event = ended[sequence]
        assert isinstance(event, Failed) and isinstance(event.error, OutOfMemoryError)
    finished = ended[short]
    assert isinstance(finished, Finished) and finished.reply.token_ids == expected


def test_greedy_replies_bring_ids_from_the_device_and_no_logits(
    omni: muomni.Omni, device: muomni.Omni, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: list[str] = []
    get = Downloads.__getitem__

    def watched(results: Downloads, name: str) -> Any:
        fetched.append(name)
        return get(results, name)

    monkeypatch.setattr(Downloads, "__getitem__", watched)
    texts = QUESTIONS[:3]
    wanted = [reply.token_ids for reply in omni.generate_batch(texts, slots=4)]
    assert [reply.token_ids for reply in device.generate_batch(texts, slots=4)] == wanted
    assert fetched == ["logits"] * len(texts), "of the last position of each prompt alone"
    drawn = [Request(text, sampling=muomni.SamplingOptions(temperature=0.8, seed=3)) for text in texts]
    wanted = [reply.token_ids for reply in omni.generate_batch([*drawn, "hello"], slots=4)]
    assert [reply.token_ids for reply in device.generate_batch([*drawn, "hello"], slots=4)] == wanted


def test_memory_that_nobody_uses_is_given_up_before_a_request_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = DeviceMemory(import_onnxruntime(), "cpu")
    with muomni.Omni(Models(open_bundle(demo_bundle()), "cpu", thread_policy(1), memory=memory)) as omni:
        thinker = omni.thinker
        rest = [thinker.start(64, rows) for rows in (1, 2)]
        kept = weakref.ref(rest[1].tensors(0, 1)[0].owner)
        rest.clear()
        assert kept() is not None, "it would be used again"
        make = memory._value

        def full_while_it_is_kept(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
            if kept() is not None:
                raise RuntimeError("out of memory")
            return make(shape, dtype)

        monkeypatch.setattr(memory, "_value", full_while_it_is_kept)
        assert thinker.start(64, 4).rows == 4
        assert kept() is None


def test_replies_that_are_spoken_together_are_the_same(omni: muomni.Omni, device: muomni.Omni) -> None:
    requests = [Request(text, speech=muomni.SpeechOptions(frames=12)) for text in QUESTIONS]
    spoken = []
    for each in (omni, device):
        replies = list(each.generate_batch(requests, slots=3))
        assert all(isinstance(reply, Reply) and reply.speech is not None for reply in replies)
        spoken.append([reply.speech.codes.tolist() for reply in replies])  # type: ignore[union-attr]
    assert spoken[0] == spoken[1]
