"""What a stream says while a reply comes about."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .errors import MuomniError
from .replies import Reply, TokenLogprob


@dataclass(frozen=True)
class TextDelta:
    """The next piece of the reply's text; the pieces join to exactly its text.

    Attributes:
        text: never empty, never half a character, never the beginning of a stop string.
        logprobs: of the ids since the last piece, where they were asked for.

    Example:
        >>> "".join(event.text for event in omni.stream("Hello!") if isinstance(event, TextDelta))
        'Hello! How can I help you?'
    """

    text: str
    logprobs: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True)
class SpeechDelta:
    """The next samples of the reply's speech; they join to exactly its samples.

    Attributes:
        samples: mono, -1…1, float32 (m,), m above 0.
        sample_rate: Hz.

    Example:
        >>> heard = [event for event in omni.stream("Hello!", speech=True) if isinstance(event, SpeechDelta)]
        >>> heard[0].sample_rate
        16000
    """

    samples: NDArray[np.float32]
    sample_rate: int


@dataclass(frozen=True)
class Finished:
    """The reply is whole; nothing follows.

    Example:
        >>> *_, last = omni.stream("Hello!")
        >>> isinstance(last, Finished), last.reply.text
        (True, 'Hello! How can I help you?')
    """

    reply: Reply


@dataclass(frozen=True)
class Failed:
    """The request ended with an error; nothing follows.

    Example:
        >>> stream = omni.stream("What do you see?", images=["missing.png"])
        >>> next(stream)
        Failed(error=MediaError('missing.png: no such file'))
    """

    error: MuomniError


Event = TextDelta | SpeechDelta | Finished | Failed
