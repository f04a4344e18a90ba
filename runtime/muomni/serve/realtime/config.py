"""What a session is told about itself: the part of OpenAI's ``session`` object that means something here.

``session.updated`` shows what is really in force, so that a client sees what became of its wishes.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from muomni.errors import InputError
from muomni.requests import FASTEST, SLOWEST

from .audio import PCM_RATE_HZ, AudioFormat

PATIENCE_MS = {"low": 1000, "medium": 600, "auto": 600, "high": 300}
"""Silence that ends a turn, for clients that ask for semantic detection, which is not here."""


class _Part(BaseModel):
    """Unknown fields are ignored, as OpenAI's server does."""

    model_config = ConfigDict(extra="ignore")


class FormatConfig(_Part):
    """``{"type": "audio/pcm", "rate": 24000}``, or G.711."""

    type: Literal["audio/pcm", "audio/pcmu", "audio/pcma"] = "audio/pcm"
    rate: Literal[16000, 24000] | None = None  # 16 kHz: not OpenAI's Realtime API, but its Live API

    @classmethod
    def of(cls, audio_format: AudioFormat) -> FormatConfig:
        """The same, as a client would write it."""
        rate = audio_format.rate_hz if audio_format.name == "audio/pcm" else None
        return cls.model_validate({"type": audio_format.name, "rate": rate})

    @property
    def format(self) -> AudioFormat:
        return AudioFormat(self.type, self.rate or PCM_RATE_HZ)

    def shown(self) -> dict[str, Any]:
        """As the session shows it."""
        return {"type": self.type} | ({"rate": self.rate or PCM_RATE_HZ} if self.type == "audio/pcm" else {})


class TurnDetection(_Part):
    """``server_vad``; ``semantic_vad`` becomes it, with a patience by its eagerness."""

    type: Literal["server_vad", "semantic_vad"] = "server_vad"
    threshold: Annotated[float, Field(ge=0, le=1)] = 0.5
    prefix_padding_ms: Annotated[int, Field(ge=0, le=5000)] = 300
    silence_duration_ms: Annotated[int, Field(ge=32, le=10_000)] = 500
    create_response: bool = True
    interrupt_response: bool = True
    eagerness: Literal["low", "medium", "high", "auto"] | None = None
    idle_timeout_ms: None = None  # nobody is asked whether they are still there

    def in_force(self) -> TurnDetection:
        """As it really works."""
        if self.type == "server_vad":
            return self
        patience = PATIENCE_MS[self.eagerness or "auto"]
        changes = {"type": "server_vad", "silence_duration_ms": patience, "eagerness": None}
        return self.model_copy(update=changes)


class Transcription(_Part):
    """Write down what was heard, by the same model."""

    model: str | None = None
    language: str | None = None
    prompt: str | None = None


class InputConfig(_Part):
    """``session.audio.input``."""

    format: FormatConfig = FormatConfig()
    turn_detection: TurnDetection | None = TurnDetection()
    transcription: Transcription | None = None


class OutputConfig(_Part):
    """``session.audio.output``."""

    format: FormatConfig = FormatConfig()
    speed: Annotated[float, Field(ge=SLOWEST, le=FASTEST)] = 1.0
    voice: Any = None


class AudioConfig(_Part):
    """``session.audio``."""

    input: InputConfig = InputConfig()
    output: OutputConfig = OutputConfig()


Modalities = Annotated[list[Literal["text", "audio"]], Field(min_length=1, max_length=2)]
MaxOutputTokens = Annotated[int, Field(ge=1, le=4096)] | Literal["inf"]


class SessionConfig(_Part):
    """``session``."""

    type: Literal["realtime"] = "realtime"
    instructions: Annotated[str, Field(max_length=20_000)] = ""
    output_modalities: Modalities = ["audio"]
    max_output_tokens: MaxOutputTokens = "inf"
    tools: Annotated[list[Any], Field(max_length=0)] = []
    audio: AudioConfig = AudioConfig()

    def updated(self, changes: dict[str, Any]) -> SessionConfig:
        """This with the fields that are present in ``changes``; what they leave out stays.

        Raises:
            pydantic.ValidationError, InputError: a value that cannot be.
        """
        if changes.get("tools"):
            raise InputError("session.tools: this model calls no tools; leave them out")
        new = SessionConfig.model_validate(_merged(self.model_dump(), changes))
        if (wanted := new.audio.input.turn_detection) is not None:
            new.audio.input.turn_detection = wanted.in_force()
        return new

    def shown(self, session_id: str, model: str, voice: str | None) -> dict[str, Any]:
        """The whole object, as OpenAI's server shows it."""
        heard, said = self.audio.input, self.audio.output
        turns = heard.turn_detection
        return {
            "type": "realtime",
            "object": "realtime.session",
            "id": session_id,
            "model": model,
            "instructions": self.instructions,
            "output_modalities": self.output_modalities,
            "max_output_tokens": self.max_output_tokens,
            "tools": [],
            "tool_choice": "none",
            "truncation": "auto",
            "audio": {
                "input": {
                    "format": heard.format.shown(),
                    "noise_reduction": None,
                    "transcription": None if heard.transcription is None else {"model": model},
                    "turn_detection": None
                    if turns is None
                    else turns.model_dump(exclude={"eagerness", "idle_timeout_ms"}),
                },
                "output": {"format": said.format.shown(), "speed": said.speed, "voice": voice},
            },
        }


class ResponseOptions(_Part):
    """``response`` of ``response.create``: what is not given is the session's."""

    conversation: Literal["auto", "none"] = "auto"
    input: list[dict[str, Any]] | None = None
    instructions: Annotated[str, Field(max_length=20_000)] | None = None
    max_output_tokens: MaxOutputTokens | None = None
    metadata: dict[str, str] | None = None
    output_modalities: Modalities | None = None
    tools: Annotated[list[Any], Field(max_length=0)] | None = None


def _merged(old: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Objects inside objects are merged, everything else is replaced."""
    merged = dict(old)
    for key, value in changes.items():
        before = merged.get(key)
        both = isinstance(before, dict) and isinstance(value, dict)
        merged[key] = _merged(before, value) if both else value  # type: ignore[arg-type]
    return merged
