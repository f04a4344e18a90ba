"""The input audio buffer of a session: bytes in, turns and their samples out."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

import numpy as np

from muomni.errors import InputError
from muomni.live.rate import RateStream
from muomni.live.silero import WINDOW, Samples
from muomni.live.turns import RATE_HZ, STARTING_WINDOWS, Judge, Spoken, TurnDetector, likelihood

from .audio import AudioFormat
from .config import TurnDetection

LONGEST_SECONDS = 120
"""What the buffer holds while nobody looks for turns; far more than a model hears at once."""
SLICE = RATE_HZ // 4
"""Samples that are looked through at once: others wait for it."""
DECODED_BYTES = 48_000
"""That are decoded for it, at most: a client may send minutes at once."""


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
        self._kept: deque[Samples] = deque()
        self._start = self._end = 0  # positions of what is kept
        self._raw: list[bytes | memoryview] = []  # as it came
        self._raw_bytes = 0
        self._unseen: Samples = np.zeros(0, np.float32)
        self.detector: TurnDetector | None = None
        self.configure(turns, heard)

    def configure(self, turns: TurnDetection | None, heard: AudioFormat) -> None:
        """What is said from now on is judged, or comes, in another way."""
        if getattr(self, "_format", None) != heard:
            self._decode()
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
        return self._end

    @property
    def start(self) -> int:
        """Position of the first sample that is kept."""
        return self._start

    @property
    def waiting(self) -> bool:
        """There is sound that nobody has looked through."""
        return self._raw_bytes > 0 or len(self._unseen) > 0

    @property
    def waiting_s(self) -> float:
        """Seconds of it."""
        return self._format.seconds(self._raw_bytes) + len(self._unseen) / RATE_HZ

    @property
    def speaking(self) -> bool:
        return self.detector is not None and self.detector.speaking

    def push(self, data: bytes) -> None:
        """More sound, in the session's format.

        Raises:
            InputError: half a sample, or more than the buffer holds.
        """
        self._format.check(data)
        seconds = (self._end - self._start) / RATE_HZ + self.waiting_s + self._format.seconds(len(data))
        if self.detector is None and seconds > LONGEST_SECONDS:
            raise InputError(
                f"the input audio buffer holds {LONGEST_SECONDS} s, and this would make it {seconds:.0f} s; commit or "
                "clear it"
            )
        self._raw.append(data)
        self._raw_bytes += len(data)

    def work(self) -> list[Spoken]:
        """Look through the next quarter of a second at most."""
        windows = self.cut()
        return self.settle([likelihood(self._judge, w) for w in windows] if self._judge is not None else [])

    def cut(self) -> Samples:
        """The next windows (k, 512), of a quarter of a second at most, for who judges those of several sessions.

        They must be settled before anything else is done.
        """
        if len(self._unseen) < SLICE:
            self._decode(DECODED_BYTES)
        piece, self._unseen = self._unseen[:SLICE], self._unseen[SLICE:]
        self._keep(piece)
        return np.zeros((0, WINDOW), np.float32) if self.detector is None else self.detector.cut(piece)

    def settle(self, likely: Iterable[float]) -> list[Spoken]:
        """What follows from their probabilities."""
        if self.detector is None:
            return []
        events = self.detector.settle(likely)
        if not self.detector.speaking and not events:
            before = self.detector.prefix_padding_ms * RATE_HZ // 1000 + (STARTING_WINDOWS + 1) * WINDOW
            self._drop(self._end - before)
        return events

    def take(self, start: int, end: int) -> Samples:
        """The samples between two positions; whatever comes before the end is no longer kept."""
        kept = np.concatenate(self._kept) if self._kept else np.zeros(0, np.float32)
        begin = max(0, start - self._start)
        taken = kept[begin : max(begin, end - self._start)].copy()
        self._drop(end)
        return taken

    def clear(self) -> None:
        """Forget what is kept, and a turn that had begun."""
        self._decode()
        self._keep(self._unseen)
        self._unseen = self._unseen[:0]
        self._drop(self._end)
        if self.detector is not None:
            self.detector.forget()
            self.detector.judged = self._end

    def _decode(self, most_bytes: int | None = None) -> None:
        """Bytes to samples: once for several frames, which a resampler takes no longer for than for one."""
        if self._raw:
            whole = memoryview(self._raw[0] if len(self._raw) == 1 else b"".join(self._raw))
            data, rest = whole[:most_bytes], whole[most_bytes:] if most_bytes else whole[:0]
            self._raw = [rest] if rest else []
            self._raw_bytes = len(rest)
            new = self._rate.push(self._format.decode(data))
            self._unseen = np.concatenate([self._unseen, new]) if len(self._unseen) else new

    def _keep(self, samples: Samples) -> None:
        if len(samples):
            self._kept.append(samples)
            self._end += len(samples)

    def _drop(self, position: int) -> None:
        """Let go of what comes before a position."""
        gone = min(position, self._end) - self._start
        while self._kept and gone >= len(self._kept[0]):
            first = len(self._kept.popleft())
            self._start += first
            gone -= first
        if gone > 0:
            self._kept[0] = self._kept[0][gone:]
            self._start += gone
