"""Server-sent events."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

from fastapi.responses import StreamingResponse

from muomni.errors import MuomniError
from muomni.serve.errors import api_error

DOCUMENTED: dict[int | str, dict[str, Any]] = {200: {"content": {"text/event-stream": {}}}}
"""What the OpenAPI document says of a handler that can stream."""
DONE = b"data: [DONE]\n\n"


def line(value: Mapping[str, Any], event: str | None = None) -> bytes:
    """One event; JSON has no line breaks of its own."""
    data = f"data: {json.dumps(value, separators=(',', ':'))}\n\n"
    return (data if event is None else f"event: {event}\n{data}").encode()


def stream(lines: AsyncIterator[bytes], hidden: str) -> StreamingResponse:
    """A response of events. An error ends it with a line ``data: {"error": …}``.

    Args:
        hidden: see :func:`muomni.serve.errors.api_error`.
    """

    async def guarded() -> AsyncIterator[bytes]:
        try:
            async for one in lines:
                yield one
        except MuomniError as error:
            yield line(api_error(error, hidden).body)

    headers = {"cache-control": "no-cache", "x-accel-buffering": "no"}  # the last one is for nginx
    return StreamingResponse(guarded(), media_type="text/event-stream", headers=headers)
