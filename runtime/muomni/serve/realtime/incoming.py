"""The input audio buffer of a session: bytes in, turns and their samples out."""

from __future__ import annotations

import numpy as np

from muomni.errors import InputError
from muomni.live.rate import RateStream
from muomni.live.silero import WINDOW, Samples
from muomni.live.turns import RATE_HZ, STARTING_WINDOWS, Judge, Spoken, TurnDetector

from .audio import AudioFormat
from .config import TurnDetection

LONGEST_SECONDS = 120
"""What the buffer holds while nobody looks for turns; far more than a model hears at once."""
SLICE = RATE_HZ // 4
"""Samples that are looked through at once: others wait for it."""


class IncomingAudio:
    """Sound that a client sends. Positions are samples at 16 kHz since the session began.

    Example:
        >>> incoming = IncomingAudio(Silero(), TurnDetection(), AudioFormat("audio/pcm"))
        >>> incoming.push(data)
        >>> while incoming.waiting:
        ...     for event in incoming.work():
        ...         turn = incoming.take(event.at)
    """

    def __init__(self, judge: Judge | None, turns: TurnDetection | None, heard: AudioFormat) -> None:
        self._judge = judge
        self._kept = np.zeros(0, np.float32)
        self._start = 0  # position of _kept[0]
        self._unseen: Samples = np.zeros(0, np.float32)
        self.detector: TurnDetector | None = None
        self.configure(turns, heard)

    def configure(self, turns: TurnDetection | None, heard: AudioFormat) -> None:
        """What is said from now on is judged, or comes, in another way."""
        if getattr(self, "_format", None) != heard:
            self._format = heard
            self._rate = RateStream(heard.rate_hz, RATE_HZ)
        if turns is None:
            self.detector = None
            return
        if self.detector is None:
            if self._judge is None:
                raise InputError("turn_detection: there is no voice activity detector; set it to null")
            self.detector = TurnDetector(self._judge)
            self.detector.judged = self.end
        self.detector.threshold = turns.threshold
        self.detector.prefix_padding_ms = turns.prefix_padding_ms
        self.detector.silence_ms = turns.silence_duration_ms

    @property
    def end(self) -> int:
        """Position behind the last sample that was looked through."""
        return self._start + len(self._kept)

    @property
    def start(self) -> int:
        """Position of the first sample that is kept."""
        return self._start

    @property
    def waiting(self) -> bool:
        """There is sound that nobody has looked through."""
        return len(self._unseen) > 0

    @property
    def speaking(self) -> bool:
        return self.detector is not None and self.detector.speaking

    def push(self, data: bytes) -> None:
        """More sound, in the session's format.

        Raises:
            InputError: half a sample, or more than the buffer holds.
        """
        seconds = (len(self._kept) + len(self._unseen)) / RATE_HZ + self._format.seconds(len(data))
        if self.detector is None and seconds > LONGEST_SECONDS:
            raise InputError(
                f"the input audio buffer holds {LONGEST_SECONDS} s, and this would make it {seconds:.0f} s; commit or "
                "clear it"
            )
        self._unseen = np.concatenate([self._unseen, self._rate.push(self._format.decode(data))])

    def work(self) -> list[Spoken]:
        """Look through the next quarter of a second at most."""
        piece, self._unseen = self._unseen[:SLICE], self._unseen[SLICE:]
        self._kept = np.concatenate([self._kept, piece])
        if self.detector is None:
            return []
        events = self.detector.push(piece)
        if not self.detector.speaking and not events:
            before = self.detector.prefix_padding_ms * RATE_HZ // 1000 + (STARTING_WINDOWS + 1) * WINDOW
            self._drop(self.end - before)
        return events

    def take(self, start: int, end: int) -> Samples:
        """The samples between two positions; whatever comes before the end is no longer kept."""
        begin = max(0, start - self._start)
        taken = self._kept[begin : max(begin, end - self._start)].copy()
        self._drop(end)
        return taken

    def clear(self) -> None:
        """Forget what is kept, and a turn that had begun."""
        self._kept = np.concatenate([self._kept, self._unseen])
        self._unseen = self._unseen[:0]
        self._drop(self.end)
        if self.detector is not None:
            self.detector.forget()
            self.detector.judged = self.end

    def _drop(self, position: int) -> None:
        gone = min(max(0, position - self._start), len(self._kept))
        self._kept, self._start = self._kept[gone:], self._start + gone
