"""From a request to the positions of a prompt: media embeddings first, then bos and the text.

What does not fit is refused from counts, before anything is encoded.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from muomni.errors import ContextError, InputError, StageError
from muomni.models.registry import Models
from muomni.ort.rows import Rows, together
from muomni.replies import Usage
from muomni.requests import Request

from .segments import Segment, joined
from .timings import Timings

CHARACTERS_PER_POSITION, FEWEST_CHARACTERS = 64, 1_000_000
"""Of a text that is tokenized, the context's positions considered; what is longer is refused as it is."""


@dataclass
class Prompt:
    """Positions of one turn, and what is to be said of them.

    Attributes:
        media: embeddings (M, D) or None; images and frames come before the recording.
        ids: bos first.
        before: earlier turns, each with its reply's ids.
        image_tokens: rows of ``media`` that are images and frames; the rest is the recording.
        graphs: that were used on the way.
        ocr: the text that was read in each image.
    """

    media: Rows | None
    ids: list[int]
    image_tokens: int = 0
    notes: list[str] = field(default_factory=list)
    graphs: set[str] = field(default_factory=set)
    before: list[Earlier] = field(default_factory=list)
    ocr: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.ids) + self.media_tokens + sum(map(len, self.before))

    @property
    def media_tokens(self) -> int:
        return 0 if self.media is None else len(self.media)

    @property
    def segments(self) -> list[Segment]:
        """The positions in their order."""
        own = [self.ids] if self.media is None else [self.media, self.ids]
        return joined([*(segment for turn in self.before for segment in turn.segments), *own])

    def usage(self, cached_tokens: int, completion_tokens: int) -> Usage:
        """Positions by what they hold, earlier turns included."""
        turns = [self, *(turn.prompt for turn in self.before)]
        replies = sum(len(turn.reply_ids) for turn in self.before)
        text = sum(len(turn.ids) for turn in turns) + replies
        images = sum(turn.image_tokens for turn in turns)
        media = sum(turn.media_tokens for turn in turns)
        return Usage(text, images, media - images, cached_tokens, completion_tokens)


@dataclass(frozen=True)
class Earlier:
    """A turn before this one: its prompt and the ids of its reply, eos included."""

    prompt: Prompt
    reply_ids: list[int]

    @property
    def segments(self) -> list[Segment]:
        return [*self.prompt.segments, self.reply_ids]

    def __len__(self) -> int:
        return len(self.prompt) + len(self.reply_ids)


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


def with_text_of_images(request: Request, text: str, found: tuple[str, ...], notes: list[str]) -> str:
    """The turn's text with what was read in its images, worded as the reference words it.

    Where nothing was read it stays as it is, and ``notes`` says so.
    """
    read = " ".join(piece for piece in found if piece.strip())
    if not read:
        notes.append(
            "no text was found in the image" if len(found) == 1 else "no text was found in the images"
        )
        return text
    if request.prompt if request.text is None else request.text:
        return f"{text} (OCR extracted: {read})"
    return f"Extracted text from image: {read}. Describe what you see."


def preload(request: Request, models: Models) -> None:
    """Load what a request needs, so that loading and computing are timed apart.

    Raises:
        StageError: the bundle lacks one of them, said before any work is done.
        InputError: a grammar that cannot be enforced.
    """
    models.tokenizer()
    models.thinker()
    if request.grammar is not None:
        models.grammars().compile(request.grammar)
    turns = [request, *(asked for asked, _ in request.history)]
    if any(turn.images or turn.video is not None for turn in turns):
        models.vision()
    if any(turn.audio is not None for turn in turns):
        models.audio_encoder()
    if any(turn.ocr for turn in turns):
        models.ocr()
    if request.speech is not None:
        models.preload_speech()


