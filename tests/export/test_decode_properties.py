"""What must hold of any decoder: caching, chunking and batching change nothing."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import muomni
from muomni.errors import ContextError, InputError

RANDOM = np.random.default_rng(0)
CLOSE = 2e-5


@pytest.fixture(scope="module")
def omni(parity_bundle: Path) -> muomni.Omni:
    return muomni.Omni.load(parity_bundle, device="cpu", threads=1)


def random_ids(omni: muomni.Omni, count: int) -> list[int]:
    return RANDOM.integers(3, omni.thinker.stage.vocabulary, count).tolist()


def test_cached_decode_equals_uncached(omni: muomni.Omni) -> None:
    """Each cached step against a fresh prefill of everything so far, across a growth of the buffer."""
    ids = random_ids(omni, 140)
    cached = omni.thinker.logits(ids)
    for length in (1, 2, 17, 127, 128, 129, 140):
        whole = omni.thinker.feed(omni.thinker.start(), ids[:length])
        assert np.abs(cached[length - 1] - whole).max() < CLOSE


@pytest.mark.parametrize("chunks", [[1] * 30, [30], [7, 1, 1, 13, 8], [29, 1], [1, 29]])
def test_any_chunking_gives_the_same_logits(omni: muomni.Omni, chunks: list[int]) -> None:
    ids = np.random.default_rng(5).integers(3, 500, 30).tolist()
    media = np.random.default_rng(6).standard_normal((4, omni.thinker.stage.width), dtype=np.float32)
    expected = omni.thinker.feed(omni.thinker.start(), ids, media).copy()
    state, at = omni.thinker.start(), 0
    for count in chunks:
        logits = omni.thinker.feed(state, ids[at : at + count], media if at == 0 else None)
        at += count
    assert state.length == 34
    assert np.abs(logits - expected).max() < CLOSE


def test_rows_of_a_batch_do_not_touch_each_other(omni: muomni.Omni) -> None:
    decoder = omni.thinker.decoder
    rows = [random_ids(omni, 12) for _ in range(3)]
    state = decoder.start(3)
    nothing = np.zeros((3, 0, omni.thinker.stage.width), dtype=np.float32)
    decoder.feed(state, 8, {"input_ids": np.array(rows)[:, :8], "media_embeds": nothing})
    for at in range(8, 12):
        feeds = {"input_ids": np.array(rows)[:, at : at + 1], "media_embeds": nothing}
        batched = decoder.feed(state, 1, feeds)["logits"]
    for row, logits in zip(rows, batched, strict=True):
        assert np.abs(omni.thinker.feed(omni.thinker.start(), row) - logits).max() < CLOSE


def test_rewinding_forgets_exactly_what_was_said_after(omni: muomni.Omni) -> None:
    ids = random_ids(omni, 20)
    state = omni.thinker.start()
    omni.thinker.feed(state, ids[:10])
    omni.thinker.feed(state, random_ids(omni, 30))
    state.rewind(10)
    again = omni.thinker.feed(state, ids[10:])
    assert np.abs(again - omni.thinker.feed(omni.thinker.start(), ids)).max() < CLOSE


def test_a_full_context_is_refused_and_the_state_kept(omni: muomni.Omni) -> None:
    context = omni.thinker.stage.context_length
    state = omni.thinker.start()
    omni.thinker.feed(state, random_ids(omni, context - 1))
    with pytest.raises(ContextError, match=str(context)):
        omni.thinker.feed(state, [5, 6])
    assert state.length == context - 1
    assert np.isfinite(omni.thinker.feed(state, [5])).all()


def test_ids_outside_the_vocabulary_are_refused(omni: muomni.Omni) -> None:
    for bad in (-1, omni.thinker.stage.vocabulary):
        with pytest.raises(InputError, match=str(bad)):
            omni.thinker.feed(omni.thinker.start(), [bad])


def test_a_conversation_equals_one_long_prompt(omni: muomni.Omni) -> None:
    """Greedy turns in a conversation are what a fresh prefill of the whole history would say."""
    chat = omni.chat()
    image = np.random.default_rng(1).random((32, 32, 3))
    history: list[int] = []
    for text, images in (("hello there", []), ("and this?", [image]), ("a third turn", [])):
        reply = chat.say(text, images=images, max_new_tokens=6)
        assert chat.positions == len(history) + reply.prompt_tokens + 6
        history += [0] * reply.prompt_tokens + list(reply.token_ids)
    fresh = omni.chat()
    fresh.say("hello there", max_new_tokens=6)
    fresh.say("and this?", images=[image], max_new_tokens=6)
    turn = [omni.tokenizer.bos_id, *omni.tokenizer.encode("a third turn")]
    first, second = fresh._memory.turns
    alone = omni.thinker.start()
    omni.thinker.feed(alone, [*first.ids, *first.reply_ids])
    omni.thinker.feed(alone, second.ids, second.media)
    logits = omni.thinker.feed(alone, [*second.reply_ids, *turn])
    assert int(logits.argmax()) == reply.token_ids[0]


def test_a_failed_or_interrupted_turn_leaves_no_trace(omni: muomni.Omni) -> None:
    def reply_after(disturb: bool) -> tuple[int, ...]:
        chat = omni.chat()
        chat.say("hello", max_new_tokens=4)
        before = chat.positions
        if disturb:

            def interrupt(piece: str) -> None:
                raise KeyboardInterrupt

            with pytest.raises(KeyboardInterrupt):
                chat.say("tell me more", max_new_tokens=8, on_text=interrupt)
            with pytest.raises(ContextError):
                chat.say("word " * 2000)
            assert chat.positions == before
        return chat.say("what else?", max_new_tokens=8).token_ids

    assert reply_after(disturb=True) == reply_after(disturb=False)


def test_a_full_conversation_forgets_its_oldest_turn_only_when_asked(omni: muomni.Omni) -> None:
    chat = omni.chat()
    for _ in range(3):
        chat.say("word " * 20, max_new_tokens=20)
    with pytest.raises(ContextError, match="reset"):
        for _ in range(20):
            chat.say("word " * 20, max_new_tokens=20)
    reply = chat.say("word " * 20, max_new_tokens=20, truncate=True)
    assert any("oldest turn" in note for note in reply.notes)
    assert len(reply.token_ids) == 20


def test_truncation_keeps_bos_and_the_end_of_the_text(omni: muomni.Omni) -> None:
    with pytest.raises(ContextError, match=r"takes \d+ positions"):
        omni.generate("word " * 2000)
    reply = omni.generate("word " * 2000, truncate=True, max_new_tokens=8)
    assert reply.prompt_tokens == omni.thinker.stage.context_length - 1 - 8
    assert len(reply.token_ids) == 8
    assert any("shortened" in note for note in reply.notes)


def test_a_reply_ends_with_the_context_and_says_so(omni: muomni.Omni) -> None:
    reply = omni.generate("hi", max_new_tokens=10_000)
    assert reply.finish_reason == "length"
    assert reply.prompt_tokens + reply.completion_tokens == omni.thinker.stage.context_length
    assert any("context is full" in note for note in reply.notes)


def test_streamed_text_equals_the_reply(omni: muomni.Omni) -> None:
    pieces: list[str] = []
    reply = omni.generate("Hello, how are you?", max_new_tokens=24, on_text=pieces.append)
    assert "".join(pieces) == reply.text
    stop = reply.text[len(reply.text) // 2 :][:3]
    pieces.clear()
    stopped = omni.generate("Hello, how are you?", max_new_tokens=24, stop=stop, on_text=pieces.append)
    assert "".join(pieces) == stopped.text == reply.text.split(stop)[0]
    assert stopped.finish_reason == "stop"


def test_threads_may_share_a_model(omni: muomni.Omni) -> None:
    prompts = [f"prompt number {i}" for i in range(8)]
    alone = [omni.generate(prompt, max_new_tokens=12).token_ids for prompt in prompts]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda p: omni.generate(p, max_new_tokens=12).token_ids, prompts))
    assert together == alone


def test_speech_repeats_with_its_seed(omni: muomni.Omni) -> None:
    def codes(seed: int) -> list[list[int]]:
        speech = omni.generate("hi", max_new_tokens=1, speech=True, speech_frames=20, seed=seed).speech
        assert speech is not None
        return speech.codes.tolist()

    assert codes(3) == codes(3)
    assert codes(3) != codes(4)


def test_a_shorter_speech_is_the_beginning_of_a_longer_one(omni: muomni.Omni) -> None:
    options = muomni.SamplingOptions(temperature=0.8, top_k=50, seed=9)
    long = list(omni.reference_talker.frames(30, options))
    assert list(omni.reference_talker.frames(11, options)) == long[:11]
