"""Many requests at once: prompts of different lengths decode together, row by row of one batch.

A row is a request. Each prompt is computed alone into its own cache and copied into the batch; rows then
take steps together, and a row whose reply ends makes room for the next request at once. No row sees another,
so each gives the tokens that it would give alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from muomni.errors import InputError, MuomniError
from muomni.models.registry import Models
from muomni.models.sampling import SamplingOptions
from muomni.models.thinker import Thinker
from muomni.ort.decoder import DecoderState
from muomni.replies import Reply

from .generation import Generation
from .prompt import Prompt, Request, context_is_full, encode, fit
from .timings import Stopwatch


@dataclass(frozen=True)
class BatchRequest:
    """One request of a batch, with its own options; see :meth:`muomni.Omni.generate`."""

    request: Request
    max_new_tokens: int = 64
    sampling: SamplingOptions = field(default_factory=SamplingOptions)
    stop: Sequence[str] = ()
    truncate: bool = False


Result = Reply | MuomniError
OnResult = Callable[[int, Result], None]


@dataclass
class _Row:
    """A request that is being answered, in one row of the batch."""

    index: int
    prompt: Prompt
    generation: Generation
    watch: Stopwatch
    cut: bool
    """The context allows fewer tokens than are wanted."""
    next_id: int = 0


class BatchRun:
    """Answers requests in at most ``rows`` rows.

    Args:
        on_result: called with the index of a request and its reply, or its error, as it is finished.
    """

    def __init__(self, stages: Models, rows: int, on_result: OnResult | None = None) -> None:
        if rows < 1:
            raise InputError(f"rows: expected at least 1, got {rows}")
        self._stages, self._rows_at_once, self._on_result = stages, rows, on_result

    def run(self, requests: Sequence[BatchRequest]) -> list[Result]:
        """Replies, or the errors of requests that could not be answered, in the order of the requests.

        Raises:
            StageError, BundleError: what no request could be answered with.
        """
        self._results: dict[int, Result] = {}
        if not requests:
            return []
        thinker = self._stages.batch_thinker()
        self._stages.tokenizer()
        waiting = list(enumerate(requests))[::-1]
        rows: list[_Row | None] = [None] * min(self._rows_at_once, len(requests))
        state = thinker.decoder.start(len(rows))
        no_media = np.zeros((len(rows), 0, thinker.stage.width), dtype=np.float32)
        while True:
            for at, row in enumerate(rows):
                while row is None and waiting:
                    started = self._start(thinker, *waiting.pop())
                    if started is not None:
                        row = rows[at] = started[0]
                        state.put_row(at, started[1])
            live = [at for at, row in enumerate(rows) if row is not None]
            if not live:
                return [self._results[index] for index in range(len(requests))]
            if len(live) <= len(rows) // 2:  # the last replies need not drag empty rows along
                state, rows = state.take_rows(live), [rows[at] for at in live]
                no_media = no_media[: len(rows)]
            for at, row in enumerate(rows):
                if row is None:
                    state.clear_row(at)
            ids = np.array([[0 if row is None else row.next_id] for row in rows], dtype=np.int64)
            logits = thinker.decoder.feed(state, 1, {"input_ids": ids, "media_embeds": no_media})["logits"]
            for at, row in enumerate(rows):
                if row is not None:
                    token = row.generation.take(logits[at])
                    if token is None:
                        self._finish(row)
                        rows[at] = None
                    else:
                        row.next_id = token

    def _start(self, thinker: Thinker, index: int, wanted: BatchRequest) -> tuple[_Row, DecoderState] | None:
        """Compute a prompt and choose the first id; None when that already ended (or failed) it."""
        watch = Stopwatch()
        context = thinker.stage.context_length
        try:
            if wanted.max_new_tokens < 1:
                raise InputError(f"max_new_tokens: expected at least 1, got {wanted.max_new_tokens}")
            prompt = encode(wanted.request, self._stages, watch, wanted.truncate)
            prompt = fit(prompt, context, wanted.max_new_tokens, wanted.truncate)
            allowed = min(wanted.max_new_tokens, context - len(prompt))
            state = thinker.start(len(prompt))
            with watch.stage("prefill"):
                logits = thinker.feed(state, prompt.ids, prompt.media)
        except MuomniError as error:
            self._give(index, error)
            return None
        generation = Generation(self._stages.tokenizer(), prompt.ids, allowed, wanted.sampling, wanted.stop)
        row = _Row(index, prompt, generation, watch, cut=allowed < wanted.max_new_tokens)
        token = generation.take(logits)
        if token is None:
            self._finish(row)
            return None
        row.next_id = token
        return row, state

    def _finish(self, row: _Row) -> None:
        made = row.generation.result()
        if row.cut and made.finish_reason == "length":
            row.prompt.notes.append(context_is_full(len(made.ids)))
        first = made.first_token_time - row.watch.started
        total = row.watch.total()
        timings = {
            "load": 0.0,
            **row.watch.seconds,
            "first_token": first,
            "decode": total - first,
            "total": total,
        }
        reply = Reply(
            text=made.text,
            token_ids=tuple(made.ids),
            prompt_tokens=len(row.prompt),
            finish_reason=made.finish_reason,
            timings=timings,
            providers=self._stages.providers(),
            notes=tuple(dict.fromkeys(row.prompt.notes)),
        )
        self._give(row.index, reply)

    def _give(self, index: int, result: Result) -> None:
        self._results[index] = result
        if self._on_result is not None:
            self._on_result(index, result)
