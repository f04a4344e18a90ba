"""One question, one reply."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import typer

from muomni.jsonl.replies import reply_object
from muomni.requests import RequestOptions, as_request

from .common import EXIT_FAILED
from .console import device_line, is_terminal
from .player import player_of
from .session import Session
from .speech_file import SpeechFile
from .streams import check_inputs, media_of, text_of


def ask(
    session: Session,
    text: str | None,
    images: Sequence[Path],
    audio: Path | None,
    video: Path | None,
    options: RequestOptions,
    audio_out: Path | None,
    play: bool,
) -> None:
    """Answer on stdout, and speak into ``audio_out``, and aloud with ``play``; ``-`` is stdin or stdout.

    Raises:
        typer.Exit: the speech that was asked for could not be made.
    """
    named = [("--image", image) for image in images]
    named += [("--audio-in", audio)] if audio is not None else []
    named += [("--video", video)] if video is not None else []
    check_inputs([*named, *([("--text", text)] if text == "-" else [])])
    target = None
    if audio_out is not None:
        target = SpeechFile(audio_out)
        target.check(session.as_json, inputs=[path for _, path in named])
        session = session.speaking_to(target)
    options = {**options, "images": [media_of("--image", image) for image in images]}
    if audio is not None:
        options["audio"] = media_of("--audio-in", audio)
    if video is not None:
        options["video"] = media_of("--video", video)
    request = as_request(None if text is None else text_of("--text", text), **options)
    console = session.console
    streaming = not session.as_json and is_terminal(sys.stdout)
    omni = session.load(one_request=True)
    with player_of(omni, play) as playing:
        reply = omni.generate(request, on_text=console.stream if streaming else None, **playing)
    if streaming:
        console.answer("")
    place = target.write(reply.speech, console) if target is not None and reply.speech is not None else None
    if session.as_json:
        console.answer_json(reply_object(reply, place))
    elif not streaming:
        console.answer(reply.text)
    console.notes_of(reply)
    console.note(device_line(session.device, reply.providers, omni.threads))
    if target is not None and place is None:
        console.error(f"{target.path}: not written, because no speech was made")
        raise typer.Exit(EXIT_FAILED)
