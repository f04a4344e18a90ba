"""When the speech of a reply came, and whether it came in time."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Playing:
    """A listener's clock: sound is played as soon as it comes, and stops where nothing is there.

    Attributes:
        first_at: when the first piece came (s).
        seconds: of sound that came.
        gaps: times at which it stopped before the end.
        gap_s: seconds of silence in all of them.

    Example:
        >>> playing = Playing()
        >>> playing.came(10.0, 0.5); playing.came(10.6, 0.5)
        >>> playing.gaps, round(playing.gap_s, 3), round(playing.until, 3)
        (1, 0.1, 11.1)
    """

    first_at: float | None = None
    until: float = 0.0
    seconds: float = 0.0
    gaps: int = 0
    gap_s: float = 0.0

    def came(self, at: float, seconds: float) -> None:
        """Another piece."""
        if self.first_at is None:
            self.first_at = self.until = at
        elif at > self.until:
            self.gaps += 1
            self.gap_s += at - self.until
            self.until = at
        self.until += seconds
        self.seconds += seconds
