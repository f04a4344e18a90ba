"""A callback for speech in a thread of its own, so that one that plays in real time delays nothing."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

OnAudio = Callable[[NDArray[np.float32]], None]
"""Takes the next samples (m,) of speech."""

MOST_WAITING_SAMPLES = 60 * 24_000
"""What waits for a slow callback: a minute at the highest usual rate, 6 MB. Then no more is made until it is taken."""
PATIENCE_SECONDS = 0.1
"""A single call that lasts longer is one that plays; nobody waits for its end."""


class Playback:
    """Hands samples to ``on_audio``, one call at a time, from a thread that ends with the last of them."""

    def __init__(self, on_audio: OnAudio) -> None:
        self._on_audio = on_audio
        self._waiting: deque[NDArray[np.float32]] = deque()
        self._samples = 0
        self._ended = self._calling = False
        self._calls = 0
        self._error: BaseException | None = None
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    @property
    def has_room(self) -> bool:
        """More may be made."""
        return self._samples < MOST_WAITING_SAMPLES

    def put(self, samples: NDArray[np.float32]) -> None:
        """Samples to be heard after those before. Raises what the callback raised."""
        self._raise()
        with self._changed:
            self._waiting.append(samples)
            self._samples += len(samples)
            self._changed.notify_all()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="muomni playback")
            self._thread.start()

    def wait_for_room(self) -> None:
        """Wait until something has been taken. Raises what the callback raised."""
        with self._changed:
            self._changed.wait_for(lambda: self.has_room or self._error is not None)
        self._raise()

    def finish(self) -> None:
        """No more samples come. Waits until all of them have been handed over, but not for a callback that plays.

        Raises what the callback raised until then; an error after that ends the thread and is reported by it.
        """
        with self._changed:
            self._ended = True
            self._changed.notify_all()
            while self._thread is not None and not self._over():
                if not self._changed.wait_for(partial(self._moved_on, self._calls), PATIENCE_SECONDS):
                    break
        self._raise()

    def stop(self) -> None:
        """Forget what has not been handed over."""
        with self._changed:
            self._ended = True
            self._waiting.clear()
            self._samples = 0
            self._changed.notify_all()

    def _moved_on(self, calls: int) -> bool:
        return self._over() or self._calls > calls

    def _over(self) -> bool:
        return self._error is not None or (self._ended and not self._waiting and not self._calling)

    def _raise(self) -> None:
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._ended)
                if not self._waiting:
                    return
                samples = self._waiting.popleft()
                self._samples -= len(samples)
                self._calling = True
                self._calls += 1
                self._changed.notify_all()
            try:
                self._on_audio(samples)
            except BaseException as error:
                with self._changed:
                    self._error, self._calling = error, False
                    self._waiting.clear()
                    self._changed.notify_all()
                return
            with self._changed:
                self._calling = False
                self._changed.notify_all()
