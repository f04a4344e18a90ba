"""Text to speech, pushed: text goes in as it settles, samples come out in small steps of work.

The Talker never asks for text; whoever drives a :class:`SpeechStream` decides when it works, and how much.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from muomni.dsp.stretch import FrameStretch
from muomni.models.registry import Models
from muomni.models.vocoder_stream import VocoderStream
from muomni.replies import Speech
from muomni.requests import SpeechOptions

from .timings import Timings

if TYPE_CHECKING:
    from muomni.speech.pointer import Answer, Query
    from muomni.speech.text_pointer import TextPointer

# English is read at about 150 words a minute, 15 characters a second. Only used where the Talker itself
# cannot know how long to speak.
CHARACTERS_PER_SECOND = 15
SHORTEST_SECONDS = 1.0
REFERENCE_TEMPERATURE = 0.8

# Frames that go through codec and vocoder together: a few at first, for an early start.
FIRST_CHUNK_FRAMES, CHUNK_FRAMES = 8, 32
FIRST_SOUND_S = 0.2
"""Within this time of its first text a speech should be heard, if others are to wait for it."""

Frame = tuple[int, ...]


class FrameSource(Protocol):
    """Text in, frames of codes out: a :class:`TextPointer`, or a Talker that reads no text."""

    @property
    def over(self) -> bool:
        """No frame comes any more."""
        ...

    @property
    def cut_phonemes(self) -> int: ...

    @property
    def notes(self) -> list[str]:
        """What the listener should know about the text."""
        ...

    def push(self, text: str) -> None: ...

    def finish(self) -> None: ...

    def next_frame(self) -> Frame | None:
        """The next frame; None while more text must come, and when it is over."""
        ...


class ReferenceSpeech:
    """Frames of a Talker that reads no text: as many as the text would take to read.

    Raises (when made):
        ContextError: more frames than the Talker's context.
    """

    cut_phonemes = 0

    @property
    def notes(self) -> list[str]:
        return []

    def __init__(self, models: Models, options: SpeechOptions) -> None:
        self.over = False
        self._talker, self._options = models.reference_talker(), options
        if options.frames is not None:
            self._talker.check(options.frames)
        self._characters = 0
        self._frames: Iterator[Frame] | None = None
        self._finished = False

    def push(self, text: str) -> None:
        self._characters += len(text)

    def finish(self) -> None:
        self._finished = True

    def next_frame(self) -> Frame | None:
        if not self._finished:
            return None
        if self._frames is None:
            sampling = self._options.sampling(REFERENCE_TEMPERATURE)
            self._frames = self._talker.frames(self._count(), sampling)
        frame = next(self._frames, None)
        self.over = frame is None
        return frame

    def _count(self) -> int:
        if self._options.frames is not None:
            return self._options.frames
        seconds = max(SHORTEST_SECONDS, self._characters / CHARACTERS_PER_SECOND)
        return min(math.ceil(seconds * self._talker.stage.frame_rate_hz), self._talker.max_frames)


class SpeechStream:
    """One text spoken.

    Push text and take steps in any order; :meth:`finish` says that the text is over, and the speech is over when
    :attr:`over` is. How the text is cut and when steps are taken makes no difference to the samples.

    Attributes:
        over: all samples have been given.
        waits: nothing can be done before more text comes.
        notes: what the listener should be told.
        graphs: that the speech is made with.

    Raises (when made):
        StageError: the bundle has no Talker, codec or vocoder.

    Example:
        >>> speech = SpeechStream(models, SpeechOptions(), Timings())
        >>> speech.push("Hello."); speech.finish()
        >>> while not speech.over:
        ...     samples = speech.step(8)  # float32 (m,), m may be 0
    """

    def __init__(self, models: Models, options: SpeechOptions, timings: Timings) -> None:
        self.over = self.waits = False
        self.notes: list[str] = []
        self._models, self._options, self._timings = models, options, timings
        self._codec, self._vocoder = models.codec(), models.vocoder()
        self._source: FrameSource
        self._pointer: TextPointer | None = None
        self._stream: VocoderStream | None = None
        talker = models.talker_stage()
        self._talker_rate_hz = talker.frame_rate_hz
        if talker.text is None:
            self._source = ReferenceSpeech(models, options)
            self.notes.append(
                "this bundle's Talker has no text input: the speech has the sound of its training data "
                "but cannot say the reply"
            )
        else:
            self._source = self._pointer = models.talker().start_text(options.sampling(0.0))
            if (vocoder := models.streaming_vocoder()) is not None:
                self._stream = vocoder.stream()
        self.sample_rate = self._vocoder.stage.sample_rate_hz
        self.graphs = models.speech_graphs()
        self._stretch = FrameStretch(1 / options.speed)
        self._frames: list[Frame] = []  # not through the codec yet
        self._codes: list[Frame] = []
        self._samples: list[NDArray[np.float32]] = []
        self._chunk = FIRST_CHUNK_FRAMES
        self._given_samples, self._begun_s = 0, time.perf_counter()
        self._cut = False

    @property
    def reads_text(self) -> bool:
        """Its frames may be asked for by :meth:`query`, to be computed with others'."""
        return self._pointer is not None

    @property
    def due(self) -> float:
        """When more of it should be there, on the clock of ``time.perf_counter``: at the end of what has been given,
        if that is played from when it was given on; soon, if nothing was given yet."""
        if not self._given_samples:
            return self._begun_s + FIRST_SOUND_S
        return self._begun_s + self._given_samples / self.sample_rate

    @property
    def started(self) -> bool:
        """Some samples have been given."""
        return bool(self._samples)

    @property
    def frames(self) -> int:
        """Frames drawn so far."""
        return len(self._codes)

    def push(self, text: str) -> None:
        """More text, cut anywhere."""
        self.waits = False
        self._source.push(text)

    def finish(self) -> None:
        """No more text comes."""
        self.waits = False
        self._source.finish()

    def step(self, frames: int) -> NDArray[np.float32]:
        """Draw at most ``frames`` frames; give the samples (m,) that are settled by that, m may be 0.

        It gives nothing where more text must come first.
        """
        with self._timings.measure("talker"):
            for _ in range(frames):
                if not self._wants_frame():
                    break
                frame = self._source.next_frame()
                self.waits = frame is None and not self._source.over
                if frame is None or not self._has_room():
                    break
                self._add(frame)
        return self.settle()

    def query(self) -> Query | None:
        """What the Talker is to be run with for the next frame; None where none is wanted before :meth:`settle`, or
        more text must come. Only where :attr:`reads_text`."""
        assert self._pointer is not None
        if not self._wants_frame():
            return None
        query = self._pointer.query()
        self.waits = query is None and not self._pointer.over
        return query if query is not None and self._has_room() else None

    def take(self, *answer: *Answer) -> None:
        """The Talker's answer to :meth:`query`."""
        assert self._pointer is not None
        self._add(self._pointer.take(*answer))

    def settle(self) -> NDArray[np.float32]:
        """The samples (m,) that are settled by the frames so far, m may be 0."""
        if self._cut or self._source.over:
            return self._end()
        if self._stream is None or len(self._frames) < self._chunk:
            return np.zeros(0, dtype=np.float32)
        self._chunk = CHUNK_FRAMES
        return self._given(self._vocode(self._stream))

    def _wants_frame(self) -> bool:
        """Another frame may be drawn before those that are there are vocoded."""
        full = self._stream is not None and len(self._frames) == self._chunk
        return not (full or self._cut)

    def _add(self, frame: Frame) -> None:
        self._frames.append(frame)
        self._codes.append(frame)

    def _has_room(self) -> bool:
        """Whether one more frame, which is there, may be said; where not, the speech is cut."""
        self._cut = len(self._codes) == self._options.frames
        return not self._cut

    def result(self) -> Speech:
        """All of it so far."""
        codes = np.array(self._codes, dtype=np.int64).reshape(-1, self._codec.stage.codebooks)
        samples = np.concatenate(self._samples) if self._samples else np.zeros(0, dtype=np.float32)
        return Speech(samples, self.sample_rate, codes, self._source.cut_phonemes, tuple(self.notes))

    def _end(self) -> NDArray[np.float32]:
        """The last samples."""
        self.over = True
        self.notes += self._source.notes
        if self._cut:
            self.notes.append(f"the speech was cut after {len(self._codes)} frames")
        if not self._codes:
            self.notes.append("there is nothing in the text that can be spoken")
            return np.zeros(0, dtype=np.float32)
        if self._stream is None:
            with self._timings.measure("codec"):
                mel = self._codec.decode(np.array(self._codes, dtype=np.int64))
            with self._timings.measure("vocoder"):
                return self._given(self._vocoder.speak(mel, self._talker_rate_hz * self._options.speed))
        made = [self._vocode(self._stream)] if self._frames else []
        with self._timings.measure("vocoder"):
            rest = self._stretch.finish()
            if rest is not None:
                made.append(self._stream.feed(rest))
            made.append(self._stream.finish())
        return self._given(np.concatenate(made))

    def _vocode(self, stream: VocoderStream) -> NDArray[np.float32]:
        with self._timings.measure("codec"):
            mel = self._codec.decode(np.array(self._frames, dtype=np.int64))
        self._frames.clear()
        with self._timings.measure("vocoder"):
            return stream.feed(self._stretch.feed(mel))

    def _given(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        if len(samples):
            if not self._samples:
                self._begun_s = time.perf_counter()
            self._samples.append(samples)
            self._given_samples += len(samples)
        return samples
