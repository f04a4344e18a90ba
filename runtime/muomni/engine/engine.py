"""The step loop that everything goes through: sequences join, take steps together, and leave.

One thread owns an engine. A single caller drives it inline; a server drives it from a thread of its own. Only
:meth:`Engine.cancel` may come from elsewhere.

Slots are rows of one key/value cache (:mod:`.slots`). A prompt is computed alone in its slot, a chunk between the steps
of the others; then its row takes steps with theirs.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from muomni import logs
from muomni.errors import MuomniError, OutOfMemoryError
from muomni.events import Event, Failed, Finished, SpeechDelta, TextDelta
from muomni.models.registry import Models
from muomni.ort.kv_cache import KVCache
from muomni.replies import Speech
from muomni.requests import Request, SpeechOptions

from .fitting import fit
from .prompt import Prompt, prepare
from .segments import PREFILL_CHUNK, Segment, cut, feed
from .sequence import Sequence
from .slots import Slots, check_slots
from .timings import Timings

if TYPE_CHECKING:
    from .prefix_cache import PrefixCache
    from .speakers import Speakers

Events = list[tuple[Sequence, Event]]


class Engine:
    """Answers requests, up to ``slots`` of them at a time.

    With more than one slot an even number of rows is computed in every step (see
    :meth:`muomni.models.thinker.Thinker.step`), so that a reply is, bit for bit, the same whatever else is being
    answered. With one slot the row is alone.

    Args:
        prefixes: keys and values of earlier prompts, to begin from; None keeps none.
        real_time: speech is heard as it is made: who is nearest to an underrun is served first, and the Talker
            speaks for several sequences at once (an even number of rows, as with text). Else all that speak get as
            much as can be made, each alone: the speech of a lone reply, bit for bit.

    Example:
        >>> engine = Engine(models, slots=4)
        >>> first, second = engine.add(Request("hello")), engine.add(Request("hi"))
        >>> while not engine.idle:
        ...     for sequence, event in engine.step():
        ...         print(sequence is first, event)
    """

    def __init__(
        self,
        models: Models,
        slots: int = 1,
        prefixes: PrefixCache | None = None,
        *,
        real_time: bool = False,
    ) -> None:
        check_slots(slots)
        self.models, self.slots, self.real_time = models, slots, real_time
        self._slots = Slots(models, slots, prefixes)
        self._waiting: deque[Sequence] = deque()
        self._speakers: Speakers | None = None
        self._live: list[Sequence] = []  # all of them

    @property
    def idle(self) -> bool:
        """Nothing is to be done."""
        return not self._live

    @property
    def full(self) -> bool:
        """Another request would wait for a slot."""
        return len(self._waiting) + self._slots.taken >= self.slots

    @property
    def held_back(self) -> bool:
        """All that is left to do is speech that nobody takes yet; a step would do nothing."""
        return bool(self._live) and all(
            s.text_over and not s.may_speak and not s.cancelled for s in self._live
        )

    def add(
        self,
        request: Request,
        *,
        prompt: Prompt | None = None,
        segments: list[Segment] | None = None,
        cache: KVCache | None = None,
        timings: Timings | None = None,
        stream_text: bool = True,
        ignore_eos: bool = False,
    ) -> Sequence:
        """A request to be answered from the next step on.

        Args:
            prompt: the request's, where it has been encoded already (:func:`muomni.engine.prompt.prepare`, by
                any thread); else it is encoded now.
            segments: positions to compute, where they are more than the prompt's (earlier turns).
            cache: row 0 is gone on from, and has the reply but for its last id when it is finished. It belongs to
                the caller, who must not touch it until then.
            timings: of the request, where they began with its prompt.
            stream_text: False gives no :class:`TextDelta`.
            ignore_eos: go on to ``max_new_tokens`` whatever the model says, for measurements.

        Raises:
            InputError, MediaError, ContextError, StageError: the request cannot be answered.
        """
        timings = timings or Timings()
        if prompt is None:
            prompt = prepare(request, self.models, timings)
        context = self._slots.thinker.stage.context_length
        used = 0 if cache is None else int(cache.lengths[0])
        if segments is None:
            prompt = fit(prompt, context - used, request.max_new_tokens, request.truncate)
            segments = prompt.segments
        sequence = Sequence(request, prompt, segments, self.models, timings, cache, stream_text, ignore_eos)
        # A reply's last id needs no position of its own.
        sequence.room = min(request.max_new_tokens, context - used - sequence.positions)
        self._waiting.append(sequence)
        self._live.append(sequence)
        return sequence

    def say(self, text: str, options: SpeechOptions, timings: Timings | None = None) -> Sequence:
        """A text to be spoken as it is from the next step on. The Thinker is not asked, and no slot is taken.

        Raises:
            StageError: the bundle cannot speak.
        """
        timings = timings or Timings()
        request = Request(text, speech=options)
        sequence = Sequence(request, Prompt(None, []), [], self.models, timings, stream_text=False)
        sequence.say(text)
        self._live.append(sequence)
        self._speaks(sequence)
        return sequence

    def cancel(self, sequence: Sequence, keep: bool = False) -> None:
        """End a sequence at the next step; any thread may ask for it. See :meth:`Sequence.cancel`."""
        sequence.cancel(keep)

    def step(self) -> Events:
        """Do a little of everything that can be done; what came of it, by sequence.

        A sequence that fails takes no other with it. Where the step of all rows fails, all of them do.
        """
        events: Events = []
        for sequence in self._live:
            if sequence.cancelled:
                self._drop_cancelled(events)
                break
        if self._waiting or self._slots.prefilling is not None:
            self._compute_prompts(events)
        if self._slots.decoding:
            self._decode(events)
        if self._speakers:
            self._speak(self._speakers, events)
        return events

    # -- the parts of a step

    def _compute_prompts(self, events: Events) -> None:
        """A chunk of positions, of one prompt or of several short ones."""
        left, slots = PREFILL_CHUNK, self._slots
        while left > 0:
            if slots.prefilling is not None:
                left -= self._prefill(slots.prefilling, events)
            elif self._waiting and slots.taken < slots.count:
                sequence = self._waiting.popleft()
                try:
                    slots.join(sequence)
                except MuomniError as error:
                    self._fail(sequence, error, events)
            else:
                return

    def _drop_cancelled(self, events: Events) -> None:
        for sequence in tuple(self._live):
            if not sequence.cancelled:
                continue
            logs.debug("a sequence was cancelled after %d ids", len(sequence.ids))
            keep = sequence.keep and bool(sequence.ids)
            if keep and not sequence.text_over:
                self._text_ends(sequence, sequence.end_text("cancelled"), events)
            self._slots.leave(sequence)
            self._end(sequence)
            if keep:
                spoken = None if sequence.speech is None else sequence.speech.result()
                events.append((sequence, Finished(sequence.reply(spoken))))

    def _prefill(self, sequence: Sequence, events: Events) -> int:
        """Compute a chunk of a prompt; with the last one, choose the first id. How many positions that were."""
        cache, row = self._slots.cache, len(self._slots.decoding)
        count = PREFILL_CHUNK - int(cache.lengths[row]) % PREFILL_CHUNK
        chunk, rest = cut(sequence.segments, count)
        with sequence.timings.measure("prefill"):
            try:
                logits = feed(self._slots.thinker, cache, row, chunk)
            except MuomniError as error:
                self._slots.leave(sequence)
                self._fail(sequence, error, events)
                return count
        sequence.segments = rest
        if rest:
            return count
        self._slots.begin_decoding()
        if sequence.speech is not None:
            self._speaks(sequence)
        self._take(sequence, logits, events)
        return sum(map(len, chunk))

    def _decode(self, events: Events) -> None:
        """One id for every row."""
        thinker, cache, rows = self._slots.thinker, self._slots.cache, self._slots.decoding
        start = time.perf_counter()
        ids = [sequence.next_id for sequence in rows]
        # Where nobody needs more, the likeliest ids are found for all rows together; on a device, logits stay there.
        likeliest = not any(sequence.needs_logits for sequence in rows)
        chosen: Iterable[Any]
        try:
            chosen = thinker.step_to_likeliest(cache, ids) if likeliest else thinker.step(cache, ids)
        except MuomniError as error:
            failed = tuple(rows)
            if isinstance(error, OutOfMemoryError):
                # The slots must grow for the longest of them alone; the others go on with the next step.
                failed = (rows[int(cache.lengths[: len(rows)].argmax())],)
            for sequence in failed:
                self._slots.leave(sequence)
                self._fail(sequence, error, events)
            return
        for sequence, choice in zip(tuple(rows), chosen, strict=True):
            if likeliest:
                self._taken(sequence, sequence.take_id(choice), events)
            else:
                self._take(sequence, choice, events)
            sequence.timings.add("decode", time.perf_counter() - start)

    def _take(self, sequence: Sequence, logits: NDArray[np.float32], events: Events) -> None:
        try:
            delta = sequence.take(logits)
        except MuomniError as error:  # of its grammar
            self._slots.leave(sequence)
            self._fail(sequence, error, events)
        else:
            self._taken(sequence, delta, events)

    def _taken(self, sequence: Sequence, delta: TextDelta | None, events: Events) -> None:
        if sequence.text_over:
            self._text_ends(sequence, delta, events)
        elif delta is not None:
            events.append((sequence, delta))

    def _text_ends(self, sequence: Sequence, delta: TextDelta | None, events: Events) -> None:
        """Give the row back, and the reply where nothing is spoken."""
        if delta is not None:
            events.append((sequence, delta))
        if sequence in self._slots.decoding:
            self._slots.keep(sequence)
            self._slots.leave(sequence)
        if sequence.speech is not None and not sequence.cancelled:
            sequence.speech.finish()
        elif sequence.speech is None and not sequence.cancelled:
            self._finish(sequence, None, events)

    def _speaks(self, sequence: Sequence) -> None:
        """A sequence has speech to give from now on."""
        if self._speakers is None:
            from .speakers import Speakers  # a text chat needs none of it

            self._speakers = Speakers(self.models, self.real_time)
        self._speakers.add(sequence)

    def _speak(self, speakers: Speakers, events: Events) -> None:
        """A little more speech, of those whose text is far enough and who have somebody that takes it."""
        slots = self._slots
        texts = slots.decoding if slots.prefilling is None else [*slots.decoding, slots.prefilling]
        hold = self.real_time and any(s.speech is not None and not s.speech.started for s in texts)
        for sequence, made in speakers.step(hold):
            speech = sequence.speech
            assert speech is not None
            if isinstance(made, MuomniError):
                # The text has been read by now: it stays, and the reply says what became of the speech.
                logs.warning("speech failed: %s", made)
                speech.over = sequence.speech_failed = True
                speech.notes.append(f"the speech failed: {made}")
            elif len(made):
                events.append((sequence, SpeechDelta(made, speech.sample_rate)))
            if speech.over and sequence.text_over:
                self._finish(sequence, None if sequence.speech_failed else speech.result(), events)

    def _finish(self, sequence: Sequence, spoken: Speech | None, events: Events) -> None:
        self._end(sequence)
        events.append((sequence, Finished(sequence.reply(spoken))))

    def _fail(self, sequence: Sequence, error: MuomniError, events: Events) -> None:
        self._end(sequence)
        events.append((sequence, Failed(error)))

    def _end(self, sequence: Sequence) -> None:
        sequence.done = True
        self._live.remove(sequence)
        if self._speakers is not None:
            self._speakers.remove(sequence)
        if sequence in self._waiting:
            self._waiting.remove(sequence)
