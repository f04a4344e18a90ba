"""Which option applies in which mode of ``muomni-run``. One that does not apply is refused, never ignored."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Literal

import click
import typer
from click.core import ParameterSource

from muomni.errors import InputError

Mode = Literal["ask", "chat", "batch", "cluster", "say", "listen"]

EVERY: tuple[Mode, ...] = ("ask", "chat", "batch", "cluster", "say", "listen")
GENERATING: tuple[Mode, ...] = ("ask", "chat", "batch", "cluster", "listen")
SPEAKING: tuple[Mode, ...] = ("ask", "chat", "say")
QUESTION = ("text", "image", "audio_in", "video")
"""One of these makes it a question; without any, a chat starts."""

ASKING: tuple[Mode, ...] = ("ask",)
BATCHING: tuple[Mode, ...] = ("batch", "cluster")
CLUSTER: tuple[Mode, ...] = ("cluster",)
SAYING: tuple[Mode, ...] = ("say",)
LISTENING: tuple[Mode, ...] = ("listen",)

APPLIES: Mapping[str, tuple[Mode, ...]] = {
    **dict.fromkeys((*QUESTION, "ocr", "prompt"), ASKING),
    "video_frames": ("ask", *BATCHING),
    **dict.fromkeys(("max_new_tokens", "temperature", "top_k", "top_p"), GENERATING),
    **dict.fromkeys(("repetition_penalty", "stop", "truncate"), GENERATING),
    "json_schema": ("ask", "chat", "batch"),
    "audio_out": (*SPEAKING, "cluster"),
    **dict.fromkeys(("play", "as_json"), SPEAKING),
    **dict.fromkeys(("speech_temperature", "speed"), (*SPEAKING, "cluster", "listen")),
    "speech_frames": ("ask", "chat", "cluster", "listen"),
    **dict.fromkeys(("listen", "headphones"), LISTENING),
    "say": SAYING,
    **dict.fromkeys(("batch", "out", "slots", "rows"), BATCHING),
    **dict.fromkeys(("ray", "actors", "parquet"), CLUSTER),
    **dict.fromkeys(("seed", "model", "device", "threads", "quiet", "debug", "version"), EVERY),
}

NEEDS: Mapping[tuple[Mode, str], Collection[str]] = {
    ("ask", "ocr"): ("image",),
    ("ask", "prompt"): ("image", "audio_in", "video"),
    ("ask", "video_frames"): ("video",),
    **{
        (mode, name): ("audio_out", "play")
        for mode in ("ask", "chat")
        for name in ("speech_temperature", "speed", "speech_frames")
    },
    ("say", "say"): ("audio_out", "play"),
    **{("cluster", name): ("audio_out",) for name in ("speech_temperature", "speed", "speech_frames")},
    ("batch", "batch"): ("out",),
    ("cluster", "batch"): ("out",),
}
"""What an option needs beside it, in a mode: at least one of these."""

TOGETHER: Collection[tuple[str, str, str]] = (
    ("prompt", "text", "--prompt is the question for media without --text: give one of them"),
    ("slots", "rows", "--rows is the former name of --slots: give one of them"),
)
"""Pairs that exclude each other."""


def mode_of(context: typer.Context) -> Mode:
    """The mode that the options on the command line ask for.

    Raises:
        InputError: an option that does not apply in it, or lacks what it needs.
    """
    given = {
        parameter.name: parameter.opts[0]
        for parameter in context.command.params
        if parameter.name and context.get_parameter_source(parameter.name) is ParameterSource.COMMANDLINE
    }
    mode: Mode = "chat"
    if "listen" in given:
        mode = "listen"
    elif "say" in given:
        mode = "say"
    elif "batch" in given:
        mode = "cluster" if "ray" in given else "batch"
    elif any(name in given for name in QUESTION):
        mode = "ask"
    if misplaced := [name for name in given if mode not in APPLIES[name]]:
        raise InputError(_why(mode, misplaced, given))
    for name, option in given.items():
        needed = NEEDS.get((mode, name))
        if needed and not any(other in given for other in needed):
            raise InputError(f"{option} needs {' or '.join(_spelled(context, needed))} beside it")
    for one, other, why in TOGETHER:
        if one in given and other in given:
            raise InputError(why)
    return mode


def refuse_without_effect(options: Mapping[str, Any]) -> None:
    """Refuse what narrows a draw where nothing is drawn.

    Raises:
        InputError: top_k or top_p with a temperature of 0.
    """
    if options["temperature"] == 0:
        for option, off in (("top_k", 0), ("top_p", 1)):
            if options[option] != off:
                name = option.replace("_", "-")
                raise InputError(f"--{name} narrows what is drawn, and nothing is: add --temperature 1")


def _why(mode: Mode, misplaced: Collection[str], given: Mapping[str, str]) -> str:
    options = ", ".join(given[name] for name in misplaced)
    if mode == "say":
        return f"--say speaks its own text and asks nothing: leave out {options}"
    if mode == "batch" and all(APPLIES[name] == CLUSTER for name in misplaced):
        return f"{options}: only with --ray"
    if mode in BATCHING:
        return f"--batch takes its questions from the file, and writes JSON to --out: leave out {options}"
    if mode == "listen":
        return f"--listen takes its questions from the microphone, and answers aloud: leave out {options}"
    if all(APPLIES[name] == LISTENING for name in misplaced):
        return f"{options}: only with --listen"
    if all(APPLIES[name] == BATCHING for name in misplaced):
        return f"{options}: only with --batch FILE"
    needed = {"video_frames": "--video", "ocr": "--image"}
    media = next((needed[name] for name in misplaced if name in needed), "--image, --audio-in or --video")
    return (
        f"{options}: only with a question about media, and without --text or media a chat starts: add {media}"
    )


def _spelled(context: typer.Context, names: Collection[str]) -> list[str]:
    parameters: dict[str | None, click.Parameter] = {p.name: p for p in context.command.params}
    return [parameters[name].opts[0] for name in names]
