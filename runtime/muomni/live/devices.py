"""Microphone and loudspeaker of this machine, by PortAudio. It is loaded when the first is opened."""

from __future__ import annotations

import queue
import threading
from collections import deque
from types import TracebackType
from typing import Any

import numpy as np

from muomni.errors import MissingPackageError, UsageError

from .rate import RateStream
from .silero import Samples
from .turns import RATE_HZ

BLOCK_SECONDS = 0.02


def import_sounddevice() -> Any:
    """The module that talks to PortAudio.

    Raises:
        MissingPackageError: it, or PortAudio itself, is not installed; the message holds the install line.
    """
    try:
        import sounddevice
    except ImportError as error:
        raise MissingPackageError(
            'microphone and loudspeaker need more packages; install them with\n  pip install "muomni[live]"'
        ) from error
    except OSError as error:  # the package is there, the library that it binds is not
        raise MissingPackageError(
            "microphone and loudspeaker need the library PortAudio; install it with\n"
            "  sudo apt-get install libportaudio2     (Debian, Ubuntu)\n"
            "  sudo dnf install portaudio             (Fedora)\n"
            "  brew install portaudio                 (macOS)"
        ) from error
    return sounddevice


class Microphone:
    """What is said, as it is said: samples at 16 kHz, in pieces of 20 ms.

    Raises (when entered):
        MissingPackageError: see :func:`import_sounddevice`.
        UsageError: there is no microphone, or it cannot be used.

    Example:
        >>> with Microphone() as microphone:
        ...     for samples in microphone: ...
    """

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Samples | None] = queue.SimpleQueue()

    def __enter__(self) -> Microphone:
        sounddevice = import_sounddevice()
        try:
            rate = int(sounddevice.query_devices(kind="input")["default_samplerate"])
            self._rate = RateStream(rate, RATE_HZ)
            self._stream = sounddevice.InputStream(
                samplerate=rate,
                channels=1,
                dtype="float32",
                blocksize=int(rate * BLOCK_SECONDS),
                latency="low",
                callback=self._take,
            )
            self._stream.start()
        except (sounddevice.PortAudioError, ValueError) as error:
            raise UsageError(f"the microphone cannot be used: {error}") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stream.close()
        self._queue.put(None)

    def __iter__(self) -> Microphone:
        return self

    def __next__(self) -> Samples:
        samples = self._queue.get()
        if samples is None:
            raise StopIteration
        return self._rate.push(samples)

    def _take(self, samples: Samples, frames: int, time: object, status: object) -> None:
        self._queue.put(samples[:, 0].copy())


class Loudspeaker:
    """Plays samples one after the other, and knows what has been heard.

    Raises (when made):
        MissingPackageError: see :func:`import_sounddevice`.
        UsageError: there is no loudspeaker, or it cannot be used.

    Example:
        >>> loudspeaker = Loudspeaker(16_000)
        >>> omni.speak("Hello!", on_audio=loudspeaker.play)
        >>> loudspeaker.wait()
    """

    def __init__(self, rate_hz: int) -> None:
        self.rate_hz = rate_hz
        self._waiting: deque[Samples] = deque()
        self._played = 0
        self._changed = threading.Condition()
        sounddevice = import_sounddevice()
        try:
            self._stream = sounddevice.OutputStream(
                samplerate=rate_hz, channels=1, dtype="float32", latency="low", callback=self._give
            )
            self._stream.start()
        except (sounddevice.PortAudioError, ValueError) as error:
            raise UsageError(f"the loudspeaker cannot be used: {error}") from error

    @property
    def playing(self) -> bool:
        """Something is heard, or about to be."""
        return bool(self._waiting)

    def play(self, samples: Samples) -> None:
        """Samples (m,) to be heard after those before; it does not wait."""
        with self._changed:
            self._waiting.append(np.asarray(samples, np.float32))

    def stop(self) -> float:
        """Silence, at once; the milliseconds that were heard since the last time."""
        with self._changed:
            self._waiting.clear()
            played, self._played = self._played, 0
            self._changed.notify_all()
        # What the device has taken already is still to be heard, and counts as heard.
        return played / self.rate_hz * 1000

    def wait(self) -> None:
        """Until all has been heard."""
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting)
        sounddevice = import_sounddevice()
        sounddevice.sleep(int(self._stream.latency * 1000))

    def close(self) -> None:
        """Give the device back."""
        self._stream.close()

    def _give(self, out: Samples, frames: int, time: object, status: object) -> None:
        """Called by PortAudio's thread."""
        out.fill(0)
        at = 0
        with self._changed:
            while at < frames and self._waiting:
                piece = self._waiting.popleft()
                taken = piece[: frames - at]
                out[at : at + len(taken), 0] = taken
                at += len(taken)
                if len(taken) < len(piece):
                    self._waiting.appendleft(piece[len(taken) :])
            self._played += at
            if not self._waiting:
                self._changed.notify_all()
