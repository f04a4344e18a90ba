"""``--say``: a text into a WAV file or the loudspeaker, as it is."""

from __future__ import annotations

from pathlib import Path

from muomni.errors import InputError
from muomni.jsonl.replies import speech_object
from muomni.requests import SpeechOptions

from .console import device_line
from .player import player_of
from .session import Session
from .speech_file import SpeechFile
from .streams import check_inputs, text_of


def say_text(session: Session, text: str, options: SpeechOptions, audio_out: Path | None, play: bool) -> None:
    """Speak ``text`` into ``audio_out``, where ``-`` is stdout, and aloud with ``play``; a text ``-`` is stdin.

    Raises:
        InputError: there is nothing to speak.
    """
    if text == "-":
        check_inputs([("--say", text)])
    target = None
    if audio_out is not None:
        target = SpeechFile(audio_out)
        target.check(session.as_json)
        session = session.speaking_to(target)
    text = text_of("--say", text)
    if not text.strip():
        raise InputError("--say: the text is empty")
    omni = session.load(one_request=True)
    with player_of(omni, play) as playing:
        speech = omni.speak(
            text, temperature=options.temperature, seed=options.seed, speed=options.speed, **playing
        )
    place = None if target is None else target.write(speech, session.console)
    if session.as_json:
        session.console.answer_json(speech_object(speech, place))
    for note in speech.notes:
        session.console.note(f"note: {note}")
    session.console.note(device_line(session.device, omni.providers, omni.threads))
