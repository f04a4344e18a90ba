"""The token loop: sample, stream text, stop."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .decoder import DecoderState
from .reply import FinishReason
from .sampling import Sampler, SamplingOptions
from .thinker import Thinker
from .tokenizer import Tokenizer

OnText = Callable[[str], None]


@dataclass(frozen=True)
class Generated:
    """What the loop produced. ``first_token_time`` is a ``time.perf_counter()`` reading."""

    ids: list[int]
    text: str
    finish_reason: FinishReason
    first_token_time: float


class TextStream:
    """Turns growing token ids into text, piece by piece, and finds stop strings.

    Text that may still change is held back: an incomplete UTF-8 character, and an ending that could be the
    beginning of a stop string. The pieces given to ``on_text`` join to exactly :attr:`text`.
    """

    def __init__(self, tokenizer: Tokenizer, stop: Sequence[str], on_text: OnText | None) -> None:
        self._tokenizer, self._stop, self._on_text = tokenizer, [s for s in stop if s], on_text
        self.text = ""
        self._sent = 0

    def update(self, ids: Sequence[int]) -> bool:
        """Take all ids so far; True when a stop string has appeared (the text then ends before it)."""
        self.text = self._tokenizer.decode(ids)
        found = [at for s in self._stop if (at := self.text.find(s)) >= 0]
        if found:
            self.text = self.text[: min(found)]
        self._send(len(self.text) if found else self._settled())
        return bool(found)

    def finish(self) -> str:
        """Send what was held back; give the whole text."""
        self._send(len(self.text))
        return self.text

    def _settled(self) -> int:
        end = len(self.text)
        while end and self.text[end - 1] == "�":
            end -= 1
        for stop in self._stop:
            for size in range(min(len(stop) - 1, end), 0, -1):
                if self.text.startswith(stop[:size], end - size):
                    end -= size
                    break
        return end

    def _send(self, end: int) -> None:
        if end > self._sent:
            if self._on_text is not None:
                self._on_text(self.text[self._sent : end])
            self._sent = end


def generate(
    thinker: Thinker,
    tokenizer: Tokenizer,
    state: DecoderState,
    logits: NDArray[np.float32],
    prompt_ids: Sequence[int],
    max_new_tokens: int,
    options: SamplingOptions,
    stop: Sequence[str] = (),
    on_text: OnText | None = None,
) -> Generated:
    """Generate from the logits that follow the prompt.

    The last id generated is not fed: the caller feeds it if the conversation goes on.
    """
    sampler = Sampler(options)
    stream = TextStream(tokenizer, stop, on_text)
    ids: list[int] = []
    penalised = options.repetition_penalty != 1.0
    finish_reason: FinishReason = "length"
    first_token_time = 0.0
    while True:
        token = sampler.pick(logits, [*prompt_ids, *ids] if penalised else ())
        ids.append(token)
        if len(ids) == 1:
            first_token_time = time.perf_counter()
        if token == tokenizer.eos_id:
            finish_reason = "stop"
            break
        if (stop or on_text is not None) and stream.update(ids):
            finish_reason = "stop"
            break
        if len(ids) >= max_new_tokens:
            break
        logits = thinker.feed(state, [token])
    if not stop and on_text is None:
        stream.update(ids)
    return Generated(ids, stream.finish(), finish_reason, first_token_time)
