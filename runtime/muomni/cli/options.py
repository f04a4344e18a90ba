"""The options of the commands, each written once; what :mod:`.modes` says of them is by parameter name."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

# Of several commands.
Model = Annotated[
    Path | None,
    typer.Option(
        "--model",
        "--ckpt_dir",
        metavar="BUNDLE",
        envvar="MUOMNI_MODEL",
        help="Folder that muomni-export made; by default the demo that comes with muomni.",
    ),
]
Device = Annotated[str, typer.Option(metavar="auto|cpu|cuda", help="Where to run.")]
Threads = Annotated[
    int | None, typer.Option(min=1, help="Threads; by default MUOMNI_THREADS, else what suits each part.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Nothing on stderr but errors.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]

# What is asked.
Text = Annotated[
    str | None, typer.Option(metavar="TEXT", help="Question or instruction; - reads it from stdin.")
]
Image = Annotated[
    list[Path] | None, typer.Option(metavar="FILE", help="Image to look at; may be given several times.")
]
AudioIn = Annotated[
    Path | None,
    typer.Option("--audio-in", "--audio_in", metavar="FILE", help="Recording to listen to."),
]
Video = Annotated[Path | None, typer.Option(metavar="FILE", help="Video to watch.")]
Ocr = Annotated[
    bool, typer.Option("--ocr", help="Read the text in each --image first, and add it to the question.")
]
VideoFrames = Annotated[
    int | None, typer.Option(min=1, help="Frames to look at; by default what the bundle says (4).")
]
Prompt = Annotated[
    str | None,
    typer.Option(metavar="TEXT", help="Question for media without --text, in place of the default one."),
]

# How the reply is generated.
MaxNewTokens = Annotated[int, typer.Option(min=1, help="Longest reply, in tokens.")]
Temperature = Annotated[float, typer.Option(help="0 takes the likeliest token; above, tokens are drawn.")]
TopK = Annotated[int, typer.Option(min=0, help="Draw from the k likeliest tokens; 0 is all.")]
TopP = Annotated[float, typer.Option(help="Draw from the likeliest tokens that together reach p; 1 is all.")]
RepetitionPenalty = Annotated[float, typer.Option(help="Above 1, tokens already seen become less likely.")]
Seed = Annotated[int | None, typer.Option(min=0, help="Makes what is drawn repeatable.")]
Stop = Annotated[
    list[str] | None, typer.Option(metavar="TEXT", help="Ends the reply; may be given several times.")
]
JsonSchema = Annotated[
    Path | None,
    typer.Option(
        "--json-schema",
        metavar="FILE",
        help="The reply is JSON that follows this schema; needs muomni[grammar].",
    ),
]
Truncate = Annotated[
    bool, typer.Option("--truncate", help="Shorten what does not fit the context; else it is an error.")
]

# Speech.
Say = Annotated[
    str | None,
    typer.Option(metavar="TEXT", help="Speak this text as it is, into --audio-out; - reads it from stdin."),
]
AudioOut = Annotated[
    Path | None,
    typer.Option(
        "--audio-out",
        "--audio_out",
        metavar="FILE",
        help="Speak as well, into this WAV file; in a chat, later replies go to FILE-2, FILE-3 and so on.",
    ),
]
Play = Annotated[bool, typer.Option("--play", help="Speak aloud, through the loudspeaker, as it is made.")]
Listen = Annotated[
    bool,
    typer.Option(
        "--listen", help="Talk: listen to the microphone, answer aloud, be interrupted. Ctrl-C ends it."
    ),
]
Headphones = Annotated[
    bool,
    typer.Option("--headphones", help="With --listen: interrupting needs no loud voice, for nothing echoes."),
]
SpeechTemperature = Annotated[
    float | None,
    typer.Option(help="As --temperature, for the speech; by default what the bundle's Talker needs."),
]
SpeechFrames = Annotated[
    int | None, typer.Option(min=1, help="Longest speech; by default that of the reply read aloud.")
]
Speed = Annotated[float, typer.Option(help="Rate of the speech, 0.5 (slow) to 2.0 (fast).")]

# Many requests.
Batch = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Answer every line of a JSON Lines file, into --out.")
]
Out = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Replies of --batch; what is answered there is not asked again."),
]
Slots = Annotated[int, typer.Option(min=1, help="Requests of --batch that decode together.")]
Rows = Annotated[int | None, typer.Option(min=1, hidden=True, help="The former name of --slots.")]

Ray = Annotated[
    str | None,
    typer.Option(
        metavar="[ADDRESS]",
        help="Answer --batch on this cluster, into the folder --out; without an address, on the one that RAY_ADDRESS "
        "names or that runs here, else on the cores of this machine.",
    ),
]
Actors = Annotated[
    int | None,
    typer.Option(min=1, help="With --ray: engines at most; by default what the cluster has room for."),
]
Parquet = Annotated[bool, typer.Option("--parquet", help="With --ray: replies as Parquet, not JSON Lines.")]

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object (in a chat, one a turn).")]
