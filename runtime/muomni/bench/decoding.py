"""Speed of the Thinker alone: prefill, decode, and decode by context length."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from muomni.models.thinker import Thinker

from .statistics import Summary, summarise

PROMPT_TOKENS = 64
NEW_TOKENS = 256
CONTEXTS = (16, 32, 64, 128, 256, 512, 1024, 2048, 4096)
STEPS_AT_A_CONTEXT = 16


class ThinkerRun:
    """A fixed prompt and greedy tokens after it, made to fit the context."""

    def __init__(
        self, thinker: Thinker, prompt_tokens: int = PROMPT_TOKENS, new_tokens: int = NEW_TOKENS
    ) -> None:
        context = thinker.stage.context_length
        self.thinker = thinker
        self.prompt_tokens = max(1, min(prompt_tokens, context // 2))
        self.new_tokens = max(1, min(new_tokens, context - self.prompt_tokens))
        self.prompt = fixed_prompt(self.prompt_tokens, thinker.stage.vocabulary)
        self.prefill_seconds: list[float] = []
        self.step_seconds: list[float] = []
        self.round_rates: list[float] = []

    def once(self, clock: Callable[[], float] = time.perf_counter) -> list[int]:
        """Prefill, then greedy steps; eos does not end it. Times are added to the lists; the ids are returned."""
        thinker = self.thinker
        state = thinker.start(self.prompt_tokens + self.new_tokens)
        start = clock()
        logits = thinker.feed(state, self.prompt)
        now = clock()
        self.prefill_seconds.append(now - start)
        ids, begin = [], now
        for _ in range(self.new_tokens):
            token = int(logits.argmax())
            ids.append(token)
            logits = thinker.feed(state, [token])
            after = clock()
            self.step_seconds.append(after - now)
            now = after
        self.round_rates.append(self.new_tokens / (now - begin))
        return ids

    def forget(self) -> None:
        """Drop what was measured (after a warm-up)."""
        for samples in (self.prefill_seconds, self.step_seconds, self.round_rates):
            samples.clear()


def fixed_prompt(tokens: int, vocabulary: int) -> list[int]:
    """The same ordinary ids everywhere, special ones left out."""
    draw = np.random.default_rng(0)
    return [int(i) for i in draw.integers(min(3, vocabulary - 1), vocabulary, size=tokens)]


def steps_by_context(
    thinker: Thinker, rounds: int, clock: Callable[[], float] = time.perf_counter
) -> dict[int, Summary]:
    """Seconds of a step with about so many positions in the cache, lengths interleaved."""
    longest = thinker.stage.context_length
    lengths = [n for n in CONTEXTS if n < longest]
    steps = max(1, min(STEPS_AT_A_CONTEXT, longest // 4))
    lengths.append(longest)  # the steps end at it
    samples: dict[int, list[float]] = {n: [] for n in lengths}
    for index in range(rounds + 1):
        for length in lengths:
            before = max(1, length - steps)
            state = thinker.start(length)
            thinker.feed(state, fixed_prompt(before, thinker.stage.vocabulary))
            for _ in range(length - before):
                start = clock()
                thinker.feed(state, [1])
                if index:  # the first round warms up
                    samples[length].append(clock() - start)
    return {length: summarise(seconds) for length, seconds in samples.items() if seconds}
