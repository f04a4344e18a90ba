"""A conversation: turns in one context, each appended to the key/value cache of those before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from muomni.errors import ContextError, InputError
from muomni.models.registry import Models
from muomni.models.sampling import SamplingOptions
from muomni.ort.decoder import DecoderState
from muomni.replies import Reply

from .generation import Generation, OnText, PieceTap, finish, steps
from .prompt import Prompt, Request, context_is_full, encode, fit
from .timings import Stopwatch

if TYPE_CHECKING:
    from muomni.media.audio import AudioSource
    from muomni.media.image import ImageSource
    from muomni.media.video import VideoSource

    from .speaking import OnAudio, Speaker, SpeechOptions


@dataclass(frozen=True)
class _Turn:
    media: NDArray[np.float32] | None
    ids: list[int]
    reply_ids: list[int]


class Conversation:
    """Turns that remember each other. Make one with :meth:`muomni.Omni.chat`; not shareable between threads.

    Every turn is laid out as ``[media] [bos] [text]`` and followed by the reply's ids, eos included. A turn
    that fails or is interrupted leaves the conversation as it was before it.
    """

    def __init__(self, stages: Models) -> None:
        self._stages = stages
        self._state: DecoderState | None = None
        self._pending: list[int] = []  # the last id of the last reply: generated, not yet fed
        self._turns: list[_Turn] = []

    @property
    def positions(self) -> int:
        """Positions of the context in use."""
        return (self._state.length if self._state else 0) + len(self._pending)

    def reset(self) -> None:
        """Forget all turns."""
        if self._state is not None:
            self._state.rewind(0)
        self._pending, self._turns = [], []

    def say(
        self,
        text: str | None = None,
        *,
        images: Sequence[ImageSource] = (),
        audio: AudioSource | None = None,
        video: VideoSource | None = None,
        prompt: str | None = None,
        video_frames: int | None = None,
        max_new_tokens: int = 64,
        sampling: SamplingOptions | None = None,
        stop: Sequence[str] = (),
        truncate: bool = False,
        speech: SpeechOptions | None = None,
        on_text: OnText | None = None,
        on_audio: OnAudio | None = None,
    ) -> Reply:
        """Take one turn. See :meth:`muomni.Omni.generate` for the arguments and errors.

        With ``truncate``, the oldest turns are forgotten first when the context is full.
        """
        if max_new_tokens < 1:
            raise InputError(f"max_new_tokens: expected at least 1, got {max_new_tokens}")
        stages = self._stages
        stages.preload(
            vision=bool(images) or video is not None, audio=audio is not None, speech=speech is not None
        )
        load = stages.take_load_seconds()
        watch = Stopwatch()
        request = Request(text, images, audio, video, prompt, video_frames)
        turn = encode(request, stages, watch, truncate)

        context = stages.thinker().stage.context_length
        if self._state is None:
            self._state = stages.thinker().start(min(len(turn) + max_new_tokens, context))
        while truncate and self._turns and len(turn) + max_new_tokens > context - self.positions:
            self._forget_oldest()
            turn.notes.append("the oldest turn was forgotten to make room in the context")
        try:
            turn = fit(turn, context - self.positions, max_new_tokens, truncate)
        except ContextError as error:
            if not self._turns:
                raise
            raise ContextError(
                f"the conversation fills {self.positions} of {context} positions of the context: {error}; "
                "or start anew with reset"
            ) from None
        return self._answer(
            turn, max_new_tokens, sampling or SamplingOptions(), stop, speech, on_text, on_audio, watch, load
        )

    def _answer(
        self,
        turn: Prompt,
        max_new_tokens: int,
        sampling: SamplingOptions,
        stop: Sequence[str],
        speech: SpeechOptions | None,
        on_text: OnText | None,
        on_audio: OnAudio | None,
        watch: Stopwatch,
        load: float,
    ) -> Reply:
        stages, state = self._stages, self._state
        assert state is not None
        thinker = stages.thinker()
        before, pending = state.length, self._pending
        allowed = min(max_new_tokens, thinker.stage.context_length - self.positions - len(turn))
        try:
            with watch.stage("prefill"):
                logits = self._feed(turn.media, turn.ids)
            speaker = _speaker(stages, speech, watch) if speech is not None else None
            pieces = PieceTap(on_text) if speaker is not None and on_audio and speaker.reads_text else None
            generation = Generation(stages.tokenizer(), turn.ids, allowed, sampling, stop, pieces or on_text)
            going_on = steps(generation, thinker, state, logits)
            spoken = None
            if speaker is not None and pieces is not None:
                spoken = speaker.speak(pieces.follow(generation, going_on, watch), on_audio)
                made = finish(generation, going_on)
            else:
                made = finish(generation, going_on)
                watch.add("decode", watch.now() - made.first_token_time)
                if speaker is not None:
                    spoken = speaker.speak([made.text], on_audio)
            watch.add("first_token", made.first_token_time - watch.started)
            if speaker is not None:
                turn.notes.extend(speaker.notes)
        except BaseException:  # KeyboardInterrupt too: an interrupted turn must not stay half in the cache
            state.rewind(before)
            self._pending = pending
            raise
        self._turns.append(_Turn(turn.media, turn.ids, made.ids))
        self._pending = made.ids[-1:]
        if made.finish_reason == "length" and allowed < max_new_tokens:
            turn.notes.append(context_is_full(allowed))
        timings = {"load": load, **watch.seconds, "total": load + watch.total()}
        return Reply(
            text=made.text,
            token_ids=tuple(made.ids),
            prompt_tokens=len(turn),
            finish_reason=made.finish_reason,
            speech=spoken,
            timings=timings,
            providers=stages.providers(),
            notes=tuple(dict.fromkeys(turn.notes)),
        )

    def _feed(self, media: NDArray[np.float32] | None, ids: Sequence[int]) -> NDArray[np.float32]:
        assert self._state is not None
        thinker = self._stages.thinker()
        if self._pending and media is not None:  # in a step, media come before ids
            thinker.feed(self._state, self._pending)
            self._pending = []
        ids, self._pending = [*self._pending, *ids], []
        return thinker.feed(self._state, ids, media)

    def _forget_oldest(self) -> None:
        turns = self._turns[1:]
        self.reset()
        for turn in turns:
            self._feed(turn.media, turn.ids)
            if turn.reply_ids[:-1]:
                self._feed(None, turn.reply_ids[:-1])
            self._pending = turn.reply_ids[-1:]
        self._turns = turns


def _speaker(stages: Models, options: SpeechOptions, watch: Stopwatch) -> Speaker:
    from .speaking import Speaker  # a text chat needs none of it

    return Speaker(stages, options, watch)
