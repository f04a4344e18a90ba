"""A text that is spoken as it is, without a question."""

from __future__ import annotations

from collections.abc import Iterable

from muomni.models.registry import Models
from muomni.replies import Speech
from muomni.requests import SpeechOptions

from .playback import OnAudio, Playback
from .speaking import SpeechStream
from .timings import Timings

FRAMES_PER_STEP = 8


def say(
    models: Models, pieces: Iterable[str], options: SpeechOptions, on_audio: OnAudio | None = None
) -> Speech:
    """Speak a text that comes in pieces; a piece is taken when what is decided by those before has been made.

    Args:
        on_audio: called with samples in a thread of its own, see :meth:`muomni.Omni.speak`.

    Raises:
        StageError: the bundle cannot speak.
    """
    speech = SpeechStream(models, options, Timings())
    playback = None if on_audio is None else Playback(on_audio)
    coming = iter(pieces)
    try:
        while not speech.over:
            if playback is not None and not playback.has_room:
                playback.wait_for_room()
            before = speech.frames
            samples = speech.step(FRAMES_PER_STEP)
            if len(samples) and playback is not None:
                playback.put(samples)
            if speech.frames == before and not speech.over:  # what comes next decides the next frame
                piece = next(coming, None)
                if piece is None:
                    speech.finish()
                else:
                    speech.push(piece)
        if playback is not None:
            playback.finish()
    except BaseException:
        if playback is not None:
            playback.stop()
        raise
    return speech.result()
