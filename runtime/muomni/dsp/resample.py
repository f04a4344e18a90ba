"""Change the sample rate of a signal: band-limited interpolation with a Hann-windowed sinc.

The formula is that of J. O. Smith, "Digital Audio Resampling" (https://ccrma.stanford.edu/~jos/resample/),
with the two constants that ``torchaudio.functional.resample`` (``sinc_interp_hann``) defaults to. Models of
this kind were trained on audio resampled that way, so the filter is part of the model, not a matter of taste.

Output sample j lies at input time ``c = j * from / to`` and is::

    y[j] = sum_k x[k] * s * sinc(s * (k - c)) * cos(pi/2 * s * (k - c) / W)**2     for s * |k - c| < W
    s = ROLLOFF * min(from, to) / from,  W = LOWPASS_WIDTH

with x zero outside its ends. With the rates divided by their common divisor, ``c`` takes only ``to`` different
fractions (phases), and outputs of one phase lie ``from`` inputs apart: they are one matrix product.
"""

from __future__ import annotations

import math
import operator

import numpy as np
import numpy.typing as npt

from muomni.errors import InputError

LONGEST_FLOAT32_PERIOD = 1000
"""Inputs or outputs until the phases repeat: 441 for 22,050 and 44,100 Hz, 3 for 48,000 Hz."""

LOWPASS_WIDTH = 6
"""Zero crossings of the sinc kept on each side of the centre."""

ROLLOFF = 0.99
"""Cut-off as a fraction of the lower of the two Nyquist frequencies."""

BLOCK_ELEMENTS = 1 << 20
"""Input elements gathered for one matrix product: 4 MiB of float32, which stays near the cache."""

MIN_PHASES = 16
"""Phases per matrix product at least; fewer would spend the time in Python (rates like 22051 → 16000)."""


def output_length(samples: int, from_hz: int, to_hz: int) -> int:
    """Length of ``resample``'s result: ``ceil(samples * to_hz / from_hz)``, exact for any size."""
    return -(-samples * to_hz // from_hz)


def resample(samples: npt.NDArray[np.floating], from_hz: int, to_hz: int) -> npt.NDArray[np.float32]:
    """Samples (n,) at ``from_hz`` -> float32 (ceil(n * to_hz / from_hz),) at ``to_hz``.

    Rates are whole numbers of Hz above zero. Equal rates give a float32 copy. The phases are worked through in
    chunks with only the inputs that such a chunk reaches, so rates without a common divisor (22051 → 16000)
    need no table of ``to * from`` weights. Raises ``InputError`` for another shape or rate.
    """
    from_hz, to_hz = _rate("from_hz", from_hz), _rate("to_hz", to_hz)
    signal = np.asarray(samples, dtype=np.float32)
    if signal.ndim != 1:
        raise InputError(
            f"resample: expected samples of shape (n,), got {signal.shape}; average the channels first"
        )
    if from_hz == to_hz or signal.size == 0:
        return signal.copy()
    divisor = math.gcd(from_hz, to_hz)
    step, phases = from_hz // divisor, to_hz // divisor  # inputs and outputs per period

    length = output_length(signal.size, from_hz, to_hz)
    periods = -(-length // phases)
    output = np.empty((periods, phases), dtype=np.float32)
    scale = ROLLOFF * min(step, phases) / step
    reach = math.ceil(LOWPASS_WIDTH / scale)  # no input farther than this from an output's time has weight
    # A chunk that spans as many inputs as the filter is wide wastes at most half of its products on zeros.
    chunk = max(MIN_PHASES, 2 * reach * phases // step)
    used = min(phases, length)  # of a signal shorter than one period, the later phases are never read
    for first in range(0, used, chunk):
        stop = min(first + chunk, used)
        low = first * step // phases - reach
        high = (stop - 1) * step // phases + reach + 2
        weights = _weights(first, stop, low, high, step, phases, scale)
        rows = max(1, BLOCK_ELEMENTS // (high - low))
        for row in range(0, periods, rows):
            last = min(row + rows, periods)
            # Contiguous, because BLAS refuses rows that overlap and numpy's own loop is ten times slower.
            inputs = np.ascontiguousarray(_windows(signal, row, last, step, low, high))
            output[row:last, first:stop] = inputs @ weights
    return output.reshape(-1)[:length].copy()


def _weights(
    first: int, stop: int, low: int, high: int, step: int, phases: int, scale: float
) -> npt.NDArray[np.float32]:
    """Filter weights (high - low, stop - first) of inputs ``low…high`` for the outputs ``first…stop``.

    Times are in periods. They are computed as the resampler does that models of this kind were trained with:
    in float32, which is off by 1e-5 of a zero crossing at ordinary rates. That is 100 dB below the signal, and
    still 0.4 % of a mel bin that lies 60 dB below the loudest. At rates with a long period float32 would be
    heard, and float64 is right.
    """
    dtype: type[np.floating] = np.float32 if max(step, phases) <= LONGEST_FLOAT32_PERIOD else np.float64
    outputs: npt.NDArray[np.floating] = np.arange(first, stop, dtype=dtype) / dtype(phases)
    inputs: npt.NDArray[np.floating] = np.arange(low, high, dtype=dtype) / dtype(step)
    distance = (inputs[:, None] - outputs[None, :]) * dtype(scale * step)  # in zero crossings of the sinc
    distance = distance.clip(-LOWPASS_WIDTH, LOWPASS_WIDTH)
    hann = np.cos(distance * dtype(math.pi) / dtype(LOWPASS_WIDTH) / dtype(2)) ** 2
    angle = distance * dtype(math.pi)
    sinc = np.divide(np.sin(angle), angle, out=np.ones_like(angle), where=angle != 0)
    weights: npt.NDArray[np.float32] = (sinc * hann * dtype(scale)).astype(np.float32)
    return weights


def _windows(
    signal: npt.NDArray[np.float32], row: int, last: int, step: int, low: int, high: int
) -> npt.NDArray[np.float32]:
    """View (last - row, high - low): row r holds inputs ``r * step + low`` to ``r * step + high``, 0 outside."""
    begin, end = row * step + low, (last - 1) * step + high
    segment = signal[max(begin, 0) : max(min(end, signal.size), 0)]
    if segment.size < end - begin:  # only the blocks at the ends are copied, never the whole signal
        before = min(max(-begin, 0), end - begin - segment.size)
        segment = np.pad(segment, (before, end - begin - segment.size - before))
    return np.lib.stride_tricks.sliding_window_view(segment, high - low)[::step]


def _rate(name: str, value: int) -> int:
    try:
        rate = operator.index(value)
    except TypeError:
        rate = 0
    if rate < 1:
        raise InputError(f"resample: expected {name} to be a whole number of Hz above 0, got {value!r}")
    return rate
