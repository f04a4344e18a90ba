"""``/v1/audio/speech``: a text, spoken as it is."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, closing
from typing import Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import Response, StreamingResponse
from pydantic import Field

from muomni.errors import InputError
from muomni.events import Event, Failed, Finished, SpeechDelta
from muomni.requests import SpeechOptions
from muomni.serve.errors import ApiError
from muomni.serve.health import state_of
from muomni.serve.state import Answer
from muomni.serve.waiting import unless_gone

from . import sse
from .sound_files import MEDIA_TYPES, Encoder, encoder
from .types import Body

router = APIRouter(prefix="/v1/audio", tags=["audio"])


class SpeechRequest(Body):
    """There is one voice, and every name means it. ``instructions`` are ignored."""

    input: str = Field(min_length=1)
    model: str | None = None
    voice: str | dict[str, Any] | None = None
    response_format: Literal["mp3", "opus", "aac", "flac", "wav", "pcm"] | None = None
    stream_format: Literal["audio", "sse"] | None = None
    speed: float | None = None
    seed: int | None = Field(None, ge=0, lt=2**63)


@router.post(
    "/speech",
    response_class=Response,
    responses={200: {"content": {kind: {} for kind in (*MEDIA_TYPES.values(), "text/event-stream")}}},
)
async def create_speech(body: SpeechRequest, request: Request) -> Response:
    """Speak a text. The sound is sent while it is made."""
    state = state_of(request)
    state.check_model(body.model)
    most = state.settings.limits.speech_characters
    if len(body.input) > most:
        raise ApiError(
            f"input: at most {most} characters are spoken at once, got {len(body.input)}",
            param="input",
            code="string_above_max_length",
        )
    options = SpeechOptions(seed=body.seed, speed=1.0 if body.speed is None else body.speed)
    kind = body.response_format or "mp3"
    async with AsyncExitStack() as open_answer:
        answer = await open_answer.enter_async_context(state.answer(state.said_turn(body.input, options)))
        first = await unless_gone(request, _first(answer))
        making = open_answer.enter_context(closing(encoder(kind, first.sample_rate)))
        kept = open_answer.pop_all()
    if body.stream_format == "sse":
        return sse.stream(_lines(first, answer, making, kept), state.bundle_folder)
    return StreamingResponse(_pieces(first, answer, making, kept), media_type=MEDIA_TYPES[kind])


async def _first(answer: Answer) -> SpeechDelta:
    """The first sound; until it comes, an error still has a status of its own."""
    async for event in answer:
        if isinstance(event, SpeechDelta):
            return event
        _check(event)
    raise InputError("there is nothing in the text that can be spoken; give words or numbers")


def _check(event: Event) -> None:
    if isinstance(event, Failed):
        raise event.error


async def _pieces(
    first: SpeechDelta, answer: Answer, making: Encoder, kept: AsyncExitStack
) -> AsyncIterator[bytes]:
    """The file, piece by piece; leaves ``kept`` when it ends, however it does."""
    async with kept:
        async for event in _after(first, answer):
            _check(event)
            if isinstance(event, SpeechDelta) and (
                data := await asyncio.to_thread(making.feed, event.samples)
            ):
                yield data
        yield await asyncio.to_thread(making.finish)


async def _lines(
    first: SpeechDelta, answer: Answer, making: Encoder, kept: AsyncExitStack
) -> AsyncIterator[bytes]:
    frames = 0
    async with kept:
        async for event in _after(first, answer):
            _check(event)
            if isinstance(event, SpeechDelta) and (
                data := await asyncio.to_thread(making.feed, event.samples)
            ):
                yield _delta(data)
            elif isinstance(event, Finished) and event.reply.speech is not None:
                frames = len(event.reply.speech.codes)
        if data := await asyncio.to_thread(making.finish):
            yield _delta(data)
    usage = {"input_tokens": 0, "output_tokens": frames, "total_tokens": frames}
    yield sse.line({"type": "speech.audio.done", "usage": usage})


async def _after(first: SpeechDelta, answer: Answer) -> AsyncIterator[Event]:
    yield first
    async for event in answer:
        yield event


def _delta(data: bytes) -> bytes:
    return sse.line({"type": "speech.audio.delta", "audio": base64.b64encode(data).decode()})
