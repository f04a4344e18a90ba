"""A text that is spoken as it is, without a question."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from muomni.errors import InputError
from muomni.models.registry import Models
from muomni.replies import Speech
from muomni.requests import SpeechOptions

from .playback import OnAudio, Playback
from .speaking import SpeechStream
from .timings import Timings

FRAMES_PER_STEP = 8


def say(
    models: Models, text: str | Iterable[str], options: SpeechOptions, on_audio: OnAudio | None = None
) -> Speech:
    """Speak a text, which may come in pieces: one is taken when what is decided by those before has been made.

    Args:
        on_audio: called with samples in a thread of its own, see :meth:`muomni.Omni.speak`.

    Raises:
        InputError: no text, or nothing in it can be spoken.
        StageError: the bundle cannot speak.
    """
    coming = _pieces(text)
    speech = SpeechStream(models, options, Timings())
    playback = None if on_audio is None else Playback(on_audio)
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
    spoken = speech.result()
    if not len(spoken.samples):
        raise InputError("there is nothing in the text that can be spoken; give words or numbers")
    return spoken


def _pieces(text: object) -> Iterator[str]:
    """The pieces of a text, each checked as it comes."""
    if isinstance(text, (bytes, bytearray)) or not isinstance(text, Iterable):
        raise InputError(f"text: expected text (str) or pieces of it, got {type(text).__name__}")
    return map(_checked_piece, [text] if isinstance(text, str) else text)


def _checked_piece(piece: object) -> str:
    if not isinstance(piece, str):
        raise InputError(f"text: expected pieces of text (str), got {type(piece).__name__}")
    return piece
