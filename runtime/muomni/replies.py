"""What a request gives back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

FinishReason = Literal["stop", "length"]


@dataclass(frozen=True)
class Speech:
    """Synthesised speech.

    Attributes:
        samples: mono, -1…1, float32 (n,).
        sample_rate: Hz.
        codes: the Talker's frames (T, codebooks).
        cut_sounds: sounds that the Talker would have let go on for more than a second, and that were ended; 0 says
            that the speech ended by itself.
    """

    samples: NDArray[np.float32]
    sample_rate: int
    codes: NDArray[np.int64]
    cut_sounds: int = 0

    @property
    def seconds(self) -> float:
        return len(self.samples) / self.sample_rate


@dataclass(frozen=True)
class Reply:
    """A reply and how it came about.

    Attributes:
        text: the reply, without the stop string that ended it.
        token_ids: exactly the ids generated, eos included.
        prompt_tokens: positions the prompt took, media embeddings included.
        finish_reason: ``stop`` (eos or a stop string) or ``length`` (max_new_tokens or the context).
        speech: None unless asked for.
        timings: seconds by stage; ``load``, ``first_token``, ``decode`` and ``total`` are always there.
            ``load`` is what was loaded since the last reply, ``first_token`` is counted after that and
            ``total`` includes it.
        providers: execution providers by graph, of the graphs this request used.
        notes: what the caller should be told (shortened input, speech that cannot say the reply).
    """

    text: str
    token_ids: tuple[int, ...]
    prompt_tokens: int
    finish_reason: FinishReason
    speech: Speech | None = None
    timings: dict[str, float] = field(default_factory=dict)
    providers: dict[str, list[str]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def completion_tokens(self) -> int:
        return len(self.token_ids)
