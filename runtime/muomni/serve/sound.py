"""Speech as clients want it: another rate, 16-bit PCM."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from muomni.live.rate import RateStream

PCM_RATE_HZ = 24_000
"""Of raw PCM in OpenAI's interfaces, which name no rate."""
FULL_SCALE = 32767


def pcm16(samples: NDArray[np.float32]) -> bytes:
    """Samples (n,) in -1…1 as little-endian 16-bit PCM; what lies outside is clipped."""
    return np.rint(np.clip(samples, -1.0, 1.0) * FULL_SCALE).astype("<i2").tobytes()


class PcmChunks:
    """Speech as PCM16 at :data:`PCM_RATE_HZ`, in chunks of whole base64 groups.

    The official clients join base64 strings as they are. A chunk of a multiple of 3 bytes needs no padding, and one
    of 6 cuts no sample; only the last may have another length.
    """

    def __init__(self, rate_hz: int, chunk_bytes: int = 6) -> None:
        self._rate = RateStream(rate_hz, PCM_RATE_HZ)
        self._chunk_bytes, self._rest = chunk_bytes, b""

    def feed(self, samples: NDArray[np.float32]) -> bytes:
        data = self._rest + pcm16(self._rate.push(samples))
        whole = len(data) - len(data) % self._chunk_bytes
        self._rest = data[whole:]
        return data[:whole]

    def finish(self) -> bytes:
        return self._rest + pcm16(self._rate.finish())

    def close(self) -> None:
        """Nothing is held."""
