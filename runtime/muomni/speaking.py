"""Text to speech: Talker frames, codec mel, vocoder samples."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .errors import InputError
from .reply import Speech
from .sampling import SamplingOptions
from .stages import Stages
from .stopwatch import Stopwatch

# English is read at about 150 words a minute, 15 characters a second. Only used where the Talker itself
# cannot know how long to speak.
CHARACTERS_PER_SECOND = 15
SHORTEST_SECONDS = 1.0


@dataclass(frozen=True)
class SpeechOptions:
    """How speech is drawn.

    Attributes:
        temperature: of both codes; 0 takes the likeliest code. 0.8 is the reference's.
        top_k: codes to draw from; 50 is the reference's.
        frames: Talker frames to draw; None takes as many as reading the reply aloud would last.
        seed: of the draws; None draws a fresh one.
    """

    temperature: float = 0.8
    top_k: int = 50
    frames: int | None = None
    seed: int | None = None

    def __post_init__(self) -> None:
        if self.frames is not None and self.frames < 1:
            raise InputError(f"speech frames: expected at least 1, got {self.frames}")
        self.sampling()

    def sampling(self) -> SamplingOptions:
        return SamplingOptions(temperature=self.temperature, top_k=self.top_k, seed=self.seed)


def speak(stages: Stages, text: str, options: SpeechOptions, watch: Stopwatch) -> tuple[Speech, list[str]]:
    """Speech for a reply, and what the listener should be told about it.

    Raises:
        StageError: the bundle has no Talker, codec or vocoder.
        ContextError: more frames than the Talker's context.
    """
    talker, codec, vocoder = stages.talker(), stages.codec(), stages.vocoder()
    notes = []
    if not talker.stage.reads_text:
        notes.append(
            "this bundle's Talker has no text input: the speech has the sound of its training data "
            "but cannot say the reply"
        )
    rate = talker.stage.frame_rate_hz
    frames = options.frames
    if frames is None:
        seconds = max(SHORTEST_SECONDS, len(text) / CHARACTERS_PER_SECOND)
        frames = min(math.ceil(seconds * rate), talker.max_frames)
    with watch.stage("talker"):
        codes = np.array(list(talker.frames(frames, options.sampling())), dtype=np.int64)
    with watch.stage("codec"):
        mel = codec.decode(codes)
    with watch.stage("vocoder"):
        samples = vocoder.speak(mel, rate)
    return Speech(samples, vocoder.stage.sample_rate_hz, codes), notes
