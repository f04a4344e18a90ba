"""``muomni-run``: ask a bundle one thing, or chat with it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from muomni.bundle.demo import demo_bundle
from muomni.errors import InputError

from .common import new_app, reporting, start, version_option
from .console import Console, device_line, is_terminal, reply_object, speech_object

if TYPE_CHECKING:
    from muomni import Reply

COMMAND = "muomni-run"
BATCH_ALONE = "--batch takes its questions from the file: leave out"
NO_QUESTION = "goes with a question: add --text, --image, --audio-in or --video (without them, a chat starts)"

app = new_app()


@app.command()
def run(
    model: Annotated[
        Path | None,
        typer.Option(
            "--model",
            "--ckpt_dir",
            metavar="BUNDLE",
            envvar="MUOMNI_MODEL",
            help="Folder that muomni-export made; by default the demo that comes with muomni.",
        ),
    ] = None,
    text: Annotated[str | None, typer.Option(metavar="TEXT", help="Question or instruction.")] = None,
    image: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="Image to look at; may be given several times.")
    ] = None,
    audio_in: Annotated[
        Path | None, typer.Option("--audio-in", "--audio_in", metavar="FILE", help="Recording to listen to.")
    ] = None,
    video: Annotated[Path | None, typer.Option(metavar="FILE", help="Video to watch.")] = None,
    say: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="Speak this text as it is, into --audio-out; nothing is asked."),
    ] = None,
    audio_out: Annotated[
        Path | None,
        typer.Option("--audio-out", "--audio_out", metavar="FILE", help="Speak as well, into this WAV file."),
    ] = None,
    prompt: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="Question for media without --text, in place of the default one."),
    ] = None,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Longest reply, in tokens.")] = 64,
    temperature: Annotated[
        float, typer.Option(help="0 takes the likeliest token; above, tokens are drawn.")
    ] = 0.0,
    top_k: Annotated[int, typer.Option(min=0, help="Draw from the k likeliest tokens; 0 is all.")] = 0,
    top_p: Annotated[
        float, typer.Option(help="Draw from the likeliest tokens that together reach p; 1 is all.")
    ] = 1.0,
    repetition_penalty: Annotated[
        float, typer.Option(help="Above 1, tokens already seen become less likely.")
    ] = 1.0,
    seed: Annotated[int | None, typer.Option(min=0, help="Makes what is drawn repeatable.")] = None,
    stop: Annotated[
        list[str] | None, typer.Option(metavar="TEXT", help="Ends the reply; may be given several times.")
    ] = None,
    speech_temperature: Annotated[
        float | None,
        typer.Option(help="As --temperature, for the speech; by default what the bundle's Talker needs."),
    ] = None,
    speech_frames: Annotated[
        int | None, typer.Option(min=1, help="Longest speech; by default that of the reply read aloud.")
    ] = None,
    video_frames: Annotated[
        int | None, typer.Option(min=1, help="Frames to look at; by default what the bundle says (4).")
    ] = None,
    device: Annotated[str, typer.Option(metavar="auto|cpu|cuda", help="Where to run.")] = "auto",
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads; by default MUOMNI_THREADS, else what suits each part.")
    ] = None,
    truncate: Annotated[
        bool, typer.Option("--truncate", help="Shorten what does not fit the context; else it is an error.")
    ] = False,
    batch: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Answer every line of a JSON Lines file, into --out.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Replies of --batch; what is there is not asked again."),
    ] = None,
    rows: Annotated[int, typer.Option(min=1, help="Requests of --batch that decode together.")] = 16,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object (in a chat, one a turn).")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Nothing on stderr but errors.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool,
        typer.Option("--version", callback=version_option(COMMAND), is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Ask a μOmni model about text, images, audio and video; without any of them, chat.

    The answer goes to stdout, everything else to stderr.
    """
    console = Console(COMMAND, quiet)
    with reporting(console, debug):
        model = model or demo_bundle()
        if say is not None:
            asked = {"--text": text, "--image": image, "--audio-in": audio_in, "--video": video}
            asked |= {"--prompt": prompt, "--batch": batch}
            speak_text(
                model, say, audio_out, asked, device, threads, speech_temperature, seed, as_json, console
            )
            return
        images: Sequence[Path] = image or ()
        given = {"--text": text, "--image": images or None, "--audio-in": audio_in, "--video": video}
        chatting = batch is None and all(value is None for value in given.values())
        if batch is not None:
            given |= {"--audio-out": audio_out, "--prompt": prompt}
            if excess := [option for option, value in given.items() if value is not None]:
                raise InputError(f"{BATCH_ALONE} {', '.join(excess)}")
        if (batch is None) != (out is None):
            raise InputError("--batch FILE and --out FILE go together")
        for option, value in (("--audio-out", audio_out), ("--prompt", prompt)):
            if chatting and value is not None:
                raise InputError(f"{option} {NO_QUESTION}")
        if text is not None and prompt is not None:
            console.note("note: --prompt is not used, because --text is the question")

        from muomni import Omni, Request, SamplingOptions

        sampling = SamplingOptions(temperature, top_k, top_p, repetition_penalty, seed=seed)
        speech = None
        if (audio_out, speech_temperature, speech_frames) != (None, None, None):
            from muomni import SpeechOptions

            speech = SpeechOptions(temperature=speech_temperature, frames=speech_frames, seed=seed)
        if audio_out is not None:
            from muomni.media.wav import check_writable

            check_writable(audio_out)  # now, not after minutes of work
        omni = Omni.load(model, device=device, threads=threads)
        if batch is not None and out is not None:
            from .batch import answer_file

            defaults = {
                "max_new_tokens": max_new_tokens,
                **vars(sampling),
                "stop": stop or [],
                "truncate": truncate,
                "video_frames": video_frames,
            }
            raise typer.Exit(answer_file(omni, batch, out, rows, defaults, console))
        conversation = omni.chat()
        wanted = partial(
            Request,
            max_new_tokens=max_new_tokens,
            sampling=sampling,
            stop=tuple(stop or ()),
            truncate=truncate,
        )
        if chatting:
            from .chat import chat

            _ = omni.tokenizer, omni.thinker  # now: a broken bundle should fail before the first prompt
            console.note(device_line(device, omni.providers, omni.threads))

            def ask(text: str, on_text: Callable[[str], None] | None = None) -> Reply:
                return conversation.say(wanted(text), on_text=on_text)

            raise typer.Exit(chat(ask, conversation.reset, console, as_json=as_json))

        streaming = not as_json and is_terminal(sys.stdout)
        request = wanted(
            text,
            images=images,
            audio=audio_in,
            video=video,
            prompt=prompt,
            video_frames=video_frames,
            speech=speech if audio_out is not None else None,
        )
        reply = omni.generate(request, on_text=console.stream if streaming else None)
        if streaming:
            console.answer("")
        if reply.speech is not None and audio_out is not None:
            from muomni import write_wav

            write_wav(audio_out, reply.speech.samples, reply.speech.sample_rate)
        if as_json:
            console.answer_json(reply_object(reply, audio_out))
        elif not streaming:
            console.answer(reply.text)
        console.notes_of(reply, audio_out)
        console.note(device_line(device, reply.providers, omni.threads))


def speak_text(
    model: Path,
    text: str,
    audio_out: Path | None,
    asked: Mapping[str, object],
    device: str,
    threads: int | None,
    temperature: float | None,
    seed: int | None,
    as_json: bool,
    console: Console,
) -> None:
    """Say ``text`` into a WAV file."""
    if excess := [option for option, value in asked.items() if value]:
        raise InputError(f"--say speaks its own text and asks nothing: leave out {', '.join(excess)}")
    if audio_out is None:
        raise InputError("--say TEXT needs --audio-out FILE, the WAV file to speak into")
    if not text.strip():
        raise InputError("--say: the text is empty")

    from muomni import Omni, write_wav
    from muomni.media.wav import check_writable

    check_writable(audio_out)
    omni = Omni.load(model, device=device, threads=threads)
    speech = omni.speak(text, temperature=temperature, seed=seed)
    write_wav(audio_out, speech.samples, speech.sample_rate)
    if as_json:
        console.answer_json(speech_object(speech, audio_out))
    console.note_of_speech(speech, audio_out)
    console.note(device_line(device, omni.providers, omni.threads))


def main(arguments: Sequence[str] | None = None) -> None:
    """The console script."""
    start(app, COMMAND, arguments)


if __name__ == "__main__":
    main()
