"""What the simulated people say: a recording in frames of a microphone, and the quiet of a room."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from muomni.live.rate import resampled

from .websocket import event_frame

RATE_HZ = 24_000
RECORDINGS = Path(__file__).parents[2] / "checkpoints" / "demo" / "samples"
ROOM = 1e-3
"""Of full scale: -60 dB of noise. Digital silence would be cheaper to judge than any microphone's."""
ROOM_S = 2.0


@dataclass(frozen=True)
class Said:
    """Frames of one recording, and of the room's noise, which goes round; each a client event, ready to be written.

    Attributes:
        frame_s: seconds of a frame.
        speech_s: of the recording.
    """

    speech: list[bytes]
    room: list[bytes]
    frame_s: float
    speech_s: float


def said(recording: Path, frame_ms: int, seed: int = 0) -> Said:
    """Read a recording.

    Args:
        frame_ms: of one frame; the page of ``muomni-serve`` sends 20.
    """
    samples, rate = soundfile.read(recording, dtype="float32", always_2d=True)
    speech = resampled(np.ascontiguousarray(samples[:, 0]), rate, RATE_HZ)
    size = RATE_HZ * frame_ms // 1000
    speech = np.pad(speech, (0, -len(speech) % size))
    draw = np.random.default_rng(seed)

    def noisy(quiet: NDArray[np.float32]) -> NDArray[np.float32]:
        return quiet + ROOM * draw.standard_normal(len(quiet)).astype(np.float32)

    room = np.zeros(int(ROOM_S * RATE_HZ) // size * size, np.float32)
    return Said(
        _frames(noisy(speech), size), _frames(noisy(room), size), frame_ms / 1000, len(speech) / RATE_HZ
    )


def _frames(samples: NDArray[np.float32], size: int) -> list[bytes]:
    pcm = np.rint(np.clip(samples, -1, 1) * 32767).astype("<i2")
    return [
        event_frame(
            {
                "type": "input_audio_buffer.append",
                "audio": base64.b64encode(pcm[at : at + size].tobytes()).decode(),
            }
        )
        for at in range(0, len(pcm), size)
    ]
