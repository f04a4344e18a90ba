"""A batch gives each request the tokens that it has alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import muomni
from muomni import MuomniError, Reply, Request, SamplingOptions

DATA = Path(__file__).parents[1] / "data" / "parity" / "inputs"


@pytest.fixture(scope="module")
def omni(parity_bundle: Path) -> muomni.Omni:
    return muomni.Omni.load(parity_bundle, device="cpu", threads=1)


def requests() -> list[Request]:
    texts = ["hi", "Hello, how are you?", "What do you see? " * 4, "the quick brown fox", "one", "two three"]
    wanted = [Request(text=text, max_new_tokens=3 + 7 * i) for i, text in enumerate(texts)]
    image, speech = DATA / "image0.png", DATA / "speech_16k.wav"
    wanted.append(Request(text="What do you see?", images=[image, image], max_new_tokens=20))
    wanted.append(Request(audio=speech, max_new_tokens=12))
    wanted.append(
        Request(text="draw", max_new_tokens=15, sampling=SamplingOptions(temperature=0.7, top_k=9, seed=4))
    )
    wanted.append(
        Request(text="no repeats", max_new_tokens=15, sampling=SamplingOptions(repetition_penalty=1.5))
    )
    return wanted


def alone(omni: muomni.Omni, wanted: Request) -> Reply:
    return omni.generate(wanted)


@pytest.mark.parametrize("slots", [1, 2, 3, 16])
def test_each_request_has_the_tokens_it_has_alone(omni: muomni.Omni, slots: int) -> None:
    wanted = requests()
    for request, reply in zip(wanted, omni.generate_batch(wanted, slots=slots), strict=True):
        expected = alone(omni, request)
        assert isinstance(reply, Reply)
        assert reply.token_ids == expected.token_ids
        assert (reply.text, reply.finish_reason, reply.prompt_tokens) == (
            expected.text,
            expected.finish_reason,
            expected.prompt_tokens,
        )


def test_stop_strings_work_in_a_batch(omni: muomni.Omni) -> None:
    text = omni.generate("Hello, how are you?", max_new_tokens=20).text
    stop = text[len(text) // 2 :][:3]
    (reply,) = omni.generate_batch([Request(text="Hello, how are you?", max_new_tokens=20, stop=[stop])])
    assert isinstance(reply, Reply)
    assert reply.text == text.split(stop)[0]


def test_one_bad_request_does_not_stop_the_rest(omni: muomni.Omni) -> None:
    bad = [
        Request(text="x", images=["no such file.png"]),
        Request(),
        Request(text="word " * 2000),
    ]
    results = omni.generate_batch([*bad, "hi", *bad], slots=2)
    assert [isinstance(result, MuomniError) for result in results] == [True] * 3 + [False] + [True] * 3
    assert "no such file.png" in str(results[0])


def test_results_are_reported_as_they_finish(omni: muomni.Omni) -> None:
    seen: list[int] = []
    wanted = [Request(text="hi", max_new_tokens=count) for count in (30, 2, 10)]
    results = omni.generate_batch(wanted, slots=3, on_result=lambda index, result: seen.append(index))
    assert sorted(seen) == [0, 1, 2] and seen[0] == 1
    assert [len(r.token_ids) for r in results if isinstance(r, Reply)] == [30, 2, 10]


def test_a_full_context_is_noted_where_it_ended_the_reply(omni: muomni.Omni) -> None:
    """Once it was noted of every reply that could have been longer, also of those that ended by themselves."""
    text = omni.generate("Hello, how are you?", max_new_tokens=20).text
    wanted = [
        Request(text="Hello, how are you?", max_new_tokens=100_000),
        Request(text="Hello, how are you?", max_new_tokens=100_000, stop=[text[len(text) // 2 :][:3]]),
    ]
    full, stopped = omni.generate_batch(wanted)
    assert isinstance(full, Reply) and isinstance(stopped, Reply)
    assert full.finish_reason == "length" and stopped.finish_reason == "stop"
    assert full.notes == alone(omni, wanted[0]).notes
    assert "context is full" in " ".join(full.notes)
    assert stopped.notes == ()


def test_a_batch_of_nothing_is_nothing(omni: muomni.Omni) -> None:
    assert omni.generate_batch([]) == []
    with pytest.raises(muomni.InputError, match="slots"):
        omni.generate_batch(["hi"], slots=0)


def test_rows_of_different_lengths_decode_as_alone(omni: muomni.Omni) -> None:
    """The attention of a step reads each row's own length."""
    decoder = omni.thinker.decoder
    random = np.random.default_rng(2)
    rows = [random.integers(3, 500, length).tolist() for length in (3, 40, 131)]
    state = decoder.start(len(rows))
    for at, ids in enumerate(rows):
        single = omni.thinker.start()
        omni.thinker.feed(single, ids)
        state.copy_row(at, single, 0)
    nothing = np.zeros((3, 0, omni.thinker.stage.width), dtype=np.float32)
    logits = decoder.feed(state, 1, {"input_ids": np.full((3, 1), 7), "media_embeds": nothing})[
        "logits"
    ].copy()
    taken = state.taken([2, 0])
    again = decoder.feed(taken, 1, {"input_ids": np.full((2, 1), 9), "media_embeds": nothing[:2]})["logits"]
    for at, ids in enumerate(rows):
        expected = omni.thinker.feed(omni.thinker.start(), [*ids, 7])
        assert np.abs(logits[at] - expected).max() < 2e-5
    for at, index in enumerate((2, 0)):
        expected = omni.thinker.feed(omni.thinker.start(), [*rows[index], 7, 9])
        assert np.abs(again[at] - expected).max() < 2e-5