def prepare(request: Request, models: Models, timings: Timings) -> Prompt:
    """Encode a request's media and text into the positions of a prompt; any thread may do it.

    Raises:
        ContextError: the text is far too long, the media alone leave no room in the context, or the audio takes more
            than its quarter and ``truncate`` is off; said before anything is encoded.
        InputError, MediaError, StageError: unusable input, or a model the bundle lacks.
    """
    text = question(request, models)
    preload(request, models)
    _check_length(request, text, models)
    timings.add("load", models.take_load_seconds())
    timings.start()
    prompt = _own(request, text, models, timings)
    tokenizer = models.tokenizer()
    for asked, replied in request.history:
        turn = _own(asked, question(asked, models), models, timings)
        prompt.notes += turn.notes
        prompt.graphs |= turn.graphs
        prompt.before.append(Earlier(turn, [*tokenizer.encode(replied), tokenizer.eos_id]))
    return prompt


def _own(request: Request, text: str, models: Models, timings: Timings) -> Prompt:
    """One turn's prompt, without those before it."""
    notes: list[str] = []
    graphs: set[str] = set()
    found: tuple[str, ...] = ()
    frames = _frames_wanted(request, models)
    if frames or request.images:
        _check_pictures(len(request.images), frames, models)
        graphs.add(models.vision().stage.graph)
    if request.ocr:
        graphs |= {models.ocr().stage.encoder_graph, models.ocr().stage.graph}
        with timings.measure("ocr"):
            found = tuple(models.ocr().recognise(image).text for image in request.images)
        text = with_text_of_images(request, text, found, notes)
    with timings.measure("tokenizer"):
        tokenizer = models.tokenizer()
        ids = [tokenizer.bos_id, *tokenizer.encode(text)]
    if not request.has_media:
        return Prompt(None, ids, 0, notes)

    seen: list[Rows] = []
    # The order is the reference's: image, video, audio.
    if request.images:
        with timings.measure("vision"):
            seen.append(models.vision().rows(request.images, notes))
    if request.video is not None:
        from muomni.media.video import load_frames  # a text chat needs none of it

        with timings.measure("video"):
            size = models.vision().stage.image_size
            pictures = load_frames(request.video, frames, size=size, notes=notes)
        with timings.measure("vision"):
            seen.append(models.vision().rows(pictures))
    image_tokens = sum(map(len, seen))
    if request.audio is not None:
        graphs.add(models.audio_encoder().stage.graph)
        with timings.measure("audio"):
            seen.append(_hear(request, models, notes))
    return Prompt(together(seen), ids, image_tokens, notes, graphs, ocr=found)


def _check_length(request: Request, text: str, models: Models) -> None:
    """Refuse text that is far too long before it is tokenized: 60 MB take 20 s, in which nobody else is prepared."""
    most = max(FEWEST_CHARACTERS, CHARACTERS_PER_POSITION * models.thinker().stage.context_length)
    earlier = sum(len(asked.text or "") + len(replied) for asked, replied in request.history)
    if len(text) + earlier > most:
        raise ContextError(
            f"the text has {len(text) + earlier} characters, earlier turns included, and at most {most} are read; "
            "shorten it"
        )


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


def _hear(request: Request, models: Models, notes: list[str]) -> Rows:
    encoder = models.audio_encoder()
    limit = encoder.stage.max_embeddings
    if limit == 0:
        raise StageError("this bundle's audio encoder has no projector, so audio cannot enter a prompt")
    from muomni.media.audio import duration_seconds  # a text chat needs none of it

    assert request.audio is not None
    fits = encoder.seconds(limit)
    took = duration_seconds(request.audio)
    samples = None
    if request.truncate or took is None or took <= fits:
        samples = encoder.load(request.audio, max_seconds=fits, notes=notes)
    if samples is None or encoder.embeddings_of(len(samples)) > limit:
        lasts = f"more than {fits:.1f}" if took is None else f"{took:.1f}"
        if not request.truncate:
            raise ContextError(
                f"the audio lasts {lasts} s; a prompt holds {fits:.1f} s ({limit} embeddings, a quarter of the "
                "context); cut it, or allow it with --truncate (truncate=True), which keeps the start"
            )
        notes.append(f"the audio was shortened to its first {fits:.1f} of {lasts} s")
    assert samples is not None
    return encoder.rows(samples[: encoder.samples_of(limit)])
