"""What a request gives back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

FinishReason = Literal["stop", "length", "cancelled"]


@dataclass(frozen=True)
class TokenLogprob:
    """How likely a generated id was, before temperature and the other sampling options.

    Attributes:
        token_id: the id that was generated.
        logprob: its natural logarithm of the probability.
        top: the likeliest ids with theirs, best first; as many as were asked for.

    Example:
        >>> first = omni.generate("Hello!", logprobs=2).logprobs[0]
        >>> first.logprob <= 0, len(first.top)
        (True, 2)
    """

    token_id: int
    logprob: float
    top: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True)
class Usage:
    """Positions of the context that a request took.

    Attributes:
        text_tokens: of the prompt's text, its bos included.
        image_tokens: embeddings of images and video frames.
        audio_tokens: embeddings of the recording.
        cached_tokens: positions at the start of the prompt whose keys and values were there already.
        completion_tokens: ids generated, eos included.

    Example:
        >>> usage = omni.generate("How many shapes are there?", images=["shapes.png"]).usage
        >>> usage.image_tokens
        36
    """

    text_tokens: int = 0
    image_tokens: int = 0
    audio_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0

    @property
    def prompt_tokens(self) -> int:
        """All positions of the prompt."""
        return self.text_tokens + self.image_tokens + self.audio_tokens

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True)
class Speech:
    """Synthesised speech.

    Attributes:
        samples: mono, -1…1, float32 (n,).
        sample_rate: Hz.
        codes: the Talker's frames (T, codebooks).
        cut_phonemes: those that the Talker would have let go on for more than a second, and that were ended; 0
            says that the speech ended by itself.
        notes: what the listener should know, such as words of other scripts that were transliterated.

    Example:
        >>> speech = omni.speak("Hello.")
        >>> speech.sample_rate, speech.samples.dtype.name
        (16000, 'float32')
        >>> muomni.write_wav("hello.wav", speech.samples, speech.sample_rate)
    """

    samples: NDArray[np.float32]
    sample_rate: int
    codes: NDArray[np.int64]
    cut_phonemes: int = 0
    notes: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        return len(self.samples) / self.sample_rate


@dataclass(frozen=True)
class Reply:
    """A reply and how it came about.

    Attributes:
        text: the reply, without the stop string that ended it.
        token_ids: exactly the ids generated, eos included.
        finish_reason: ``stop`` (eos or a stop string), ``length`` (max_new_tokens or the context) or
            ``cancelled`` (ended from outside, and what was there was kept).
        usage: positions of the context, by what they hold.
        speech: None unless asked for, and where it failed (the notes then say why).
        seed: of the draws, so that they can be repeated; None where nothing was drawn.
        logprobs: of each of ``token_ids``; empty unless asked for.
        timings: seconds by stage; ``load``, ``first_token``, ``decode`` and ``total`` are always there.
            ``load`` is what was loaded for this request, ``first_token`` is counted after that and ``total``
            includes it.
        providers: execution providers by graph, of the graphs this request used.
        ocr: the text that was read in each image; empty unless asked for.
        notes: what the caller should be told (shortened input, speech that cannot say the reply).

    Example:
        >>> reply = omni.generate("What is two plus three?")
        >>> reply.text, reply.finish_reason
        ('Two plus three is five.', 'stop')
    """

    text: str
    token_ids: tuple[int, ...]
    finish_reason: FinishReason
    usage: Usage = field(default_factory=Usage)
    speech: Speech | None = None
    seed: int | None = None
    logprobs: tuple[TokenLogprob, ...] = ()
    timings: dict[str, float] = field(default_factory=dict)
    providers: dict[str, list[str]] = field(default_factory=dict)
    ocr: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def prompt_tokens(self) -> int:
        """Positions the prompt took, media embeddings included."""
        return self.usage.prompt_tokens

    @property
    def completion_tokens(self) -> int:
        return len(self.token_ids)
