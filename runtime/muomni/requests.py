"""What is asked: one request, the same for one reply, a conversation, a batch and a server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from .errors import InputError
from .models.grammar import Grammar
from .models.sampling import SamplingOptions

if TYPE_CHECKING:
    from .media.audio import AudioSource
    from .media.image import ImageSource
    from .media.video import VideoSource

SLOWEST, FASTEST = 0.5, 2.0
"""Rates of speech that still sound like it."""
MAX_LOGPROBS = 20
"""Alternatives that can be asked for at each token."""


@dataclass(frozen=True)
class SpeechOptions:
    """How speech is drawn.

    Attributes:
        temperature: of the codes; 0 takes the likeliest. None is 0 for a Talker that reads text, else the
            reference's 0.8.
        top_k: codes to draw from; 50 is the reference's.
        frames: Talker frames to draw, at most; None takes what the text needs.
        seed: of the draws; None draws a fresh one.
        speed: rate of speech, 0.5 to 2; the pitch stays.

    Example:
        >>> SpeechOptions(temperature=0.5, seed=1).frames is None
        True
    """

    temperature: float | None = None
    top_k: int = 50
    frames: int | None = None
    seed: int | None = None
    speed: float = 1.0

    def __post_init__(self) -> None:
        if self.frames is not None:
            _at_least_one("speech frames", self.frames)
        if isinstance(self.speed, bool) or not isinstance(self.speed, (int, float)):
            raise InputError(f"speed: expected a number, got {type(self.speed).__name__} {self.speed!r}")
        if not SLOWEST <= self.speed <= FASTEST:
            raise InputError(f"speed: expected {SLOWEST} to {FASTEST}, got {self.speed}")
        self.sampling(0.0)

    def sampling(self, default_temperature: float) -> SamplingOptions:
        """The same as options of a sampler; ``default_temperature`` stands for a temperature of None."""
        temperature = default_temperature if self.temperature is None else self.temperature
        return SamplingOptions(temperature=temperature, top_k=self.top_k, seed=self.seed)


@dataclass(frozen=True)
class Request:
    """One request, with all that decides its reply.

    Attributes:
        text: question or instruction; None where the media speak for themselves.
        images: each a path, encoded bytes, a PIL image or an array (H, W, 3); one that is not in a list is taken.
        audio: a path, encoded bytes, or ``(samples, sample_rate)``.
        video: a path, encoded bytes, or a sequence of frames.
        ocr: read the text in each image first and put it into the question; the reply gives it, too.
        prompt: question for media without ``text``; None takes the bundle's default.
        video_frames: evenly spaced frames to look at; None takes the bundle's default.
        max_new_tokens: at most this many ids are generated.
        sampling: how ids are drawn; the default is greedy.
        stop: strings that end the reply; they are not part of its text. One string is taken as one.
        truncate: shorten what does not fit the context, and say so in the reply's notes; off, it is an error.
        speech: speak as well; None says nothing.
        history: earlier turns, oldest first, each a request (of which text and media count) and what was replied; they
            are computed again, or taken from the prefix cache. A :class:`muomni.Conversation` keeps them instead.
        logprobs: log probabilities of the ids generated, each with so many alternatives (0 to 20); None gives none.
        grammar: the form that the reply must have; one that is cut (``finish_reason`` ``length``, or a stop string)
            is the beginning of it. Needs ``muomni[grammar]``.

    Raises:
        InputError: a value of another type or out of range.

    Example:
        >>> Request("What do you see?", images=["photo.jpg"], max_new_tokens=20).max_new_tokens
        20
    """

    text: str | None = None
    images: Sequence[ImageSource] = ()
    audio: AudioSource | None = None
    video: VideoSource | None = None
    ocr: bool = False
    prompt: str | None = None
    video_frames: int | None = None
    max_new_tokens: int = 64
    sampling: SamplingOptions = field(default_factory=SamplingOptions)
    stop: Sequence[str] = ()
    truncate: bool = False
    speech: SpeechOptions | None = None
    logprobs: int | None = None
    history: Sequence[tuple[Request, str]] = ()
    grammar: Grammar | None = None

    def __post_init__(self) -> None:
        for name, text in (("text", self.text), ("prompt", self.prompt)):
            if text is not None and not isinstance(text, str):
                raise InputError(f"{name}: expected text (str), got {type(text).__name__}")
        object.__setattr__(self, "images", _listed(self.images))
        if not isinstance(self.ocr, bool):
            raise InputError(f"ocr: expected True or False, got {type(self.ocr).__name__} {self.ocr!r}")
        if self.ocr and not self.images:
            raise InputError("ocr: expected an image whose text is to be read, got none")
        stop = (self.stop,) if isinstance(self.stop, str) else self.stop
        if not isinstance(stop, Sequence) or not all(isinstance(item, str) for item in stop):
            raise InputError(f"stop: expected strings, got {self.stop!r}")
        object.__setattr__(self, "stop", tuple(stop))
        _at_least_one("max_new_tokens", self.max_new_tokens)
        if self.video_frames is not None:
            _at_least_one("video_frames", self.video_frames)
        if self.logprobs is not None:
            _whole_number("logprobs", self.logprobs)
            if not 0 <= self.logprobs <= MAX_LOGPROBS:
                raise InputError(f"logprobs: expected 0 to {MAX_LOGPROBS}, got {self.logprobs}")
        object.__setattr__(self, "history", tuple(self.history))
        for turn in self.history:
            if not (
                isinstance(turn, tuple)
                and len(turn) == 2
                and isinstance(turn[0], Request)
                and isinstance(turn[1], str)
            ):
                raise InputError(f"history: expected pairs of a Request and a reply's text, got {turn!r}")
        if not isinstance(self.sampling, SamplingOptions):
            raise InputError(f"sampling: expected SamplingOptions, got {type(self.sampling).__name__}")
        if self.grammar is not None and not isinstance(self.grammar, Grammar):
            raise InputError(f"grammar: expected a muomni.Grammar, got {type(self.grammar).__name__}")
        if self.speech is not None and not isinstance(self.speech, SpeechOptions):
            raise InputError(f"speech: expected SpeechOptions, got {type(self.speech).__name__}")

    @property
    def has_media(self) -> bool:
        return bool(self.images) or self.audio is not None or self.video is not None


class RequestOptions(TypedDict, total=False):
    """The keyword form of a :class:`Request`: its sampling and speech options stand beside the rest.

    ``speech`` is True or False here; ``seed`` is that of the ids and of the speech.

    Example:
        >>> as_request("Hello!", temperature=0.7, seed=1, speech=True).speech.seed
        1
    """

    images: Sequence[ImageSource] | ImageSource
    audio: AudioSource | None
    video: VideoSource | None
    ocr: bool
    prompt: str | None
    video_frames: int | None
    max_new_tokens: int
    temperature: float
    top_k: int
    top_p: float
    repetition_penalty: float
    presence_penalty: float
    frequency_penalty: float
    seed: int | None
    stop: str | Sequence[str]
    truncate: bool
    logprobs: int | None
    history: Sequence[tuple[Request, str]]
    grammar: Grammar | None
    speech: bool
    speech_temperature: float | None
    speech_top_k: int
    speech_frames: int | None
    speech_speed: float


OPTIONS = frozenset(RequestOptions.__annotations__)
SAMPLING_KEYS = (
    "temperature",
    "top_k",
    "top_p",
    "repetition_penalty",
    "presence_penalty",
    "frequency_penalty",
    "seed",
)
SPEECH_KEYS = {
    "speech_temperature": "temperature",
    "speech_top_k": "top_k",
    "speech_frames": "frames",
    "speech_speed": "speed",
}


def as_request(request: Request | str | None = None, **options: Unpack[RequestOptions]) -> Request:
    """A request from its keyword form; a :class:`Request` is given back as it is.

    Raises:
        InputError: an unknown option, a value of another type or out of range, or options beside a Request.

    Example:
        >>> as_request("hello", temperature=0.5, seed=3).sampling.seed
        3
    """
    given: dict[str, Any] = dict(options)
    if isinstance(request, Request):
        if given:
            raise InputError(f"a Request already says everything; leave out {', '.join(given)}")
        return request
    if not OPTIONS.issuperset(given):
        unknown = sorted(set(given) - OPTIONS)
        raise InputError(
            f"unknown option {unknown[0]!r}; expected {', '.join(RequestOptions.__annotations__)}"
        )
    sampling = SamplingOptions(**{key: given.pop(key) for key in SAMPLING_KEYS if key in given})
    spoken = {name: given.pop(key) for key, name in SPEECH_KEYS.items() if key in given}
    speaks = given.pop("speech", False)
    if not isinstance(speaks, bool):
        raise InputError(
            "speech: expected True or False, with its options beside it (speech_frames=8); got "
            f"{type(speaks).__name__}. A Request takes SpeechOptions"
        )
    speech = SpeechOptions(**spoken, seed=sampling.seed) if speaks else None
    return Request(request, sampling=sampling, speech=speech, **given)


def _listed(images: Any) -> tuple[Any, ...]:
    """Images as a tuple; one that is not in a list is one."""
    if isinstance(images, (list, tuple)):
        return tuple(images)
    if isinstance(images, Sequence) and not isinstance(images, (str, bytes, bytearray)):
        return tuple(images)
    return () if images is None else (images,)


def _whole_number(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise InputError(f"{name}: expected a whole number, got {type(value).__name__} {value!r}")


def _at_least_one(name: str, value: int) -> None:
    _whole_number(name, value)
    if value < 1:
        raise InputError(f"{name}: expected at least 1, got {value}")
