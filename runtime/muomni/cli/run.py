"""``muomni-run``: ask a bundle one thing, chat with it, answer a file of requests, or speak a text."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated

import click
import typer

from .common import OnceCommand, new_app, reporting, start, version_option
from .console import Console
from .modes import mode_of, refuse_without_effect
from .options import (
    Actors,
    AsJson,
    AudioIn,
    AudioOut,
    Batch,
    Debug,
    Device,
    Headphones,
    Image,
    JsonSchema,
    Listen,
    MaxNewTokens,
    Model,
    Ocr,
    Out,
    Parquet,
    Play,
    Prompt,
    Quiet,
    Ray,
    RepetitionPenalty,
    Rows,
    Say,
    Seed,
    Slots,
    SpeechFrames,
    SpeechTemperature,
    Speed,
    Stop,
    Temperature,
    Text,
    Threads,
    TopK,
    TopP,
    Truncate,
    Video,
    VideoFrames,
)

COMMAND = "muomni-run"

app = new_app()


class RunCommand(OnceCommand):
    """A command whose ``--ray`` may stand without an address, which Typer has no word for."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        for place, argument in enumerate(args):
            if argument == "--ray" and (place + 1 == len(args) or args[place + 1].startswith("-")):
                args = [*args[:place], "--ray=", *args[place + 1 :]]
        return super().parse_args(ctx, args)


@app.command(cls=RunCommand)
def run(
    context: typer.Context,
    model: Model = None,
    text: Text = None,
    image: Image = None,
    audio_in: AudioIn = None,
    video: Video = None,
    ocr: Ocr = False,
    say: Say = None,
    audio_out: AudioOut = None,
    play: Play = False,
    listen: Listen = False,
    headphones: Headphones = False,
    prompt: Prompt = None,
    max_new_tokens: MaxNewTokens = 64,
    temperature: Temperature = 0.0,
    top_k: TopK = 0,
    top_p: TopP = 1.0,
    repetition_penalty: RepetitionPenalty = 1.0,
    seed: Seed = None,
    stop: Stop = None,
    json_schema: JsonSchema = None,
    speech_temperature: SpeechTemperature = None,
    speech_frames: SpeechFrames = None,
    speed: Speed = 1.0,
    video_frames: VideoFrames = None,
    device: Device = "auto",
    threads: Threads = None,
    truncate: Truncate = False,
    batch: Batch = None,
    out: Out = None,
    slots: Slots = 16,
    rows: Rows = None,
    ray: Ray = None,
    actors: Actors = None,
    parquet: Parquet = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
    debug: Debug = False,
    version: Annotated[
        bool,
        typer.Option("--version", callback=version_option(COMMAND), is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Ask a μOmni model about text, images, audio and video; without any of them, chat.

    The answer goes to stdout, everything else to stderr. Where a file is named, - is stdin or stdout.
    """
    console = Console(COMMAND, quiet)
    with reporting(console, debug):
        mode = mode_of(context)

        from muomni.requests import RequestOptions, as_request

        from .session import Session

        options: RequestOptions = {
            "max_new_tokens": max_new_tokens,
            "temperature": temperature,
            "top_k": top_k,
            "top_p": top_p,
            "repetition_penalty": repetition_penalty,
            "seed": seed,
            "stop": stop or [],
            "truncate": truncate,
            "video_frames": video_frames,
        }
        if json_schema is not None:
            from .requests_file import schema_in

            options["grammar"] = schema_in(json_schema)
        session = Session(console, model, device, threads, as_json)
        if batch is not None and out is not None and ray is None:
            from .batch import answer_file

            as_request(**options)
            raise typer.Exit(answer_file(session, batch, out, rows or slots, options))

        options["speech"] = audio_out is not None or play or listen
        options["speech_temperature"] = speech_temperature
        options["speech_frames"] = speech_frames
        options["speech_speed"] = speed
        if batch is not None and out is not None:
            from .cluster import answer_on_cluster

            as_request(**options)
            pool = (rows or slots, actors, parquet)
            raise typer.Exit(answer_on_cluster(session, batch, out, ray or None, pool, options, audio_out))

        checked = as_request(**options)  # a value out of range is found before anything is read or loaded
        refuse_without_effect(options)
        if mode == "listen":
            from .listen import listen as start_listening

            start_listening(session, checked, headphones)
        elif say is not None and checked.speech is not None:
            from .say import say_text

            say_text(session, say, checked.speech, audio_out, play)
        elif mode == "chat":
            from .chat import start_chat

            raise typer.Exit(start_chat(session, partial(as_request, **options), audio_out, play))
        else:
            from .ask import ask

            options["prompt"], options["ocr"] = prompt, ocr
            ask(session, text, image or (), audio_in, video, options, audio_out, play)


def main(arguments: Sequence[str] | None = None) -> None:
    """The console script."""
    start(app, COMMAND, arguments)


if __name__ == "__main__":
    main()
