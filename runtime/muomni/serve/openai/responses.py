"""``/v1/responses``: text, pictures and recordings in, text out. Nothing is stored."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from muomni.events import Event, Failed, Finished, TextDelta
from muomni.models.sampling import SamplingOptions
from muomni.replies import Reply
from muomni.serve.health import state_of
from muomni.serve.state import Answer
from muomni.serve.waiting import unless_gone

from . import sse
from .formats import checked
from .messages import asked_of
from .objects import new_id
from .response_types import ResponseRequest, format_of, grammar_of, messages_of, refuse_unsupported

router = APIRouter(prefix="/v1/responses", tags=["responses"])
TOKENS_LEFT_FREE = 128
"""With truncation, what is forgotten makes room for so many ids where the request does not say how many."""


@router.post("", response_model=None, responses=sse.DOCUMENTED)
async def create_response(body: ResponseRequest, request: Request) -> Response:
    """Answer the last message of the input."""
    state = state_of(request)
    refuse_unsupported(body)
    state.check_model(body.model)
    grammar = await checked(grammar_of(body), "text.format", state)
    asked = await asked_of(messages_of(body), state, request)
    truncate = body.truncation == "auto"
    most = state.settings.limits.tokens
    question = replace(
        asked,
        max_new_tokens=min(body.max_output_tokens or (TOKENS_LEFT_FREE if truncate else most), most),
        sampling=SamplingOptions(
            temperature=body.temperature or 0.0, top_p=1.0 if body.top_p is None else body.top_p
        ),
        truncate=truncate,
        grammar=grammar,
    )
    made = ResponseObject(body, state.model_id)
    async with AsyncExitStack() as open_answer:
        answer = await open_answer.enter_async_context(state.answer(state.turn(question)))
        if body.stream:
            first = await unless_gone(request, _first(answer))
            return sse.stream(_lines(first, answer, made, open_answer.pop_all()), state.bundle_folder)
        reply = await unless_gone(request, answer.reply())
    return JSONResponse(made.object(reply))


class ResponseObject:
    """OpenAI's ``response`` and its parts."""

    def __init__(self, body: ResponseRequest, model: str) -> None:
        self._body, self._model = body, model
        self._id, self.item_id = new_id("resp_"), new_id("msg_")
        self._created = int(time.time())

    def object(self, reply: Reply | None = None) -> dict[str, Any]:
        """The response; without a reply it is in progress."""
        body = self._body
        whole = reply is not None and reply.finish_reason != "length"
        return {
            "id": self._id,
            "object": "response",
            "created_at": self._created,
            "status": "in_progress" if reply is None else "completed" if whole else "incomplete",
            "background": False,
            "error": None,
            "incomplete_details": None if reply is None or whole else {"reason": "max_output_tokens"},
            "instructions": body.instructions,
            "max_output_tokens": body.max_output_tokens,
            "metadata": body.metadata or {},
            "model": self._model,
            "output": [] if reply is None else [self.item(reply)],
            "parallel_tool_calls": False,
            "previous_response_id": None,
            "reasoning": {"effort": None, "summary": None},
            "store": False,
            "temperature": body.temperature or 0.0,
            "text": {"format": format_of(body).model_dump(by_alias=True, exclude_defaults=True)},
            "tool_choice": "none",
            "tools": [],
            "top_p": 1.0 if body.top_p is None else body.top_p,
            "truncation": body.truncation or "disabled",
            "usage": None if reply is None else _usage(reply),
            "user": None,
        }

    def item(self, reply: Reply | None = None) -> dict[str, Any]:
        """The message of the output."""
        status = "in_progress" if reply is None else "completed"
        if reply is not None and reply.finish_reason == "length":
            status = "incomplete"
        content = [] if reply is None else [self.part(reply.text)]
        return {
            "id": self.item_id,
            "type": "message",
            "status": status,
            "role": "assistant",
            "content": content,
        }

    @staticmethod
    def part(text: str) -> dict[str, Any]:
        """The one part of the message."""
        return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _usage(reply: Reply) -> dict[str, Any]:
    usage = reply.usage
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens, "cache_write_tokens": 0},
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": usage.total_tokens,
    }


async def _first(answer: Answer) -> Event | None:
    """The first event; until it comes, an error still has a status of its own."""
    event = await anext(answer, None)
    if isinstance(event, Failed):
        raise event.error
    return event


async def _lines(
    first: Event | None, answer: Answer, made: ResponseObject, kept: AsyncExitStack
) -> AsyncIterator[bytes]:
    """The events of the stream; leaves ``kept`` when it ends, however it does."""
    number = -1

    def line(kind: str, **fields: Any) -> bytes:
        nonlocal number
        number += 1
        return sse.line({"type": kind, "sequence_number": number, **fields}, kind)

    item = {"output_index": 0}
    place = {**item, "item_id": made.item_id, "content_index": 0}
    async with kept:
        yield line("response.created", response=made.object())
        yield line("response.in_progress", response=made.object())
        yield line("response.output_item.added", **item, item=made.item())
        yield line("response.content_part.added", **place, part=made.part(""))
        event = first
        while event is not None:
            if isinstance(event, Failed):
                raise event.error
            if isinstance(event, TextDelta):
                yield line("response.output_text.delta", **place, delta=event.text, logprobs=[])
            elif isinstance(event, Finished):
                reply = event.reply
                yield line("response.output_text.done", **place, text=reply.text, logprobs=[])
                yield line("response.content_part.done", **place, part=made.part(reply.text))
                yield line("response.output_item.done", **item, item=made.item(reply))
                whole = made.object(reply)
                yield line(f"response.{whole['status']}", response=whole)
            event = await anext(answer, None)
