"""Speech in the formats of sound files."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from muomni.media.wav import wav_bytes
from muomni.serve.errors import ApiError
from muomni.serve.sound import PCM_RATE_HZ, RateChanger, pcm16


def encoded(samples: NDArray[np.float32], rate_hz: int, kind: str) -> bytes:
    """Samples (n,) as a whole file."""
    if kind == "wav":
        return wav_bytes(np.clip(samples, -1, 1), rate_hz)
    if kind in ("pcm", "pcm16"):
        changer = RateChanger(rate_hz, PCM_RATE_HZ)
        return pcm16(np.concatenate([changer.feed(samples), changer.finish()]))
    raise ApiError(f"{kind}: not supported")
