"""``/v1/audio/transcriptions``: what is said in a recording."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, File, Form, Request, UploadFile
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from numpy.typing import NDArray

from muomni.live.turns import RATE_HZ
from muomni.models.sampling import SamplingOptions
from muomni.serve.errors import ApiError
from muomni.serve.health import state_of
from muomni.serve.waiting import unless_gone

from . import sse
from .transcribing import Segment, transcribe

router = APIRouter(prefix="/v1/audio", tags=["audio"])
MEDIA_TYPES = ("text/event-stream", "text/plain", "text/vtt", "application/x-subrip")
Format = Literal["json", "text", "srt", "verbose_json", "vtt"]


@router.post(
    "/transcriptions", response_model=None, responses={200: {"content": {kind: {} for kind in MEDIA_TYPES}}}
)
async def create_transcription(
    request: Request,
    file: Annotated[UploadFile, File(description="The recording.")],
    model: Annotated[str | None, Form()] = None,
    language: Annotated[
        str | None, Form(max_length=40, description="Echoed; the model decides itself.")
    ] = None,
    response_format: Annotated[Format, Form()] = "json",
    temperature: Annotated[float, Form(ge=0, le=1)] = 0.0,
    stream: Annotated[bool, Form()] = False,
    timestamp_granularities: Annotated[
        list[Literal["segment", "word"]], Form(alias="timestamp_granularities[]")
    ] = [],  # noqa: B006 FastAPI copies it
) -> Response:
    """Write down what is said. A long recording is cut at its pauses. ``prompt`` is ignored."""
    state = state_of(request)
    state.check_model(model)
    if "word" in timestamp_granularities:
        raise ApiError(
            "timestamp_granularities: times of words are not supported; ask for 'segment'",
            param="timestamp_granularities",
            code="unsupported_parameter",
        )
    if not np.isfinite(temperature):
        raise ApiError("temperature: expected 0 to 1", param="temperature", code="invalid_value")
    data = await file.read()
    if not data:
        raise ApiError("file: expected a recording, got an empty file", param="file", code="invalid_value")
    state.omni.audio_encoder  # noqa: B018 refuses a bundle without one
    samples = await unless_gone(request, state.recordings.load(data, RATE_HZ))
    del data
    said = transcribe(samples, state, SamplingOptions(temperature=temperature))
    if stream:
        if response_format not in ("json", "text"):
            raise ApiError(
                f"response_format: expected 'json' or 'text' for a stream, got {response_format!r}",
                param="response_format",
                code="unsupported_parameter",
            )
        first = await unless_gone(request, _next(said))
        return sse.stream(_lines(first, said), state.bundle_folder)
    segments = await unless_gone(request, _all(said))
    return _response(segments, samples, response_format, language, temperature)


async def _next(said: AsyncIterator[str | Segment]) -> str | Segment | None:
    return await anext(said, None)


async def _all(said: AsyncIterator[str | Segment]) -> list[Segment]:
    return [one async for one in said if isinstance(one, Segment)]


def joined(segments: Sequence[Segment]) -> str:
    return " ".join(segment.text for segment in segments if segment.text)


async def _lines(first: str | Segment | None, said: AsyncIterator[str | Segment]) -> AsyncIterator[bytes]:
    """``transcript.text.delta`` and ``transcript.text.done``; the deltas join to the text."""
    segments: list[Segment] = []
    begun = False  # this piece
    one = first
    while one is not None:
        if isinstance(one, Segment):
            segments.append(one)
            begun = False
        elif delta := (one if begun else one.lstrip()):
            gap = " " if not begun and joined(segments) else ""
            begun = True
            yield sse.line({"type": "transcript.text.delta", "delta": gap + delta})
        one = await anext(said, None)
    yield sse.line({"type": "transcript.text.done", "text": joined(segments), "usage": _usage(segments)})


def _response(
    segments: list[Segment],
    samples: NDArray[np.float32],
    kind: Format,
    language: str | None,
    temperature: float,
) -> Response:
    text = joined(segments)
    if kind == "text":
        return PlainTextResponse(text + "\n")
    if kind == "srt":
        lines = [
            f"{number}\n{_time(s.start, ',')} --> {_time(s.end, ',')}\n{s.text}\n"
            for number, s in enumerate(segments, 1)
        ]
        return PlainTextResponse("\n".join(lines), media_type="application/x-subrip")
    if kind == "vtt":
        lines = [f"{_time(s.start, '.')} --> {_time(s.end, '.')}\n{s.text}\n" for s in segments]
        return PlainTextResponse("\n".join(["WEBVTT\n", *lines]), media_type="text/vtt")
    if kind == "json":
        return JSONResponse({"text": text, "usage": _usage(segments)})
    duration = len(samples) / RATE_HZ
    return JSONResponse(
        {
            "task": "transcribe",
            "language": language or "unknown",
            "duration": round(duration, 3),
            "text": text,
            "segments": [_segment(number, segment, temperature) for number, segment in enumerate(segments)],
            "usage": {"type": "duration", "seconds": int(np.ceil(duration))},
        }
    )


def _segment(number: int, segment: Segment, temperature: float) -> dict[str, Any]:
    reply = segment.reply
    logprobs = [one.logprob for one in reply.logprobs] or [0.0]
    data = segment.text.encode()
    return {
        "id": number,
        "seek": int(segment.start * 100),
        "start": round(segment.start, 3),
        "end": round(segment.end, 3),
        "text": segment.text,
        "tokens": list(reply.token_ids),
        "temperature": temperature,
        "avg_logprob": max(-9999.0, float(np.mean(logprobs))),
        "compression_ratio": len(data) / len(zlib.compress(data)),
        "no_speech_prob": round(1 - segment.speech, 4),
    }


def _usage(segments: Sequence[Segment]) -> dict[str, Any]:
    text = sum(segment.reply.usage.text_tokens for segment in segments)
    audio = sum(segment.reply.usage.audio_tokens for segment in segments)
    out = sum(segment.reply.usage.completion_tokens for segment in segments)
    return {
        "type": "tokens",
        "input_tokens": text + audio,
        "input_token_details": {"text_tokens": text, "audio_tokens": audio},
        "output_tokens": out,
        "total_tokens": text + audio + out,
    }


def _time(seconds: float, point: str) -> str:
    """``01:02:03,456``."""
    whole = round(seconds * 1000)
    return (
        f"{whole // 3_600_000:02}:{whole // 60_000 % 60:02}:{whole // 1000 % 60:02}{point}{whole % 1000:03}"
    )
