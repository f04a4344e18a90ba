"""Bodies of requests to ``/v1/responses``, and the messages that they mean."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from muomni.models.grammar import Grammar
from muomni.serve.errors import ApiError

from .formats import json_grammar
from .types import (
    NAME,
    Body,
    Encoded,
    ImageUrlPart,
    InputAudioPart,
    JsonSchema,
    Message,
    Part,
    RefusalPart,
    TextPart,
    Url,
)


class InputText(Body):
    type: Literal["input_text"]
    text: str


class OutputText(Body):
    type: Literal["output_text"]
    text: str


class InputImage(Body):
    type: Literal["input_image"]
    image_url: str | None = None
    file_id: str | None = None


class InputAudio(Body):
    type: Literal["input_audio"]
    input_audio: Encoded


Content = Annotated[
    InputText | OutputText | InputImage | InputAudio | RefusalPart, Field(discriminator="type")
]


class Item(Body):
    """A message; items of other types are refused."""

    type: str = "message"
    role: Literal["system", "developer", "user", "assistant"] | None = None
    content: str | Annotated[list[Content], Field(fail_fast=True)] | None = None


class TextFormat(Body):
    type: str
    name: str | None = Field(None, pattern=NAME)
    schema_: dict[str, Any] | None = Field(None, alias="schema")
    strict: bool | None = None
    description: str | None = None


class TextOptions(Body):
    format: TextFormat | None = None


class ResponseRequest(Body):
    input: str | Annotated[list[Item], Field(fail_fast=True)]
    model: str | None = None
    instructions: str | None = None
    max_output_tokens: int | None = Field(None, ge=1)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    stream: bool | None = None
    truncation: Literal["auto", "disabled"] | None = None
    text: TextOptions | None = None
    tools: list[Any] | None = None
    previous_response_id: str | None = None
    conversation: Any = None
    background: bool | None = None
    metadata: dict[str, str] | None = None


def refuse_unsupported(body: ResponseRequest) -> None:
    """Raises ApiError for what would change the response and is not done."""
    wanted = {
        "tools": (bool(body.tools), "the model calls none"),
        "previous_response_id": (
            body.previous_response_id is not None,
            "nothing is kept here; send the earlier messages as input",
        ),
        "conversation": (
            body.conversation is not None,
            "nothing is kept here; send the earlier messages as input",
        ),
        "background": (bool(body.background), "wait for the response, or stream it"),
    }
    for param, (asked, why) in wanted.items():
        if asked:
            raise ApiError(f"{param}: not supported: {why}", param=param, code="unsupported_parameter")


def format_of(body: ResponseRequest) -> TextFormat:
    """What the text is to be."""
    wanted = None if body.text is None else body.text.format
    return TextFormat.model_validate({"type": "text"}) if wanted is None else wanted


def grammar_of(body: ResponseRequest) -> Grammar | None:
    """What the text is bound to."""
    wanted = format_of(body)
    if wanted.type == "json_schema" and wanted.name is None:
        raise ApiError(
            "text.format: expected a name", param="text.format.name", code="missing_required_parameter"
        )
    schema = None if wanted.name is None else JsonSchema(name=wanted.name, schema=wanted.schema_)
    return json_grammar(wanted.type, schema, "text.format")


def messages_of(body: ResponseRequest) -> list[Message]:
    """The input as messages of a chat, the instructions first."""
    items = [Item(role="user", content=body.input)] if isinstance(body.input, str) else body.input
    messages = [] if not body.instructions else [Message(role="system", content=body.instructions)]
    for number, item in enumerate(items):
        if item.type != "message" or item.role is None:
            raise ApiError(
                f"input: expected messages with a role, got an item {item.type[:40]!r}",
                param=f"input.{number}",
                code="unsupported_value",
            )
        param = f"input.{number}.content"
        content: str | list[Part] | None
        content = (
            [_part(one, param) for one in item.content] if isinstance(item.content, list) else item.content
        )
        messages.append(Message(role=item.role, content=content))
    return messages


def _part(content: Content, param: str) -> Part:
    if isinstance(content, InputText | OutputText):
        return TextPart(type="text", text=content.text)
    if isinstance(content, InputAudio):
        return InputAudioPart(type="input_audio", input_audio=content.input_audio)
    if isinstance(content, RefusalPart):
        return content
    if content.image_url is None:
        raise ApiError(
            "input_image: no files are kept here; send the picture as image_url (data:image/png;base64,…)",
            param=param,
            code="unsupported_value",
        )
    return ImageUrlPart(type="image_url", image_url=Url(url=content.image_url))
