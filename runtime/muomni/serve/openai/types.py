"""Bodies of requests to ``/v1/chat/completions``. Parameters that are not named here are ignored, as OpenAI does."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

MOST_STOPS = 64
"""Each is looked for after each token, while others wait for theirs."""


class Body(BaseModel):
    """Values must have their types: ``"5"`` is no number. NaN and infinities are refused."""

    model_config = ConfigDict(extra="ignore", strict=True, allow_inf_nan=False)


class TextPart(Body):
    type: Literal["text"]
    text: str


class RefusalPart(Body):
    type: Literal["refusal"]
    refusal: str


class Url(Body):
    """``data:…;base64,…``; http and https where the server was started with ``--allow-fetch``."""

    url: str


class Encoded(Body):
    """A file in base64."""

    data: str
    format: str | None = None


class ImageUrlPart(Body):
    type: Literal["image_url"]
    image_url: Url


class InputAudioPart(Body):
    type: Literal["input_audio"]
    input_audio: Encoded


class AudioUrlPart(Body):
    type: Literal["audio_url"]
    audio_url: Url


class VideoUrlPart(Body):
    type: Literal["video_url"]
    video_url: Url


class InputVideoPart(Body):
    type: Literal["input_video"]
    input_video: Encoded


Part = Annotated[
    TextPart | RefusalPart | ImageUrlPart | InputAudioPart | AudioUrlPart | VideoUrlPart | InputVideoPart,
    Field(discriminator="type"),
]


Parts = Annotated[list[Part], Field(fail_fast=True)]
"""The first error is told, and the others are not looked for."""


class AudioId(Body):
    """A spoken reply of before, by its id."""

    id: str


class CalledFunction(Body):
    name: str
    arguments: str


class ToolCall(Body):
    """A call that was made before."""

    id: str
    type: Literal["function"] = "function"
    function: CalledFunction


class Message(Body):
    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | Parts | None = None
    audio: AudioId | None = None
    tool_calls: Annotated[list[ToolCall], Field(fail_fast=True)] | None = None
    tool_call_id: str | None = None


class AudioParameters(Body):
    """How a reply is spoken. There is one voice, and every name means it."""

    voice: str | dict[str, Any] | None = None
    format: Literal["wav", "aac", "mp3", "flac", "opus", "pcm16"] = "wav"


class StreamOptions(Body):
    include_usage: bool | None = None


NAME = r"^[a-zA-Z0-9_-]{1,64}$"


class JsonSchema(Body):
    """A schema; it is enforced whether or not it is called strict."""

    name: str = Field(pattern=NAME)
    schema_: dict[str, Any] | None = Field(None, alias="schema")
    strict: bool | None = None
    description: str | None = None


class ResponseFormat(Body):
    type: str
    json_schema: JsonSchema | None = None


class Function(Body):
    name: str = Field(pattern=NAME)
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Tool(Body):
    type: Literal["function"]
    function: Function


class FunctionName(Body):
    name: str


class FunctionChoice(Body):
    type: Literal["function"]
    function: FunctionName


class ChatRequest(Body):
    messages: Annotated[list[Message], Field(min_length=1, fail_fast=True)]
    model: str | None = None
    modalities: Annotated[list[Literal["text", "audio"]], Field(fail_fast=True)] | None = None
    audio: AudioParameters | None = None
    n: int | None = Field(None, ge=1, le=128)
    seed: int | None = Field(None, ge=-(2**63), lt=2**63)
    stop: str | Annotated[list[str], Field(max_length=MOST_STOPS, fail_fast=True)] | None = None
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    top_k: int | None = Field(None, ge=-1, lt=2**31)
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    repetition_penalty: float | None = Field(None, gt=0, le=2)
    logprobs: bool | None = None
    top_logprobs: int | None = Field(None, ge=0, le=20)
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    video_frames: int | None = Field(None, ge=1)
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    tools: Annotated[list[Tool], Field(max_length=128, fail_fast=True)] | None = None
    functions: list[Any] | None = None
    tool_choice: Literal["none", "auto", "required"] | FunctionChoice | None = None
    logit_bias: dict[str, Any] | None = None
    response_format: ResponseFormat | None = None
