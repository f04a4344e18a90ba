"""Other sample rates, for sound that comes in pieces."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
import soxr

from .silero import Samples

PASSES = 0.91
"""Of the lower Nyquist frequency: what lies below is kept (within 0.01 dB), what lies above the whole of it is gone."""
STOPS_DB, KAISER_BETA = 80.0, 7.86
"""How far it is gone, and the window that does so."""
BLOCK_S = 0.002
MOST_WEIGHTS = 1 << 20
"""Rates with no common divisor to speak of would need a matrix of many megabytes."""


class RateStream:
    """Resamples a stream piece by piece; without a gap or click between the pieces.

    What comes out lags by at most 6 ms between 16, 24 and 48 kHz, 9 at 8 kHz, 14 at 44.1 kHz. soxr's own streams, which
    work in larger blocks, lag by up to 37 ms, 114 at 8 kHz, and whoever waits for an answer waits for that.

    Example:
        >>> stream = RateStream(24_000, 16_000)
        >>> pieces = [stream.push(piece) for piece in incoming] + [stream.finish()]
    """

    def __init__(self, from_hz: int, to_hz: int) -> None:
        self._filter: Filter | None = None
        self._soxr: soxr.ResampleStream | None = None
        if from_hz != to_hz:
            self._filter = filter_between(from_hz, to_hz)
            if self._filter is None:
                self._soxr = soxr.ResampleStream(from_hz, to_hz, 1, "float32", "HQ")
            else:
                self._rest = np.zeros(self._filter.reach, np.float32)
        self._from_hz, self._to_hz = from_hz, to_hz
        self._taken = self._given = 0

    def push(self, samples: Samples) -> Samples:
        """The next samples (m,); what comes out lags a little behind."""
        if self._soxr is not None:
            return self._by_soxr(samples, last=False)
        if self._filter is None:
            return samples
        made, self._rest = self._filter.run(np.concatenate([self._rest, samples]))
        self._taken += len(samples)
        self._given += len(made)
        return made

    def finish(self) -> Samples:
        """What was held back. Nothing may be pushed afterwards."""
        if self._soxr is not None:
            return self._by_soxr(np.zeros(0, np.float32), last=True)
        if self._filter is None:
            return np.zeros(0, np.float32)
        missing = -(-self._taken * self._to_hz // self._from_hz) - self._given
        silence = np.zeros(2 * self._filter.reach + self._filter.block, np.float32)
        made, _ = self._filter.run(np.concatenate([self._rest, silence]))
        return made[:missing]

    def _by_soxr(self, samples: Samples, last: bool) -> Samples:
        assert self._soxr is not None
        out: Samples = self._soxr.resample_chunk(np.ascontiguousarray(samples), last=last)
        return out


@dataclass(frozen=True)
class Filter:
    """A low-pass at all the offsets that an output can have to the inputs around it.

    Attributes:
        block: inputs of a block; it gives a whole number of outputs.
        reach: inputs before and behind an output that it is made of.
        weights: (reach + block + reach, outputs).
    """

    block: int
    reach: int
    weights: Samples

    def run(self, samples: Samples) -> tuple[Samples, Samples]:
        """Outputs of all blocks that are whole, and the samples that the next ones need."""
        width = len(self.weights)
        count = max(0, (len(samples) - 2 * self.reach) // self.block)
        if not count:
            return np.zeros(0, np.float32), samples
        blocks = np.lib.stride_tricks.sliding_window_view(samples, width)[:: self.block][:count]
        out: Samples = (np.ascontiguousarray(blocks) @ self.weights).reshape(-1)
        return out, samples[count * self.block :].copy()


@cache
def filter_between(from_hz: int, to_hz: int) -> Filter | None:
    """The filter from one rate to another; None where it would be very large."""
    divisor = math.gcd(from_hz, to_hz)
    inputs, outputs = from_hz // divisor, to_hz // divisor
    times = max(1, round(BLOCK_S * from_hz / inputs))
    inputs, outputs = inputs * times, outputs * times
    nyquist = 0.5 * min(1.0, to_hz / from_hz)  # in cycles per input
    transition = (1 - PASSES) * nyquist
    reach = math.ceil((STOPS_DB - 8) / (2.285 * 2 * math.pi * transition) / 2)
    if (2 * reach + inputs) * outputs > MOST_WEIGHTS:
        return None
    cutoff = nyquist - transition / 2
    at = reach + np.arange(outputs) * (inputs / outputs)
    distance = np.arange(2 * reach + inputs)[:, None] - at
    window = np.i0(KAISER_BETA * np.sqrt(np.clip(1 - (distance / reach) ** 2, 0, None)))
    weights = np.sinc(2 * cutoff * distance) * window * (np.abs(distance) < reach)
    return Filter(inputs, reach, (weights / weights.sum(axis=0)).astype(np.float32))


def resampled(samples: Samples, from_hz: int, to_hz: int) -> Samples:
    """A whole recording at another rate."""
    if from_hz == to_hz or not len(samples):
        return samples
    out: Samples = soxr.resample(samples, from_hz, to_hz, "HQ")
    return out
