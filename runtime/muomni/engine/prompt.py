"""From a request to the positions of a prompt: media embeddings first, then bos and the text.

What does not fit is refused from counts, before anything is encoded.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from muomni.errors import ContextError, InputError, StageError
from muomni.models.registry import Models
from muomni.replies import Usage
from muomni.requests import Request

from .segments import Segment
from .timings import Timings


@dataclass
class Prompt:
    """Positions of one turn, and what is to be said of them.

    Attributes:
        media: embeddings (M, D) or None; images and frames come before the recording.
        ids: bos first.
        image_tokens: rows of ``media`` that are images and frames; the rest is the recording.
        graphs: that were used on the way.
    """

    media: NDArray[np.float32] | None
    ids: list[int]
    image_tokens: int = 0
    notes: list[str] = field(default_factory=list)
    graphs: set[str] = field(default_factory=set)

    def __len__(self) -> int:
        return len(self.ids) + self.media_tokens

    @property
    def media_tokens(self) -> int:
        return 0 if self.media is None else len(self.media)

    @property
    def segments(self) -> list[Segment]:
        """The positions in their order."""
        return [self.ids] if self.media is None else [self.media, self.ids]

    def usage(self, cached_tokens: int, completion_tokens: int) -> Usage:
        audio = self.media_tokens - self.image_tokens
        return Usage(len(self.ids), self.image_tokens, audio, cached_tokens, completion_tokens)


def question(request: Request, models: Models) -> str:
    """The text of the turn: what was asked, or the default for the media given.

    Raises:
        InputError: no text and no media, or empty text.
    """
    if request.text is not None:
        if not request.text.strip() and not request.has_media:
            raise InputError("the text is empty; give a question, or an image, audio or video")
        return request.text
    if not request.has_media:
        raise InputError("nothing to answer: expected text, an image, audio or video")
    if request.prompt is not None:
        return request.prompt
    defaults = models.manifest.prompt
    if not request.images and request.video is None:
        return defaults.default_audio_question
    return defaults.default_picture_question if request.audio is None else defaults.default_spoken_question


def preload(request: Request, models: Models) -> None:
    """Load what a request needs, so that loading and computing are timed apart.

    Raises:
        StageError: the bundle lacks one of them, said before any work is done.
    """
    models.tokenizer()
    models.thinker()
    if request.images or request.video is not None:
        models.vision()
    if request.audio is not None:
        models.audio_encoder()
    if request.speech is not None:
        models.preload_speech()


def prepare(request: Request, models: Models, timings: Timings) -> Prompt:
    """Encode a request's media and text into the positions of a prompt; any thread may do it.

    Raises:
        ContextError: the media alone leave no room in the context, or the audio takes more than its quarter and
            ``truncate`` is off; said before anything is encoded.
        InputError, MediaError, StageError: unusable input, or a model the bundle lacks.
    """
    notes: list[str] = []
    text = question(request, models)
    preload(request, models)
    timings.add("load", models.take_load_seconds())
    timings.start()
    with timings.measure("tokenizer"):
        tokenizer = models.tokenizer()
        ids = [tokenizer.bos_id, *tokenizer.encode(text)]
    if not request.has_media:
        return Prompt(None, ids, 0, notes)

    seen: list[NDArray[np.float32]] = []
    graphs: set[str] = set()
    frames = _frames_wanted(request, models)
    if frames or request.images:
        _check_pictures(len(request.images), frames, models)
        graphs.add(models.vision().stage.graph)
    # The order is the reference's: image, video, audio.
    if request.images:
        with timings.measure("vision"):
            seen.append(models.vision().embed(request.images))
    if request.video is not None:
        from muomni.media.video import load_frames  # a text chat needs none of it

        with timings.measure("video"):
            pictures = load_frames(request.video, frames)
        with timings.measure("vision"):
            seen.append(models.vision().embed(pictures))
    image_tokens = sum(map(len, seen))
    if request.audio is not None:
        graphs.add(models.audio_encoder().stage.graph)
        with timings.measure("audio"):
            seen.append(_hear(request, models, notes))
    return Prompt(np.concatenate(seen), ids, image_tokens, notes, graphs)


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
    text = len(prompt.ids) - 1
    kept = room - reserve - prompt.media_tokens - 1
    if not truncate or kept < 1:
        raise ContextError(
            f"the prompt takes {len(prompt)} positions ({prompt.media_tokens} of media, 1 bos, {text} of text) and "
            f"{room} are free in the context; shorten it, or allow it with --truncate (truncate=True), which keeps "
            "the end of the text"
        )
    note = f"the text was shortened to its last {kept} of {text} tokens to fit the context"
    ids = [prompt.ids[0], *prompt.ids[-kept:]]
    return Prompt(prompt.media, ids, prompt.image_tokens, [*prompt.notes, note], prompt.graphs)


def context_is_full(tokens: int) -> str:
    """The note of a reply that the context ended."""
    return f"the reply ended after {tokens} tokens because the context is full"


def _frames_wanted(request: Request, models: Models) -> int:
    if request.video is None:
        return 0
    return models.manifest.prompt.video_frames if request.video_frames is None else request.video_frames


def _check_pictures(images: int, frames: int, models: Models) -> None:
    """Refuse more pictures than the context can hold."""
    each = models.vision().stage.embeddings_per_image
    context = models.thinker().stage.context_length
    needed = (images + frames) * each
    if needed + 2 > context:  # bos and one id of a reply
        what = f"{images} images" if not frames else f"{images + frames} images and video frames"
        advice = (
            "give fewer images" if not frames else "take fewer frames with --video-frames (video_frames=…)"
        )
        raise ContextError(
            f"{what} take {needed} positions ({each} each), the context holds {context}; {advice}"
        )


def _hear(request: Request, models: Models, notes: list[str]) -> NDArray[np.float32]:
    encoder = models.audio_encoder()
    limit = encoder.stage.max_embeddings
    if limit == 0:
        raise StageError("this bundle's audio encoder has no projector, so audio cannot enter a prompt")
    assert request.audio is not None
    samples = encoder.load(request.audio)
    count = encoder.embeddings_of(len(samples))
    if count > limit:
        took, fits = encoder.seconds(count), encoder.seconds(limit)
        if not request.truncate:
            raise ContextError(
                f"the audio lasts {took:.1f} s ({count} embeddings); a prompt holds {fits:.1f} s ({limit}, a quarter "
                "of the context); cut it, or allow it with --truncate (truncate=True), which keeps the start"
            )
        notes.append(f"the audio was shortened to its first {fits:.1f} of {took:.1f} s")
    embeds = encoder.encode_samples(samples).embeds
    assert embeds is not None
    return embeds[:limit]
