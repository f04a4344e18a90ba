"""A prompt that begins as an earlier one is computed from there on, to the same bits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import muomni
from muomni import Finished, Reply, Request
from muomni.engine.engine import Engine
from muomni.engine.prefix_cache import KERNEL_BLOCK, SHORTEST_PREFIX, PrefixCache, restorable
from muomni.engine.prompt import Prompt
from muomni.engine.segments import PREFILL_CHUNK, Segment
from muomni.ort.kv_cache import CacheShape, HostCache, KVCache

from .conftest import SAMPLES

SHAPE = CacheShape("Thinker", 2, 1, 4, 4096, "float32")
LONG = "the red circle is left of the blue square and the yellow star " * 6


def filled(keys: list[int]) -> KVCache:
    """A row whose values can be told apart."""
    cache = HostCache(SHAPE, 1, len(keys))
    values = np.array(keys, dtype=np.float32)[None, :, None].repeat(4, axis=2)
    cache.write(0, [values, -values], len(keys))
    return cache


def restored(prefixes: PrefixCache, segments: list[Segment]) -> int:
    cache = HostCache(SHAPE, 2)
    length = prefixes.restore(segments, cache, 1)
    assert cache.lengths.tolist() == [0, length]
    if length:
        ids = [i for segment in segments for i in segment][:length]
        assert cache.read(1, length)[0][0, :, 0].tolist() == ids
    return length


def test_the_longest_match_is_taken_and_two_positions_are_left() -> None:
    prefixes = PrefixCache(64 << 20)
    short, long = list(range(40)), [*range(90), 7, 7]
    prefixes.keep([short], filled(short), 0)
    prefixes.keep([long], filled(long), 0)
    assert restored(prefixes, [list(range(80))]) == 78  # of 80
    assert restored(prefixes, [list(range(200))]) == 90
    assert restored(prefixes, [list(range(SHORTEST_PREFIX + 1))]) == 0
    assert restored(prefixes, [[5, *range(100)]]) == 0


def test_the_least_recently_used_go_first() -> None:
    size = 64 * SHAPE.bytes_per_position
    prefixes = PrefixCache(2 * size)
    prompts = [[k, *range(63)] for k in range(3)]
    for prompt in prompts[:2]:
        prefixes.keep([prompt], filled(prompt), 0)
    assert restored(prefixes, [prompts[0]]) == 62
    prefixes.keep([prompts[2]], filled(prompts[2]), 0)
    assert prefixes.bytes == 2 * size
    assert [restored(prefixes, [prompt]) for prompt in prompts] == [62, 0, 62]


@pytest.mark.parametrize("most", [0, 100])
def test_what_is_too_large_is_not_kept(most: int) -> None:
    prefixes = PrefixCache(most)
    prefixes.keep([list(range(64))], filled(list(range(64))), 0)
    assert prefixes.bytes == 0


def test_a_prompt_that_another_begins_with_is_not_kept_twice() -> None:
    prefixes = PrefixCache(64 << 20)
    for length in (64, 128, 96):
        prefixes.keep([list(range(length))], filled(list(range(length))), 0)
    assert prefixes.bytes == 128 * SHAPE.bytes_per_position


@given(lengths=st.lists(st.tuples(st.integers(20, 180), st.integers(1, 40)), min_size=2, max_size=5))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.parametrize("slots", [1, 4])
def test_any_beginning_may_be_restored(omni: muomni.Omni, slots: int, lengths: list[tuple[int, int]]) -> None:
    """Prompts of any lengths that begin alike, in any order."""
    rng = np.random.default_rng(lengths[0][0])
    ids = [int(i) for i in rng.integers(3, omni.thinker.stage.vocabulary, 180)]
    prefixes = PrefixCache(64 << 20)
    for shared, own in lengths:
        prompt = [*ids[:shared], *(int(i) for i in rng.integers(3, 1000, own))]
        made = []
        for kept in (prefixes, None):
            engine = Engine(omni._models, slots, kept)
            request = Request("-", max_new_tokens=3, logprobs=0)
            engine.add(request, prompt=Prompt(None, prompt), ignore_eos=True)
            while not engine.idle:
                made += [event.reply for _, event in engine.step() if isinstance(event, Finished)]
        one, other = made
        assert one.logprobs[0].logprob == pytest.approx(other.logprobs[0].logprob, abs=2e-3)
        assert one.prompt_tokens == other.prompt_tokens == len(prompt)
        assert one.usage.cached_tokens <= len(prompt) - 2 and other.usage.cached_tokens == 0


@given(known=st.integers(0, 400), positions=st.integers(3, 400))
def test_what_is_left_to_compute_ends_as_the_whole_would(known: int, positions: int) -> None:
    known = min(known, positions - 2)
    length = restorable(known, positions)
    assert 0 <= length <= known and length % 2 == 0
    begin = (positions - 1) // PREFILL_CHUNK * PREFILL_CHUNK
    if length > begin:
        whole, rest = positions - begin, positions - length
        assert rest >= 2
        assert rest % 2 == whole % 2
        assert (rest % KERNEL_BLOCK == 1) == (whole % KERNEL_BLOCK == 1)


@pytest.mark.parametrize("slots", [1, 4])
def test_replies_are_the_same_with_and_without(slots: int) -> None:
    kept = muomni.Omni.load(device="cpu", threads=1)
    plain = muomni.Omni.load(device="cpu", threads=1, prefix_cache_bytes=0)
    image = SAMPLES / "shapes.png"
    prompts = [
        Request(LONG + "one", max_new_tokens=6, logprobs=0),
        Request(LONG + "two three", max_new_tokens=6, logprobs=0),
        Request("What do you see?", images=[image], max_new_tokens=6, logprobs=0),
        Request("How many shapes are there?", images=[image], max_new_tokens=6, logprobs=0),
    ]

    def answer(omni: muomni.Omni, request: Request) -> Reply:
        if slots == 1:
            return omni.generate(request)
        (reply,) = omni.generate_batch([request], slots=slots)
        assert isinstance(reply, Reply)
        return reply

    cached = []
    for request in prompts:
        one, other = answer(kept, request), answer(plain, request)
        assert one.token_ids == other.token_ids
        firsts = [reply.logprobs[0].logprob for reply in (one, other)]
        assert firsts[0] == pytest.approx(firsts[1], abs=2e-3)
        assert other.usage.cached_tokens == 0
        cached.append(one.usage.cached_tokens)
    assert cached[0] == cached[2] == 0
    assert cached[1] >= 64 and cached[3] >= SHORTEST_PREFIX
