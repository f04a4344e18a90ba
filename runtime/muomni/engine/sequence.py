"""One request on its way through the engine."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from muomni.events import TextDelta
from muomni.models.registry import Models
from muomni.models.sampling import Sampler
from muomni.ort.kv_cache import KVCache
from muomni.replies import FinishReason, Reply, Speech, TokenLogprob
from muomni.requests import Request

from .detokenizer import Detokenizer
from .fitting import context_is_full
from .prompt import Prompt
from .segments import Segment
from .timings import Timings

if TYPE_CHECKING:
    from .speaking import SpeechStream


class Sequence:
    """A request being answered. Make one with :meth:`muomni.engine.engine.Engine.add`.

    Attributes:
        segments: what is still to be computed of the prompt, in order.
        next_id: generated, not yet in the cache.
        cache: of the caller's, whose row 0 the prompt goes on from; None takes a row of the engine's.
        speech: None where nothing is said.
        needs_logits: it takes more than the likeliest id.
        may_speak: False holds the speech back (nobody takes what is made); the text goes on.
        done: nothing more happens to it.
    """

    def __init__(
        self,
        request: Request,
        prompt: Prompt,
        segments: list[Segment],
        models: Models,
        timings: Timings,
        cache: KVCache | None = None,
        stream_text: bool = True,
        ignore_eos: bool = False,
    ) -> None:
        self.request, self.prompt, self.segments, self.cache = request, prompt, segments, cache
        self.whole_prompt = list(segments)
        self.timings = timings
        self.may_speak = True
        self.done = self.text_over = False
        self.finish_reason: FinishReason = "length"
        self.ids: list[int] = []
        self.next_id = -1
        self.cached_tokens = 0
        self.room = 0
        """Ids the context allows, once the prompt is placed."""
        self._models = models
        tokenizer = models.tokenizer()
        self._tokenizer, self._eos = tokenizer, -1 if ignore_eos else tokenizer.eos_id
        self._sampler = Sampler(request.sampling, prompt.ids)
        self._constraint = None if request.grammar is None else models.grammars().start(request.grammar)
        drawn = not request.sampling.greedy or request.sampling.penalised
        self.needs_logits = drawn or request.logprobs is not None or self._constraint is not None
        self._detokenizer = Detokenizer(tokenizer, request.stop)
        self._watched = bool(request.stop) or stream_text or request.speech is not None
        self._streams = stream_text
        self._text: list[str] = []
        self._logprobs: list[TokenLogprob] = []
        self._told_logprobs = 0
        self._first_token_time = 0.0
        self.cancelled = self.keep = self.speech_failed = False
        self.speech: SpeechStream | None = None
        if request.speech is not None:
            from .speaking import SpeechStream  # a text chat needs none of it

            self.speech = SpeechStream(models, request.speech, timings)

    def cancel(self, keep: bool = False) -> None:
        """End it at the engine's next step; any thread may ask for it.

        Args:
            keep: what has been generated is a reply; else nothing of it stays.
        """
        self.keep = keep
        self.cancelled = True

    @property
    def positions(self) -> int:
        """Of the prompt that are still to be computed."""
        return sum(len(segment) for segment in self.segments)

    @property
    def text(self) -> str:
        """What has been settled so far."""
        return "".join(self._text)

    def take(self, logits: NDArray[np.float32]) -> TextDelta | None:
        """Choose the next id from logits (V,); the text that it settles, if any is wanted.

        :attr:`text_over` is True when it ends the reply; else :attr:`next_id` is to be fed.

        Raises:
            InputError: the request's grammar cannot be gone on with.
        """
        if self._constraint is None:
            token = self._sampler.pick(logits, self.ids)
        else:
            token = self._sampler.pick(self._constraint.masked(logits), self.ids)
            self._constraint.take(token)
        if self.request.logprobs is not None:
            self._logprobs.append(logprob_of(token, logits, self.request.logprobs))
        return self.take_id(token)

    def take_id(self, token: int) -> TextDelta | None:
        """As :meth:`take`, with the id that was chosen; for those that need no logits."""
        self.ids.append(token)
        self.next_id = token
        if len(self.ids) == 1:
            self._first_token_time = time.perf_counter()
        piece = self._detokenizer.push(token) if self._watched else ""
        if token == self._eos or self._detokenizer.stopped:
            self.finish_reason = "stop"
            self.text_over = True
        elif len(self.ids) >= self.room:
            self.text_over = True
        if self.text_over and self._watched:
            piece += self._detokenizer.finish()
        return self._settled(piece) if piece else None

    def say(self, text: str) -> None:
        """Speak this text, which is no reply of the model."""
        assert self.speech is not None, "only what speaks can say a text"
        self.finish_reason, self.text_over = "stop", True
        self._text.append(text)
        self.speech.push(text)
        self.speech.finish()

    def end_text(self, reason: FinishReason) -> TextDelta | None:
        """End the reply here; the text that was held back, if any is wanted."""
        self.finish_reason, self.text_over = reason, True
        piece = self._detokenizer.finish() if self._watched else ""
        return self._settled(piece) if piece else None

    def reply(self, spoken: Speech | None) -> Reply:
        """All of it, once it is over."""
        request, notes = self.request, list(self.prompt.notes)
        if self.finish_reason == "length" and self.room < request.max_new_tokens:
            notes.append(context_is_full(len(self.ids)))
        graphs = {self._models.thinker().stage.graph} | self.prompt.graphs
        if self.speech is not None:
            notes += self.speech.notes
            graphs |= self.speech.graphs
        timings = self.timings
        seconds = {"load": 0.0, "decode": 0.0, **timings.seconds}
        # Where it was cancelled before its first id, there is no time of it.
        seconds["first_token"] = max(0.0, self._first_token_time - timings.started)
        seconds["total"] = seconds["load"] + timings.since_start()
        return Reply(
            text=self.text if self._watched else self._tokenizer.decode(self.ids),
            token_ids=tuple(self.ids),
            finish_reason=self.finish_reason,
            usage=self.prompt.usage(self.cached_tokens, len(self.ids)),
            speech=spoken,
            seed=self._sampler.seed,
            logprobs=tuple(self._logprobs),
            timings=seconds,
            providers=self._models.sessions.providers(graphs),
            ocr=self.prompt.ocr,
            notes=tuple(dict.fromkeys(notes)),
        )

    def _settled(self, piece: str) -> TextDelta | None:
        self._text.append(piece)
        if self.speech is not None:
            self.speech.push(piece)
        if not self._streams:
            return None
        told, self._told_logprobs = self._told_logprobs, len(self._logprobs)
        return TextDelta(piece, tuple(self._logprobs[told:]))


def logprob_of(token: int, logits: NDArray[np.float32], top: int) -> TokenLogprob:
    """Log probability of a token under softmax of logits (V,), and of the ``top`` likeliest.

    Example:
        >>> logprob_of(1, np.log(np.array([0.25, 0.5, 0.25], np.float32)), 1).top[0][0]
        1
    """
    wide = logits.astype(np.float64)
    wide -= wide.max()
    wide -= np.log(np.exp(wide).sum())
    best = np.argsort(-wide, kind="stable")[:top]
    return TokenLogprob(token, float(wide[token]), tuple((int(i), float(wide[i])) for i in best))
