"""``/v1/chat/completions`` as a stream of chunks."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

from muomni.events import Event, Failed, Finished, SpeechDelta, TextDelta
from muomni.replies import Reply
from muomni.serve.sound import PcmChunks
from muomni.serve.state import Answer, ServerState

from . import sse
from .formats import Call, Calls
from .objects import logprobs_object, new_id, usage_object
from .types import ChatRequest

if TYPE_CHECKING:
    from .chat import Head

Chosen = tuple[int, Sequence[Event]]
"""Events of one of the choices, which came together."""
A_TEXT = "\0"
"""No text has it; it stands for the text of a chunk, all else of which is the same each time."""


async def merged(answers: Sequence[Answer]) -> AsyncIterator[Chosen]:
    """The events of several answers as they come."""
    if len(answers) == 1:
        while events := await answers[0].all_that_wait():
            yield 0, events
        return
    waiting = {asyncio.ensure_future(answer.all_that_wait()): index for index, answer in enumerate(answers)}
    try:
        while waiting:
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                index, came = waiting.pop(task), task.result()
                if came:
                    yield index, came
                    waiting[asyncio.ensure_future(answers[index].all_that_wait())] = index
    finally:
        for task in waiting:
            task.cancel()


class ChatStream:
    """Events of the choices of one request -> lines of its stream."""

    def __init__(
        self,
        answers: Sequence[Answer],
        head: Head,
        body: ChatRequest,
        state: ServerState,
        calls: Calls | None = None,
    ) -> None:
        self._events = merged(answers)
        self._body, self._state = body, state
        options = body.stream_options
        self._wants_usage = options is not None and bool(options.include_usage)
        self._chunk = {**head.object("chat.completion.chunk"), "choices": []}
        if self._wants_usage:
            self._chunk["usage"] = None
        self._around_text: list[tuple[bytes, bytes] | None] = [None] * len(answers)
        self._audio_ids = [new_id("audio_") for _ in answers]
        self._named = [False] * len(answers)
        self._sound: list[PcmChunks | None] = [None] * len(answers)
        self._calls = None if calls is None else [Call(calls) for _ in answers]
        self._replies: dict[int, Reply] = {}

    async def first(self) -> Chosen | None:
        """The first events.

        Raises:
            MuomniError: the request failed before anything came.
        """
        chosen = await anext(self._events, None)
        if chosen is not None and isinstance(failed := chosen[1][0], Failed):
            raise failed.error
        return chosen

    async def lines(self, first: Chosen | None, kept: AsyncExitStack) -> AsyncIterator[bytes]:
        """The lines of the stream; those that come together in one piece, as each is written to a socket.

        Args:
            kept: is left when the stream ends, however it does.
        """
        async with kept:
            content = "" if self._calls is None else None
            roles = {"role": "assistant", "content": content, "refusal": None}
            lines = [self._line(index, roles) for index in range(len(self._named))]
            chosen = first
            while chosen is not None:
                index, events = chosen
                for event in events:
                    if isinstance(event, Failed):
                        if lines:
                            yield b"".join(lines)
                        raise event.error
                    lines += self._lines_of(index, event)
                if lines and len(self._replies) < len(self._named):  # else the end comes at once
                    yield b"".join(lines)
                    lines = []
                chosen = await anext(self._events, None)
        if self._wants_usage and self._replies:
            usage = usage_object([reply for _, reply in sorted(self._replies.items())])
            lines.append(sse.line({**self._chunk, "choices": [], "usage": usage}))
        yield b"".join([*lines, sse.DONE])

    def _lines_of(self, index: int, event: TextDelta | SpeechDelta | Finished) -> list[bytes]:
        if isinstance(event, TextDelta):
            if self._calls is not None:
                return self._call(index, self._calls[index].push(event.text))
            logprobs = None
            if event.logprobs:
                logprobs = logprobs_object(event.logprobs, self._state.omni.tokenizer)
            if self._body.modalities and "audio" in self._body.modalities:
                return [self._audio(index, {"transcript": event.text}, logprobs)]
            if logprobs is None:
                return [self._text(index, event.text)]
            return [self._line(index, {"content": event.text}, logprobs)]
        if isinstance(event, SpeechDelta):
            sound = self._sound[index]
            if sound is None:
                sound = self._sound[index] = PcmChunks(event.sample_rate)
            return self._data(index, sound.feed(event.samples))
        return self._end(index, event.reply)

    def _end(self, index: int, reply: Reply) -> list[bytes]:
        self._replies[index] = reply
        lines: list[bytes] = []
        if (sound := self._sound[index]) is not None:
            lines += self._data(index, sound.finish())
        if self._named[index]:
            expires = self._state.remember_said(self._audio_ids[index], reply.text)
            lines.append(self._audio(index, {"expires_at": expires}))
        reason: str = reply.finish_reason
        if self._calls is not None:
            if reason == "stop":
                reason = "tool_calls"
            else:
                lines += self._call(index, self._calls[index].rest())
        lines.append(self._line(index, {}, finish_reason=reason))
        return lines

    def _text(self, index: int, text: str) -> bytes:
        around = self._around_text[index]
        if around is None:
            before, after = self._line(index, {"content": A_TEXT}).split(json.dumps(A_TEXT).encode())
            around = self._around_text[index] = before, after
        return json.dumps(text).encode().join(around)

    def _call(self, index: int, delta: dict[str, object] | None) -> list[bytes]:
        return [] if delta is None else [self._line(index, {"tool_calls": [delta]})]

    def _data(self, index: int, pcm: bytes) -> list[bytes]:
        return [self._audio(index, {"data": base64.b64encode(pcm).decode()})] if pcm else []

    def _audio(self, index: int, audio: dict[str, Any], logprobs: dict[str, Any] | None = None) -> bytes:
        """A chunk of ``audio``. The official clients join strings and add numbers, so that its id comes once."""
        if not self._named[index]:
            self._named[index] = True
            audio = {"id": self._audio_ids[index], **audio}
        return self._line(index, {"audio": audio}, logprobs)

    def _line(
        self,
        index: int,
        delta: dict[str, Any],
        logprobs: dict[str, Any] | None = None,
        finish_reason: str | None = None,
    ) -> bytes:
        choice = {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish_reason}
        return sse.line({**self._chunk, "choices": [choice]})
