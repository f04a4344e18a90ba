"""Text to speech: Talker frames, codec mel, vocoder samples."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from muomni.errors import InputError
from muomni.models.registry import Models
from muomni.models.sampling import SamplingOptions
from muomni.models.vocoder import Spectral
from muomni.replies import Speech
from muomni.speech.pointer import Frame

from .timings import Stopwatch

OnAudio = Callable[[NDArray[np.float32]], None]
"""Takes the next samples (m,) of speech."""

# English is read at about 150 words a minute, 15 characters a second. Only used where the Talker itself
# cannot know how long to speak.
CHARACTERS_PER_SECOND = 15
SHORTEST_SECONDS = 1.0
REFERENCE_TEMPERATURE = 0.8

# Frames that go through codec and vocoder together while speech is streamed: a few at first, for an early start.
FIRST_CHUNK_FRAMES, CHUNK_FRAMES = 8, 32


@dataclass(frozen=True)
class SpeechOptions:
    """How speech is drawn.

    Attributes:
        temperature: of the codes; 0 takes the likeliest. None is 0 for a Talker that is told what to say, else
            the reference's 0.8.
        top_k: codes to draw from; 50 is the reference's.
        frames: Talker frames to draw, at most; None takes what the text needs.
        seed: of the draws; None draws a fresh one.
    """

    temperature: float | None = None
    top_k: int = 50
    frames: int | None = None
    seed: int | None = None

    def __post_init__(self) -> None:
        if self.frames is not None and self.frames < 1:
            raise InputError(f"speech frames: expected at least 1, got {self.frames}")
        self.sampling(0.0)

    def sampling(self, default_temperature: float) -> SamplingOptions:
        temperature = default_temperature if self.temperature is None else self.temperature
        return SamplingOptions(temperature=temperature, top_k=self.top_k, seed=self.seed)


class Speaker:
    """Speaks one text.

    Raises (when used):
        StageError: the bundle has no Talker, codec or vocoder.
        ContextError: more frames than the Talker's context.
    """

    def __init__(self, stages: Models, options: SpeechOptions, watch: Stopwatch) -> None:
        self._stages, self._options, self._watch = stages, options, watch
        self.notes: list[str] = []
        """What the listener should be told."""

    @property
    def reads_text(self) -> bool:
        """Whether the Talker is told what to say, and can begin before the text is over."""
        return self._stages.bundle.manifest.text_input is not None

    def speak(self, pieces: Iterable[str], on_audio: OnAudio | None = None) -> Speech:
        """The speech for a text that comes in pieces.

        Args:
            on_audio: called with samples as soon as they are settled; they are those of the result.
        """
        cut_sounds, spectral = 0, None
        rate = self._stages.vocoder().stage.sample_rate_hz
        if self.reads_text:
            told = self._stages.talker().frames(pieces, self._options.sampling(0.0))
            frames = self._limited(iter(told))
            spectral = self._spectral()
            codes, samples = self._streamed(frames, spectral, on_audio) if spectral else self._whole(frames)
            cut_sounds = told.cut_sounds
            if not len(codes):
                self.notes.append("there is nothing in the text that can be spoken")
        else:
            self.notes.append(
                "this bundle's Talker has no text input: the speech has the sound of its training data "
                "but cannot say the reply"
            )
            codes, samples = self._whole(self._untold("".join(pieces)))
        if on_audio is not None and spectral is None:
            on_audio(samples)
        return Speech(samples, rate, codes, cut_sounds)

    def _spectral(self) -> Spectral | None:
        """The vocoder, where it can speak while frames still come."""
        vocoder = self._stages.vocoder()
        same_rate = vocoder.frame_rate_hz == self._stages.talker().stage.frame_rate_hz
        return vocoder if isinstance(vocoder, Spectral) and same_rate else None

    def _limited(self, frames: Iterator[Frame]) -> Iterator[Frame]:
        """At most as many frames as were asked for."""
        limit = self._options.frames
        for count, frame in enumerate(frames):
            if count == limit:
                self.notes.append(f"the speech was cut after {limit} frames")
                return
            yield frame

    def _untold(self, text: str) -> Iterator[tuple[int, ...]]:
        talker = self._stages.reference_talker()
        frames = self._options.frames
        if frames is None:
            seconds = max(SHORTEST_SECONDS, len(text) / CHARACTERS_PER_SECOND)
            frames = min(math.ceil(seconds * talker.stage.frame_rate_hz), talker.max_frames)
        return talker.frames(frames, self._options.sampling(REFERENCE_TEMPERATURE))

    def _whole(self, frames: Iterator[tuple[int, ...]]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        codec, vocoder, watch = self._stages.codec(), self._stages.vocoder(), self._watch
        with watch.stage("talker"):
            codes = _codes(list(frames), codec.stage.codebooks)
        if not len(codes):
            return codes, np.zeros(0, dtype=np.float32)
        with watch.stage("codec"):
            mel = codec.decode(codes)
        talker = self._stages.bundle.manifest.talker
        assert talker is not None
        with watch.stage("vocoder"):
            return codes, vocoder.speak(mel, talker.frame_rate_hz)

    def _streamed(
        self, frames: Iterator[Frame], vocoder: Spectral, on_audio: OnAudio | None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Chunk by chunk, so that speech can be heard while it is made."""
        codec, stream, watch = self._stages.codec(), vocoder.stream(), self._watch
        made: list[NDArray[np.float32]] = []
        all_codes: list[NDArray[np.int64]] = []

        def give(samples: NDArray[np.float32]) -> None:
            if len(samples):
                made.append(samples)
                if on_audio is not None:
                    on_audio(samples)

        size = FIRST_CHUNK_FRAMES
        while True:
            with watch.stage("talker"):
                codes = _codes(list(islice(frames, size)), codec.stage.codebooks)
            if not len(codes):
                break
            all_codes.append(codes)
            with watch.stage("codec"):
                mel = codec.decode(codes)
            with watch.stage("vocoder"):
                samples = stream.feed(mel)
            give(samples)
            size = CHUNK_FRAMES
        with watch.stage("vocoder"):
            samples = stream.finish()
        give(samples)
        codes = np.concatenate(all_codes) if all_codes else _codes([], codec.stage.codebooks)
        return codes, np.concatenate(made) if made else np.zeros(0, dtype=np.float32)


def _codes(frames: list[tuple[int, ...]] | list[Frame], codebooks: int) -> NDArray[np.int64]:
    return np.array(frames, dtype=np.int64).reshape(-1, codebooks)
