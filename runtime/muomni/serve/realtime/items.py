"""Items of a conversation: what was said by whom, as OpenAI's Realtime API keeps it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from muomni.errors import InputError
from muomni.live.rate import resampled
from muomni.live.silero import Samples
from muomni.live.turns import RATE_HZ
from muomni.requests import Request

from .audio import AudioFormat, from_base64, to_base64, to_int16

PAUSE_SECONDS = 0.25
"""Between recordings that are heard as one."""
MOST_AUDIO_BYTES = 15 * 1024 * 1024
MOST_PICTURE_BYTES = 30 * 1024 * 1024

Role = Literal["user", "assistant", "system"]


@dataclass(frozen=True)
class Part:
    """A piece of an item's content.

    Attributes:
        kind: OpenAI's name of it.
        text: of a text; of audio, what it says, where that is known.
        audio: 16-bit samples (n,) at ``rate_hz``; None where there is none, or where it is no longer kept.
        picture: an encoded picture, or a film, with its media type.
    """

    kind: Literal["input_text", "input_audio", "input_image", "input_video", "output_text", "output_audio"]
    text: str | None = None
    audio: NDArray[np.int16] | None = None
    rate_hz: int = RATE_HZ
    picture: tuple[str, bytes] | None = None

    def samples(self) -> Samples:
        """Of audio, in -1…1."""
        assert self.audio is not None
        return self.audio.astype(np.float32) / np.float32(32768)

    def shown(self, audio_format: AudioFormat | None = None) -> dict[str, Any]:
        """As an event shows it; the audio itself only where a format is given."""
        part: dict[str, Any] = {"type": self.kind}
        if self.kind in ("input_audio", "output_audio"):
            part["transcript"] = self.text
            if audio_format is not None and self.audio is not None:
                samples = resampled(self.samples(), self.rate_hz, audio_format.rate_hz)
                part["audio"] = to_base64(audio_format.encode(samples))
        elif self.picture is not None:
            media_type, data = self.picture
            name = self.kind.replace("input", "").strip("_") + "_url"
            part[name] = f"data:{media_type};base64,{to_base64(data)}"
        else:
            part["text"] = self.text or ""
        return part


@dataclass
class Item:
    """One message.

    Attributes:
        revision: counts changes to what the model would read of it.
        token_ids: of a reply that the model made, as far as they stand.
        audio_ms: of a reply's speech, as it was sent.
    """

    id: str
    role: Role
    parts: list[Part] = field(default_factory=list)
    status: Literal["in_progress", "completed", "incomplete"] = "completed"
    revision: int = 0
    token_ids: tuple[int, ...] = ()
    audio_ms: float = 0.0

    @property
    def text(self) -> str:
        return "\n".join(part.text for part in self.parts if part.text)

    def shown(self, audio_format: AudioFormat | None = None) -> dict[str, Any]:
        """As an event shows it."""
        content = [part.shown(audio_format) for part in self.parts]
        return {
            "id": self.id,
            "object": "realtime.item",
            "type": "message",
            "role": self.role,
            "status": self.status,
            "content": content,
        }

    def without_audio(self) -> None:
        """Let go of the sound, where its words are known or it is a reply."""
        self.parts = [replace(part, audio=None) for part in self.parts]

    @property
    def given_bytes(self) -> int:
        """Of its texts and pictures."""
        pictures = sum(len(part.picture[1]) for part in self.parts if part.picture is not None)
        return pictures + sum(
            len(part.text.encode("utf-8", "surrogatepass")) for part in self.parts if part.text
        )

    @property
    def audio_bytes(self) -> int:
        return sum(part.audio.nbytes for part in self.parts if part.audio is not None)


def item_from(given: Any, item_id: str, heard: AudioFormat) -> Item:
    """An item that a client made.

    Raises:
        InputError: not a message, or with content that cannot be read.
    """
    if not isinstance(given, dict):
        raise InputError(f"item: expected an object, got {type(given).__name__}")
    if given.get("type", "message") != "message":
        raise InputError(
            f"item.type: expected 'message' (this model calls no tools), got {given.get('type')!r}"
        )
    role = given.get("role")
    if role not in ("user", "assistant", "system"):
        raise InputError(f"item.role: expected 'user', 'assistant' or 'system', got {role!r}")
    content = given.get("content")
    if not isinstance(content, list) or not content:
        raise InputError("item.content: expected a list of at least one part")
    return Item(item_id, role, [_part(part, role, at, heard) for at, part in enumerate(content)])


def _part(given: Any, role: Role, at: int, heard: AudioFormat) -> Part:
    where = f"item.content[{at}]"
    if not isinstance(given, dict):
        raise InputError(f"{where}: expected an object, got {type(given).__name__}")
    kind = given.get("type")
    allowed: dict[str, tuple[str, ...]] = {
        "user": ("input_text", "input_audio", "input_image", "input_video"),
        "assistant": ("output_text", "output_audio"),
        "system": ("input_text",),
    }
    if kind not in allowed[role]:
        raise InputError(f"{where}.type: expected {' or '.join(allowed[role])} of a {role}, got {kind!r}")
    if kind in ("input_text", "output_text"):
        return Part(kind, _text(given, "text", where))
    if kind == "output_audio":  # what was said counts, not how it sounded
        return Part("output_audio", _text(given, "transcript", where))
    if kind == "input_image":
        return Part(
            "input_image", picture=_picture(given.get("image_url"), f"{where}.image_url", ("image/",))
        )
    if kind == "input_video":  # ours: OpenAI's API takes no films
        return Part(
            "input_video",
            picture=_picture(given.get("video_url"), f"{where}.video_url", ("video/", "image/")),
        )
    data = from_base64(_text(given, "audio", where), MOST_AUDIO_BYTES)
    samples = resampled(heard.decode(data), heard.rate_hz, RATE_HZ)
    if not len(samples):
        raise InputError(f"{where}.audio: it holds no samples")
    transcript = given.get("transcript")
    return Part("input_audio", transcript if isinstance(transcript, str) else None, to_int16(samples))


def _text(given: dict[str, Any], name: str, where: str) -> str:
    text = given.get(name)
    if not isinstance(text, str) or not text:
        raise InputError(
            f"{where}.{name}: expected text, got {type(text).__name__ if text != '' else 'none'}"
        )
    return text


def _picture(url: Any, where: str, types: tuple[str, ...]) -> tuple[str, bytes]:
    head, comma, data = url.partition(",") if isinstance(url, str) else ("", "", "")
    media_type = head.removeprefix("data:").removesuffix(";base64")
    if not comma or head != f"data:{media_type};base64" or not media_type.startswith(types):
        expected = " or ".join(f"data:{name}…;base64,…" for name in types)
        raise InputError(f"{where}: expected {expected}; nothing is fetched")
    try:
        return media_type, from_base64(data, MOST_PICTURE_BYTES)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None


def question(items: Sequence[Item], instructions: str, spoken_question: str) -> Request | None:
    """What these items of a user ask, as one request; None where they hold nothing.

    Args:
        instructions: text that comes before theirs.
        spoken_question: stands for the text where there is only sound.

    Raises:
        InputError: several films.
    """
    parts = [part for item in items for part in item.parts]
    images = [part.picture[1] for part in parts if part.picture is not None and part.kind == "input_image"]
    films = [part.picture[1] for part in parts if part.picture is not None and part.kind == "input_video"]
    if len(films) > 1:
        raise InputError(f"one film can be asked about at a time, got {len(films)}")
    sounds = [part.samples() for part in parts if part.audio is not None and part.kind == "input_audio"]
    texts = [instructions] if instructions else []
    texts += [part.text for part in parts if part.text and part.kind == "input_text"]
    # A recording that is no longer kept is remembered by its words.
    texts += [p.text for p in parts if p.kind == "input_audio" and p.audio is None and p.text]
    if sounds and len(texts) == bool(instructions):
        texts.append(spoken_question)
    if not texts and not images and not films and not sounds:
        return None
    pause = np.zeros(int(PAUSE_SECONDS * RATE_HZ), np.float32)
    joined = [piece for sound in sounds for piece in (pause, sound)][1:]
    audio = (np.concatenate(joined), RATE_HZ) if joined else None
    return Request("\n".join(texts) or None, images=images, video=films[0] if films else None, audio=audio)
