"""Cut a recording at its pauses into pieces that the audio encoder takes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from muomni.live.silero import WINDOW, Samples
from muomni.live.turns import RATE_HZ, Judge, likelihood

STARTS, ENDS = 0.5, 0.35
"""Speech is at least as likely as this where it begins, and less likely than that where it ends: Silero's own."""
PAUSE_S = 0.5
"""A shorter pause is of the sentence."""
SHORTEST_S = 0.1
BEFORE_S, AFTER_S = 0.2, 0.15
"""What is kept around speech: soft consonants are not judged to be speech."""


@dataclass(frozen=True)
class Piece:
    """A part of a recording that holds speech: samples ``start…end``; ``speech`` is how likely it is one."""

    start: int
    end: int
    speech: float


class PauseCutter:
    """Finds the pieces of a recording that comes in blocks.

    Args:
        longest_s: of a piece; a longer one is cut where speech is least likely.

    Example:
        >>> cutter = PauseCutter(Silero(), longest_s=7)
        >>> pieces = [*cutter.push(samples), *cutter.finish()]
    """

    def __init__(self, judge: Judge, longest_s: float) -> None:
        self._judge = judge
        around = int((BEFORE_S + AFTER_S) * RATE_HZ)
        self._most = max(1, (int(longest_s * RATE_HZ) - around) // WINDOW)
        self._likely: list[float] = []  # of the windows of the open piece
        self._open_at: int | None = None  # its first window
        self._judged = 0
        self._quiet = 0  # windows since speech was last heard
        self._end_before = 0  # sample up to which pieces have been given
        self._rest = np.zeros(0, np.float32)

    def push(self, samples: Samples) -> list[Piece]:
        """The pieces that are settled by the next samples (n,)."""
        data = np.concatenate([self._rest, samples])
        whole = len(data) - len(data) % WINDOW
        self._rest = data[whole:]
        made: list[Piece] = []
        for at in range(0, whole, WINDOW):
            made += self._take(data[at : at + WINDOW])
        return made

    def finish(self) -> list[Piece]:
        """The last piece, if one is open."""
        made = self.push(np.zeros(WINDOW - len(self._rest), np.float32)) if len(self._rest) else []
        return [*made, *self._close(self._judged)]

    def _take(self, window: Samples) -> list[Piece]:
        likely = likelihood(self._judge, window)
        self._judged += 1
        if self._open_at is None:
            if likely < STARTS:
                return []
            self._open_at, self._likely, self._quiet = self._judged - 1, [], 0
        self._likely.append(likely)
        self._quiet = 0 if likely >= ENDS else self._quiet + 1
        if self._quiet * WINDOW >= PAUSE_S * RATE_HZ:
            return self._close(self._judged - self._quiet)
        if len(self._likely) >= self._most:
            return self._split()
        return []

    def _split(self) -> list[Piece]:
        """Cut a piece that is too long at the least likely window of its second half; the rest stays open."""
        assert self._open_at is not None
        half = len(self._likely) // 2
        cut = half + int(np.argmin(self._likely[half:]))
        start, rest, quiet = self._open_at, self._likely[cut:], self._quiet
        self._likely = self._likely[:cut]
        made = self._close(start + cut)
        self._open_at, self._likely, self._quiet = start + cut, rest, quiet
        return made

    def _close(self, end: int) -> list[Piece]:
        if self._open_at is None:
            return []
        start, likely = self._open_at, self._likely[: end - self._open_at]
        self._open_at = None
        if len(likely) * WINDOW < SHORTEST_S * RATE_HZ:
            return []
        first = max(self._end_before, start * WINDOW - int(BEFORE_S * RATE_HZ))
        last = end * WINDOW + int(AFTER_S * RATE_HZ)
        self._end_before = end * WINDOW
        return [Piece(first, last, float(np.mean(likely)))]
