"""``/v1/chat/completions``."""

from __future__ import annotations

import asyncio
import base64
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from muomni.models.grammar import Grammar
from muomni.models.sampling import SamplingOptions
from muomni.replies import Reply
from muomni.requests import Request as Question
from muomni.requests import SpeechOptions
from muomni.serve.errors import ApiError
from muomni.serve.health import state_of
from muomni.serve.state import Answer, ServerState
from muomni.serve.waiting import unless_gone

from . import sse
from .chat_stream import ChatStream
from .formats import Call, Calls, calls_of, checked, json_grammar
from .messages import asked_of
from .objects import logprobs_object, new_id, usage_object
from .sound_files import encoded
from .types import ChatRequest, Message

router = APIRouter(prefix="/v1/chat", tags=["chat"])


@dataclass(frozen=True)
class Head:
    """What is the same in the whole answer and in every chunk of it."""

    id: str
    created: int
    model: str

    def object(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model}


@router.post("/completions", response_model=None, responses=sse.DOCUMENTED)
async def create_chat_completion(body: ChatRequest, request: Request) -> Response:
    """Answer the last message: text, pictures, recordings and films in; text, and speech where it is asked for, out."""
    state = state_of(request)
    refuse_unsupported(body)
    if (body.n or 1) > state.settings.limits.choices:
        raise ApiError(
            f"n: at most {state.settings.limits.choices}, got {body.n}", param="n", code="invalid_value"
        )
    state.check_model(body.model)
    calls = calls_of(body)
    grammar = await grammar_of(body, calls, state)
    messages = body.messages
    if calls is not None:
        messages = [Message(role="system", content=calls.instructions), *messages]
    asked = await asked_of(messages, state, request, frames_of(body, state))
    question = replace(asked, grammar=grammar, **options_of(body, state))
    head = Head(new_id("chatcmpl-"), int(time.time()), state.model_id)
    async with AsyncExitStack() as open_answers:
        answers = [
            await open_answers.enter_async_context(state.answer(state.turn(choice)))
            for choice in choices_of(question, body.n or 1)
        ]
        if body.stream:
            stream = ChatStream(answers, head, body, state, calls)
            # With an error before the first event, the status can still say so.
            first = await unless_gone(request, stream.first())
            kept = open_answers.pop_all()
            return sse.stream(stream.lines(first, kept), state.bundle_folder)
        replies = await unless_gone(request, _all(answers))
    choices = [await choice_object(index, reply, body, state, calls) for index, reply in enumerate(replies)]
    notes = [note for reply in replies for note in reply.notes]
    whole = {**head.object("chat.completion"), "choices": choices, "usage": usage_object(replies)}
    if notes:
        whole["notes"] = list(dict.fromkeys(notes))
    return JSONResponse(whole)


async def _all(answers: list[Answer]) -> list[Reply]:
    return list(await asyncio.gather(*(answer.reply() for answer in answers)))


def refuse_unsupported(body: ChatRequest) -> None:
    """Raises ApiError for what would change the reply and is not done."""
    if body.functions:
        raise _unsupported("functions", "functions: not supported; send tools")
    if body.logit_bias:
        raise _unsupported("logit_bias", "logit_bias: not supported; leave it out")
    if body.stream and speaks(body) and body.audio is not None and body.audio.format != "pcm16":
        raise _unsupported(
            "audio.format", f"audio.format: expected 'pcm16' for a stream, got {body.audio.format!r}"
        )
    if body.top_logprobs is not None and not body.logprobs:
        raise ApiError("top_logprobs: expected logprobs to be true as well", param="top_logprobs")


async def grammar_of(body: ChatRequest, calls: Calls | None, state: ServerState) -> Grammar | None:
    """What the reply is bound to; None is nothing."""
    if calls is not None:
        return await checked(calls.grammar, "tools", state)
    wanted = body.response_format
    if wanted is None:
        return None
    grammar = json_grammar(wanted.type, wanted.json_schema, "response_format")
    return await checked(grammar, "response_format", state)


def _unsupported(param: str, message: str) -> ApiError:
    return ApiError(message, param=param, code="unsupported_parameter")


def speaks(body: ChatRequest) -> bool:
    return "audio" in (body.modalities or ())


def frames_of(body: ChatRequest, state: ServerState) -> int | None:
    """Frames of a film to look at."""
    most = state.settings.limits.video_frames
    if body.video_frames is not None and body.video_frames > most:
        raise ApiError(f"video_frames: at most {most}, got {body.video_frames}", param="video_frames")
    return body.video_frames


def options_of(body: ChatRequest, state: ServerState) -> dict[str, Any]:
    """How the reply is made: fields of :class:`muomni.Request`."""
    most = state.settings.limits.tokens
    seed = None if body.seed is None else body.seed % 2**32
    return {
        "max_new_tokens": min(body.max_completion_tokens or body.max_tokens or most, most),
        "sampling": SamplingOptions(
            temperature=body.temperature or 0.0,
            top_p=1.0 if body.top_p is None else body.top_p,
            top_k=max(0, body.top_k or 0),
            presence_penalty=body.presence_penalty or 0.0,
            frequency_penalty=body.frequency_penalty or 0.0,
            repetition_penalty=1.0 if body.repetition_penalty is None else body.repetition_penalty,
            seed=seed,
        ),
        "stop": [body.stop] if isinstance(body.stop, str) else body.stop or [],
        "speech": SpeechOptions(seed=seed) if speaks(body) else None,
        "logprobs": (body.top_logprobs or 0) if body.logprobs else None,
    }


def choices_of(question: Question, count: int) -> list[Question]:
    """The same question so many times, each with draws of its own."""
    seed = question.sampling.seed
    if count == 1 or seed is None:
        return [question] * count
    seeds = [(seed + index) % 2**32 for index in range(count)]
    return [replace(question, sampling=replace(question.sampling, seed=one)) for one in seeds]


async def choice_object(
    index: int, reply: Reply, body: ChatRequest, state: ServerState, calls: Calls | None = None
) -> dict[str, Any]:
    """One of ``choices``."""
    if calls is not None:
        return _called(index, reply, Call(calls))
    message: dict[str, Any] = {"role": "assistant", "content": reply.text, "refusal": None, "annotations": []}
    if reply.speech is not None:
        kind = "wav" if body.audio is None else body.audio.format
        data = await asyncio.to_thread(encoded, reply.speech.samples, reply.speech.sample_rate, kind)
        audio_id = new_id("audio_")
        message["content"] = None
        message["audio"] = {
            "id": audio_id,
            "data": base64.b64encode(data).decode(),
            "expires_at": state.remember_said(audio_id, reply.text),
            "transcript": reply.text,
        }
    logprobs = logprobs_object(reply.logprobs, state.omni.tokenizer) if body.logprobs else None
    return {"index": index, "message": message, "logprobs": logprobs, "finish_reason": reply.finish_reason}


def _called(index: int, reply: Reply, call: Call) -> dict[str, Any]:
    """A choice that calls a function; where it was cut, its arguments are the beginning of them."""
    whole = reply.finish_reason == "stop"
    made = call.whole(reply.text, cut=not whole)
    message: dict[str, Any] = {"role": "assistant", "content": None, "refusal": None, "annotations": []}
    if made is not None:
        message["tool_calls"] = [made]
    reason = "tool_calls" if whole else reply.finish_reason
    return {"index": index, "message": message, "logprobs": None, "finish_reason": reason}
