"""Other sample rates, for sound that comes in pieces."""

from __future__ import annotations

import numpy as np
import soxr

from .silero import Samples


class RateStream:
    """Resamples a stream piece by piece; without a gap or click between the pieces.

    Example:
        >>> stream = RateStream(24_000, 16_000)
        >>> pieces = [stream.push(piece) for piece in incoming] + [stream.finish()]
    """

    def __init__(self, from_hz: int, to_hz: int) -> None:
        # "HQ" holds back 20 ms; "QQ" and "LQ" less, and are heard.
        self._stream = None if from_hz == to_hz else soxr.ResampleStream(from_hz, to_hz, 1, "float32", "HQ")

    def push(self, samples: Samples) -> Samples:
        """The next samples (m,); what comes out lags a little behind."""
        return samples if self._stream is None else self._run(samples, last=False)

    def finish(self) -> Samples:
        """What was held back. Nothing may be pushed afterwards."""
        nothing = np.zeros(0, np.float32)
        return nothing if self._stream is None else self._run(nothing, last=True)

    def _run(self, samples: Samples, last: bool) -> Samples:
        assert self._stream is not None
        out: Samples = self._stream.resample_chunk(np.ascontiguousarray(samples), last=last)
        return out


def resampled(samples: Samples, from_hz: int, to_hz: int) -> Samples:
    """A whole recording at another rate."""
    if from_hz == to_hz or not len(samples):
        return samples
    out: Samples = soxr.resample(samples, from_hz, to_hz, "HQ")
    return out
