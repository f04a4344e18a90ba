"""Who is speaking when: Silero's voice activity model, with hysteresis and a patience for pauses.

Measured (Silero v6, threshold 0.5): speech of the samples and of four espeak-ng voices is found, also at -30 dB and in
white noise of 5 dB below it, its beginning within 70 ms; nothing is found in 20 s each of silence, white and brown
noise, hum, tones, chords and clicks (highest 0.18). The longest pause that it hears inside a sentence is 0.4 s.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .silero import WINDOW, Samples

RATE_HZ = 16_000
HYSTERESIS = 0.15
"""What has begun goes on until it is less likely than the threshold by this much; Silero's own rule."""
STARTING_WINDOWS = 2
"""So many windows in a row are speech before something is said to begin: a click is one."""
SILENT_PEAK = 16 / 32768
"""A window no louder than this is silence, and nobody is asked: a microphone that is muted sends such."""
TAIL_MS = 96
"""What is kept of the pause after speech: its last consonant is quieter than the rest."""

Judge = Callable[[Samples], float]
"""A window (512,) at 16 kHz -> probability of speech; it remembers the windows before."""


def are_silent(windows: Samples) -> NDArray[np.bool_]:
    """Of windows (k, 512) those (k,) about which nobody need be asked."""
    silent: NDArray[np.bool_] = np.abs(windows).max(axis=1, initial=0.0) <= SILENT_PEAK
    return silent


def likelihood(judge: Judge, window: Samples) -> float:
    """How likely a window (512,) is speech; silence is not, and is not asked about."""
    return 0.0 if are_silent(window[None])[0] else judge(window)


@dataclass(frozen=True)
class Spoken:
    """Speech began or ended.

    Attributes:
        at: sample of the stream; of a start the padding before it, of an end the tail behind it included.
    """

    what: Literal["started", "stopped"]
    at: int


class TurnDetector:
    """Finds turns in a stream of samples at 16 kHz.

    Args:
        judge: :class:`muomni.live.silero.Silero`, or another.
        threshold: speech is more likely than this.
        prefix_padding_ms: what is counted to the speech before its beginning.
        silence_ms: a pause this long ends a turn.
        longest_s: a turn ends after this long in any case.

    Example:
        >>> turns = TurnDetector(Silero())
        >>> for event in turns.push(samples):
        ...     print(event.what, event.at / 16_000)
    """

    def __init__(
        self,
        judge: Judge,
        threshold: float = 0.5,
        prefix_padding_ms: int = 300,
        silence_ms: int = 500,
        longest_s: float = 60.0,
    ) -> None:
        self.threshold, self.prefix_padding_ms, self.silence_ms = threshold, prefix_padding_ms, silence_ms
        self.longest_s = longest_s
        self._judge = judge
        self._rest = np.zeros(0, np.float32)
        self._windows: deque[float] = deque(maxlen=STARTING_WINDOWS)
        self.judged = 0
        """Samples that have been judged."""
        self.speaking = False
        self._began = self._last_speech = 0

    def push(self, samples: Samples) -> list[Spoken]:
        """What has been settled by the next samples (m,)."""
        events = []
        for window in self.cut(samples):
            events += self.settle([likelihood(self._judge, window)])
        return events

    def cut(self, samples: Samples) -> Samples:
        """The windows (k, 512) that the next samples (m,) fill: for who judges those of several streams together.

        Each must be settled, in this order.
        """
        whole = np.concatenate([self._rest, samples]) if len(self._rest) else samples
        count = len(whole) // WINDOW
        self._rest = whole[count * WINDOW :]
        return whole[: count * WINDOW].reshape(count, WINDOW)

    def settle(self, likely: Iterable[float]) -> list[Spoken]:
        """What follows from the probabilities of the next windows; of a silent one it is 0."""
        return [event for one in likely if (event := self._take(float(one))) is not None]

    def forget(self) -> None:
        """Whatever was being said is over, and is not reported."""
        self.speaking = False
        self._windows.clear()

    def _take(self, likely: float) -> Spoken | None:
        start = self.judged
        self.judged += WINDOW
        self._windows.append(likely)
        if not self.speaking:
            if len(self._windows) < STARTING_WINDOWS or min(self._windows) < self.threshold:
                return None
            self.speaking = True
            self._last_speech = self.judged
            self._began = start - (STARTING_WINDOWS - 1) * WINDOW
            return Spoken("started", max(0, self._began - self.prefix_padding_ms * RATE_HZ // 1000))
        if likely >= max(self.threshold - HYSTERESIS, 0.01):
            self._last_speech = self.judged
        pause = self.judged - self._last_speech
        too_long = self.judged - self._began >= self.longest_s * RATE_HZ
        if pause < self.silence_ms * RATE_HZ // 1000 and not too_long:
            return None
        self.forget()
        return Spoken("stopped", min(self.judged, self._last_speech + TAIL_MS * RATE_HZ // 1000))
