"""From a request to the positions of a prompt: media embeddings first, then bos and the text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from muomni.errors import ContextError, InputError, StageError
from muomni.models.registry import Models

from .timings import Stopwatch

if TYPE_CHECKING:
    from muomni.media.audio import AudioSource
    from muomni.media.image import ImageSource
    from muomni.media.video import VideoSource


@dataclass(frozen=True)
class Request:
    """What is asked: text, media, and the question to use when media come without text."""

    text: str | None = None
    images: Sequence[ImageSource] = ()
    audio: AudioSource | None = None
    video: VideoSource | None = None
    prompt: str | None = None
    video_frames: int | None = None


@dataclass
class Prompt:
    """Positions of one turn: ``media`` (M, D) or None, then ``ids`` (bos first)."""

    media: NDArray[np.float32] | None
    ids: list[int]
    notes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.ids) + (0 if self.media is None else len(self.media))


def question(request: Request, stages: Models) -> str:
    """The text of the turn: what was asked, or the default for the media given.

    Raises:
        InputError: no text and no media, or empty text.
    """
    media_given = bool(request.images) or request.audio is not None or request.video is not None
    if request.text is not None:
        if not request.text.strip() and not media_given:
            raise InputError("the text is empty; give a question, or an image, audio or video")
        return request.text
    if not media_given:
        raise InputError("nothing to answer: expected text, an image, audio or video")
    if request.prompt is not None:
        return request.prompt
    defaults = stages.bundle.manifest.prompt
    if not request.images and request.video is None:
        return defaults.default_audio_question
    return defaults.default_picture_question if request.audio is None else defaults.default_spoken_question


def encode(request: Request, stages: Models, watch: Stopwatch, truncate: bool) -> Prompt:
    """Encode a request's media and text into the positions of a prompt.

    Raises:
        ContextError: the audio takes more than its quarter of the context and ``truncate`` is off.
        InputError, MediaError, StageError: unusable input, or a stage the bundle lacks.
    """
    notes: list[str] = []
    text = question(request, stages)
    parts: list[NDArray[np.float32]] = []
    # The order is the reference's: image, video, audio.
    if request.images:
        with watch.stage("vision"):
            parts.append(stages.vision().embed(request.images))
    if request.video is not None:
        from muomni.media.video import load_frames  # a text chat needs none of it

        with watch.stage("video"):
            wanted = request.video_frames
            default = stages.bundle.manifest.prompt.video_frames
            frames = load_frames(request.video, default if wanted is None else wanted)
        with watch.stage("vision"):
            parts.append(stages.vision().embed(frames))
    if request.audio is not None:
        with watch.stage("audio"):
            parts.append(_listen(request.audio, stages, truncate, notes))
    with watch.stage("tokenizer"):
        tokenizer = stages.tokenizer()
        ids = [tokenizer.bos_id, *tokenizer.encode(text)]
    return Prompt(np.concatenate(parts) if parts else None, ids, notes)


def fit(prompt: Prompt, free: int, max_new_tokens: int, truncate: bool) -> Prompt:
    """The prompt, if it leaves one of ``free`` positions for the reply.

    With ``truncate`` a longer one is shortened, to leave ``max_new_tokens`` of them (at most half) for the reply.

    Raises:
        ContextError: it does not fit; with numbers.
    """
    room = max(free - 1, 0)
    if len(prompt) <= room:
        return prompt
    reserve = min(max_new_tokens, room // 2)
    media = 0 if prompt.media is None else len(prompt.media)
    text = len(prompt.ids) - 1
    kept = room - reserve - media - 1
    if not truncate or kept < 1:
        raise ContextError(
            f"the prompt takes {len(prompt)} positions ({media} of media, 1 bos, {text} of text) and {room} "
            "are free in the context; shorten it, or allow it with --truncate (truncate=True), which keeps the end "
            "of the text"
        )
    note = f"the text was shortened to its last {kept} of {text} tokens to fit the context"
    return Prompt(prompt.media, [prompt.ids[0], *prompt.ids[-kept:]], [*prompt.notes, note])


def context_is_full(tokens: int) -> str:
    """The note of a reply that the context ended."""
    return f"the reply ended after {tokens} tokens because the context is full"


def _listen(audio: AudioSource, stages: Models, truncate: bool, notes: list[str]) -> NDArray[np.float32]:
    encoder = stages.audio_encoder()
    embeds = encoder.encode(audio).embeds
    if embeds is None:
        raise StageError("this bundle's audio stage has no projector, so audio cannot enter a prompt")
    limit = encoder.stage.max_embeddings
    if len(embeds) > limit:
        took, fits = encoder.seconds(len(embeds)), encoder.seconds(limit)
        if not truncate:
            raise ContextError(
                f"the audio lasts {took:.1f} s ({len(embeds)} embeddings); a prompt holds {fits:.1f} s ({limit}, "
                "a quarter of the context); cut it, or allow it with --truncate (truncate=True), which keeps the start"
            )
        notes.append(f"the audio was shortened to its first {fits:.1f} of {took:.1f} s")
        embeds = embeds[:limit]
    return embeds
