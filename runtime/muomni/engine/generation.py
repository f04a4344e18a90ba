"""The token loop: sample, stream text, stop."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from muomni.models.sampling import Sampler, SamplingOptions
from muomni.models.thinker import Thinker
from muomni.models.tokenizer import Tokenizer
from muomni.ort.decoder import DecoderState
from muomni.replies import FinishReason

from .timings import Stopwatch

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


class Generation:
    """One sequence being generated: takes logits, gives the id to feed next, until it is done.

    Args:
        prompt_ids: what the repetition penalty also applies to.
        max_new_tokens: at least 1.
        on_text: called with each piece of text as it is settled.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        prompt_ids: Sequence[int],
        max_new_tokens: int,
        options: SamplingOptions,
        stop: Sequence[str] = (),
        on_text: OnText | None = None,
    ) -> None:
        self._tokenizer, self._max_new_tokens = tokenizer, max_new_tokens
        self._sampler = Sampler(options)
        self._stream = TextStream(tokenizer, stop, on_text)
        self._watched = bool(stop) or on_text is not None  # else the text is decoded once, at the end
        self._penalised = list(prompt_ids) if options.repetition_penalty != 1.0 else None
        self._ids: list[int] = []
        self._finish_reason: FinishReason = "length"
        self._first_token_time = 0.0

    def take(self, logits: NDArray[np.float32]) -> int | None:
        """Choose the next id from logits (V,); None when it ends the reply."""
        token = self._sampler.pick(logits, self._penalised or ())
        self._ids.append(token)
        if self._penalised is not None:
            self._penalised.append(token)
        if len(self._ids) == 1:
            self._first_token_time = time.perf_counter()
        if token == self._tokenizer.eos_id or (self._watched and self._stream.update(self._ids)):
            self._finish_reason = "stop"
            return None
        return token if len(self._ids) < self._max_new_tokens else None

    def result(self) -> Generated:
        """What was generated; the last id has not been fed."""
        if not self._watched:
            self._stream.update(self._ids)
        return Generated(self._ids, self._stream.finish(), self._finish_reason, self._first_token_time)


def steps(
    generation: Generation, thinker: Thinker, state: DecoderState, logits: NDArray[np.float32]
) -> Iterator[None]:
    """Generate to the end, from the logits that follow the prompt in ``state``; yields after every id."""
    while (token := generation.take(logits)) is not None:
        yield
        logits = thinker.feed(state, [token])


def finish(generation: Generation, going_on: Iterator[None]) -> Generated:
    """Go through the rest of :func:`steps`."""
    for _ in going_on:
        pass
    return generation.result()


class PieceTap:
    """Takes the pieces of text that a generation settles, so that something else can read along.

    Args:
        on_text: is given every piece too.
    """

    def __init__(self, on_text: OnText | None) -> None:
        self._on_text = on_text
        self._pieces: list[str] = []

    def __call__(self, piece: str) -> None:
        self._pieces.append(piece)
        if self._on_text is not None:
            self._on_text(piece)

    def follow(self, generation: Generation, going_on: Iterator[None], watch: Stopwatch) -> Iterator[str]:
        """Generate and give the text as it settles; the time it takes is ``decode``, not the reading Talker's."""
        over = False
        while not over:
            start = watch.now()
            over = next(going_on, _OVER) is _OVER
            if over:
                generation.result()  # settles what was held back
            spent = watch.now() - start
            watch.add("decode", spent)
            watch.add("talker", -spent)
            if self._pieces:
                yield "".join(self._pieces)
                self._pieces.clear()


_OVER = object()
