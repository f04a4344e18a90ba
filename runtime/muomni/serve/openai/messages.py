"""Messages of a chat to turns of the model."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace

from starlette.requests import Request as HttpRequest

from muomni.live.turns import RATE_HZ
from muomni.media.audio import AudioSource
from muomni.requests import Request
from muomni.serve.errors import ApiError
from muomni.serve.state import ServerState
from muomni.serve.waiting import unless_gone

from .media import MediaReader
from .recording import is_for_ffmpeg
from .types import ImageUrlPart, InputVideoPart, Message, RefusalPart, TextPart, ToolCall, VideoUrlPart


@dataclass
class _Turn:
    """What is said before the model's turn, and what it replied."""

    of_user: bool
    texts: list[str] = field(default_factory=list)
    images: list[bytes] = field(default_factory=list)
    audio: list[AudioSource] = field(default_factory=list)
    videos: list[bytes] = field(default_factory=list)
    reply: str | None = None

    def request(self, video_frames: int | None) -> Request:
        for name, several in (("recording", self.audio), ("film", self.videos)):
            if len(several) > 1:
                raise ApiError(
                    f"messages: a turn takes one {name}, got {len(several)}; send one in each turn",
                    param="messages",
                    code="too_many_media",
                )
        return Request(
            "\n".join(self.texts) if self.texts else None,
            images=self.images,
            audio=self.audio[0] if self.audio else None,
            video=self.videos[0] if self.videos else None,
            video_frames=video_frames,
        )


async def asked_of(
    messages: list[Message], state: ServerState, request: HttpRequest, video_frames: int | None = None
) -> Request:
    """As :func:`request_of`; base64 and downloads are no work for the event loop."""
    if all(message.content is None or isinstance(message.content, str) for message in messages):
        return request_of(messages, state, video_frames)
    return await unless_gone(request, asyncio.to_thread(request_of, messages, state, video_frames))


def request_of(messages: list[Message], state: ServerState, video_frames: int | None = None) -> Request:
    """The last turn as a request, with those before it as its history; it reads (and fetches) media.

    The model has no role for a system message: it is a turn of its own that was not replied to.

    Raises:
        ApiError: messages in an order that makes no turns, or media that cannot be had.
    """
    limits = state.settings.limits
    if len(messages) > limits.messages:
        raise ApiError(
            f"messages: at most {limits.messages} are taken, got {len(messages)}", param="messages"
        )
    media = MediaReader(limits.media, state.settings.allow_fetch, limits.body_bytes)
    turns: list[_Turn] = []
    for number, message in enumerate(messages):
        try:
            _take(message, turns, media, state)
        except ApiError as error:
            error.param = f"messages.{number}" if error.param is None else f"messages.{number}.{error.param}"
            raise
    if not turns or not turns[-1].of_user or turns[-1].reply is not None:
        raise ApiError(
            "messages: expected the last one to be the user's", param="messages", code="invalid_value"
        )
    history = tuple((turn.request(video_frames), turn.reply or "") for turn in turns[:-1])
    return replace(turns[-1].request(video_frames), history=history)


def _take(message: Message, turns: list[_Turn], media: MediaReader, state: ServerState) -> None:
    last = turns[-1] if turns else None
    if message.role == "function":
        raise ApiError("functions are not supported; send tools", param="role", code="unsupported_value")
    if message.role == "tool" and not any(turn.reply for turn in turns):
        raise ApiError("a tool's message must follow a call", code="invalid_value")
    if message.role == "assistant":
        if last is None or not last.of_user:
            raise ApiError("an assistant's message must follow one of the user", code="invalid_value")
        said = "\n".join(filter(None, [_said(message, state), *map(_called, message.tool_calls or ())]))
        last.reply = said if last.reply is None else f"{last.reply}\n{said}"
        return
    # What a function gave is told to the model as a user's text.
    of_user = message.role in ("user", "tool")
    # What is said while the user's turn is open belongs to it, a system message as well.
    joins = last is not None and last.reply is None and (last.of_user or not of_user)
    if not joins:
        turns.append(_Turn(of_user))
    turn = turns[-1]
    if message.content is None:
        raise ApiError("expected content, got null", param="content", code="invalid_value")
    if isinstance(message.content, str):
        turn.texts.append(message.content)
        return
    for part in message.content:
        if isinstance(part, TextPart):
            turn.texts.append(part.text)
        elif isinstance(part, RefusalPart) or not of_user:
            raise ApiError(f"a part {part.type!r} in a message of the {message.role}", code="invalid_value")
        else:
            data = media.read(part)
            if isinstance(part, ImageUrlPart):
                turn.images.append(data)
            elif isinstance(part, VideoUrlPart | InputVideoPart):
                turn.videos.append(data)
            else:
                # What browsers record (WebM, MP4) the media room does not read.
                audio = state.recordings.load_now(data, RATE_HZ) if is_for_ffmpeg(data) else None
                turn.audio.append(data if audio is None else (audio, RATE_HZ))


def _called(call: ToolCall) -> str:
    """A call as the model wrote it."""
    return f'{{"name": "{call.function.name}", "arguments": {call.function.arguments}}}'


def _said(message: Message, state: ServerState) -> str:
    """The text of an assistant's message."""
    if message.audio is not None and not message.content:
        text = state.said(message.audio.id)
        if text is None:
            raise ApiError(
                "the audio of this id is not known here, or expired; send the text of the reply as content",
                param="audio.id",
                code="audio_expired",
            )
        return text
    if isinstance(message.content, list):
        texts = [p.text for p in message.content if isinstance(p, TextPart)]
        texts += [p.refusal for p in message.content if isinstance(p, RefusalPart)]
        if len(texts) != len(message.content):
            raise ApiError("an assistant's message holds text alone", param="content", code="invalid_value")
        return "\n".join(texts)
    return message.content or ""
